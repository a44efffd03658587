"""`longtake models`: the families that can be driven, the models that are here, and what a model can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from shots.backbones.blocks import anatomy_of
from shots.backbones.families import ALL, BY_NAME, Family
from shots.errors import ModelError, ModelRefuses
from shots.footprint import footprint
from shots.hub import hub_cache
from shots.models import ModelCard, describe, embedded, usual
from shots.sense import nonsense
from shots.settings import Anchor, CfgPlusPlus, IvMixed, Stg, VideoGuide, VidRD, Windows
from shots.spec import Recipe

from .presets import IMAGE_MODEL


def families() -> list[dict[str, Any]]:
    """Every family: its name, the diffusers pipeline, whether it makes video, its weights' usual licence, and what the
    published model can make, with which methods."""
    return [_family(f) for f in ALL]


def _family(family: Family) -> dict[str, Any]:
    card = usual(family)
    return {
        "family": family.name,
        "pipeline": family.pipeline,
        "makes": "video" if family.makes_video else "images",
        "licence": family.licence,
        **_makes(card),
        "methods": methods(card, usual(BY_NAME["stable_diffusion"])),
        **layers(card),
    }


def here() -> list[dict[str, Any]]:
    """Models that can be named without a download: those that come with longtake, and the hub's local cache."""
    names = [*embedded(), *sorted(_cached())]
    return [_line(name) for name in names]


def _cached() -> Iterator[str]:
    for folder in hub_cache().glob("models--*"):
        if any(folder.glob("snapshots/*/model_index.json")):
            yield folder.name.removeprefix("models--").replace("--", "/")


def _line(name: str) -> dict[str, Any]:
    try:
        card = describe(name)
    except ModelError as error:
        return {"id": name, "problem": str(error)}
    return about(card)


def _makes(card: ModelCard) -> dict[str, Any]:
    """Frames and sizes."""
    step = f" in steps of {card.frames_step}" if card.frames_step > 1 else ""
    return {
        "frames": f"{card.frames_min} to {card.frames_max}{step}" if card.video else "1",
        "frames_native": card.frames_native,
        "size_native": list(card.size_native),
        "size_multiple": card.size_multiple,
        "frames_per_latent": card.frames_per_latent,
        "distilled": card.traits.distilled,
        "start_image": card.traits.start_image,
    }


def about(card: ModelCard) -> dict[str, Any]:
    """What a model can make, and which methods it takes with which layers."""
    return {
        "id": card.id,
        "family": card.family,
        "revision": card.revision,
        "digest": card.digest,
        "megabytes": round(size_of(card.path) / 1e6, 1),
        "millions": {part: round(count / 1e6, 1) for part, count in footprint(card).parts.items()},
        **_makes(card),
        "prediction": card.prediction,
        "lora": "yes" if BY_NAME[card.family].loras else "no",
        "methods": methods(card, _image(card)),
        **layers(card),
    }


def size_of(folder: Path) -> int:
    """Bytes of a model's weights."""
    return sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))


def layers(card: ModelCard) -> dict[str, Any]:
    """The layers that STG may leave out, and those that it does by default."""
    try:
        anatomy = anatomy_of(card.configs, BY_NAME[card.family].denoisers[0])
    except ModelRefuses:
        return {"layers": [], "default_layers": []}
    return {"layers": list(anatomy.listed), "default_layers": list(anatomy.default), "stg_mode": anatomy.mode}


def _image(card: ModelCard) -> ModelCard:
    """The image model that IV-Mixed takes where none is named; the model itself where that is not here."""
    try:
        return describe(IMAGE_MODEL)
    except ModelError:
        return card


def methods(card: ModelCard, image: ModelCard) -> dict[str, str]:
    """Method -> "yes", or why not. image: the image model for IV-Mixed."""
    if not card.video:
        return {"iv_mixed": "as its image model"}
    half = card.latent_frames(card.frames_native) // 2
    asked = {
        "cfg": Recipe(chain=VidRD(0)),
        "cfg_plus_plus": Recipe(CfgPlusPlus(), chain=VidRD(0)),
        "stg": Recipe(chain=VidRD(0), stg=Stg()),
        "videoguide": Recipe(chain=VidRD(0), videoguide=VideoGuide()),
        "iv_mixed": Recipe(chain=VidRD(0), iv_mixed=IvMixed(image.ref())),
        "vidrd forward": Recipe(chain=VidRD(half)),
        "vidrd reverse": Recipe(chain=VidRD(half, order="reverse")),
        "windows": Recipe(chain=Windows(half)),
        "anchor": Recipe(chain=Anchor()),
    }
    cards = {card.ref(): card, image.ref(): image}
    image_given = card.traits.start_image == "must"
    found = {}
    for name, recipe in asked.items():
        wrong = next(nonsense(recipe, card, cards, card.frames_native, image_given), None)
        found[name] = wrong.what if wrong else "yes"
    return found


def show_here(models: list[dict[str, Any]]) -> Iterator[Table]:
    """Three tables: families, what they make, and models."""
    kinds = Table(title="Families", title_justify="left")
    for column in ("family", "diffusers pipeline", "makes", "licence of the usual weights"):
        kinds.add_column(column, overflow="fold")
    known = families()
    for one in known:
        kinds.add_row(one["family"], one["pipeline"], one["makes"], one["licence"])
    yield kinds
    can = Table(title="What their published models can do", title_justify="left")
    for column in ("family", "frames", "size", "pictures a latent frame", "start image", "stg leaves out", "cannot"):
        can.add_column(column, overflow="fold", no_wrap=column == "family")
    for one in known:
        can.add_row(*_can(one))
    yield can
    found = Table(title="Models here", title_justify="left")
    for column in ("model", "family", "size", "frames", "pictures a latent frame", "MB", "stg leaves out"):
        found.add_column(column, overflow="fold")
    for one in models:
        if "problem" in one:
            found.add_row(one["id"], one["problem"], "", "", "", "", "")
            continue
        size = "x".join(map(str, one["size_native"]))
        leaves = ", ".join(one["default_layers"])
        per = str(one["frames_per_latent"])
        found.add_row(one["id"], one["family"], size, str(one["frames_native"]), per, f"{one['megabytes']:g}", leaves)
    yield found


def _can(family: dict[str, Any]) -> Iterator[str]:
    yield family["family"]
    yield f"{family['frames']}; {family['frames_native']} unless told"
    yield f"{'x'.join(map(str, family['size_native']))}, steps of {family['size_multiple']}"
    yield str(family["frames_per_latent"])
    yield family["start_image"]
    yield ", ".join(family["default_layers"])
    yield ", ".join(name for name, can in family["methods"].items() if can not in ("yes", "as its image model"))


def show_one(model: dict[str, Any]) -> Table:
    """Everything about one model."""
    table = Table(title=model["id"], title_justify="left", show_header=False)
    table.add_column("what", style="bold")
    table.add_column("is")
    for name, value in model.items():
        if isinstance(value, dict):
            value = "\n".join(f"{key}: {text}" for key, text in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        table.add_row(name.replace("_", " "), "" if value is None else str(value))
    return table
