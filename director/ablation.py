"""One shot with each method on and off, or over a grid of one setting: what a method does, seen side by side.

Nothing is written to the ledger. All variants have the shot's prompt and seeds, so what differs is the method.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shots.errors import ModelError
from shots.joins import join_of
from shots.models import ModelCard, describe
from shots.sense import nonsense
from shots.settings import Cfg, CfgPlusPlus, Iid, IvMixed, ModelRef, NoChain, Pyoco, Stg, VideoGuide, VidRD, Windows
from shots.spec import Anchor, ClipSpec, FreeNoise, Recipe, digest, hashed_fields

from .errors import UsageError
from .planned import PlannedShot
from .presets import IMAGE_MODEL
from .problems import nearest
from .settle import SettledShot


@dataclass(frozen=True)
class Variant:
    """One row of an ablation. why_not: what keeps the model from it; then nothing is rendered."""

    name: str
    recipe: Recipe
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """A rendered variant. frames [F, H, W, 3] uint8, as the cut would keep them; starts: where its clips begin."""

    variant: Variant
    frames: np.ndarray
    starts: tuple[int, ...]
    nfe: int
    seconds: float
    measures: Mapping[str, float]


def shot_of(shots: Sequence[PlannedShot], name: str | None) -> PlannedShot:
    """The shot that is meant: the one named, else the first. Raises UsageError."""
    if name is None:
        return shots[0]
    known = {shot.id: shot for shot in shots}
    if name not in known:
        close = nearest(name, known)
        hint = f"; did you mean {close!r}?" if close else f"; it has {', '.join(list(known)[:20])}"
        raise UsageError(f"the storyboard has no shot {name!r}{hint}")
    return known[name]


def each_method(shot: SettledShot, clips: int) -> list[Variant]:
    """The bare recipe, each method alone on top of it, and the shot's own recipe.

    A method that the shot has is taken with the shot's settings, another with its defaults.
    """
    recipe, half = shot.recipe, shot.card.latent_frames(shot.clip_frames) // 2
    bare = Recipe(recipe.guidance if isinstance(recipe.guidance, Cfg) else Cfg(), Iid(), NoChain())
    pyoco = recipe.prior if isinstance(recipe.prior, Pyoco) else Pyoco()
    vidrd = recipe.chain if isinstance(recipe.chain, VidRD) else VidRD(overlap=min(VidRD().overlap, half))
    image = _image_model()
    alone = {
        "without methods": bare,
        "CFG++": replace(bare, guidance=CfgPlusPlus()),
        "PYoCo": replace(bare, prior=pyoco),
        "VidRD": replace(bare, chain=vidrd),
        "windows": replace(bare, chain=Windows(min(vidrd.overlap, half)), prior=FreeNoise()),
        "STG": replace(bare, stg=recipe.stg or Stg()),
        "VideoGuide": replace(bare, videoguide=recipe.videoguide or VideoGuide()),
    }
    if shot.card.traits.start_image != "no":
        alone["anchor"] = replace(bare, chain=Anchor())
    if recipe.iv_mixed or image:
        alone["IV-Mixed"] = replace(bare, iv_mixed=recipe.iv_mixed or IvMixed(image or ModelRef(IMAGE_MODEL)))
    if recipe not in alone.values():
        alone["the shot's recipe"] = recipe
    return [sensible(name, made, shot, clips) for name, made in alone.items()]


def sensible(name: str, recipe: Recipe, shot: SettledShot, clips: int) -> Variant:
    """A variant of the shot's first `clips` clips, with what keeps the model from it, if anything does."""
    chained = clips > 1 and shot.timed.frames > shot.clip_frames
    cards, image = _cards(recipe, shot.card), shot.image is not None
    wrong = next(nonsense(recipe, shot.card, cards, shot.clip_frames, image, chained, shot.size), None)
    return Variant(name, recipe, wrong.what if wrong else "")


def _cards(recipe: Recipe, card: ModelCard) -> dict[ModelRef, ModelCard]:
    refs = (recipe.videoguide and recipe.videoguide.teacher, recipe.iv_mixed and recipe.iv_mixed.image)
    return {card.ref(): card} | {ref: describe(ref.id, dtype=ref.dtype) for ref in refs if ref}


def _image_model() -> ModelRef | None:
    try:
        return describe(IMAGE_MODEL).ref()
    except ModelError:
        return None


def chain_of(shot: PlannedShot, recipe: Recipe, clips: int) -> list[ClipSpec]:
    """The first clips of a shot under another recipe."""
    return linked(replace(clip.spec, recipe=recipe) for clip in shot.clips[:clips])


def about(shot: PlannedShot, clips: int) -> str:
    """What all variants have in common, in a line."""
    spec, count = shot.clips[0].spec, min(clips, len(shot.clips))
    return (
        f"{spec.model.id}, {spec.width}x{spec.height}, {count} {'clip' if count == 1 else 'clips'} of {spec.frames}"
        f" frames, {spec.sampler.steps} steps of {spec.sampler.name}, seed {spec.seed}: the same in every row"
    )


def linked(specs: Iterable[ClipSpec]) -> list[ClipSpec]:
    """Consecutive clips of a shot, each told of those that it depends on: the one before, or all together."""
    made: list[ClipSpec] = []
    for spec in specs:
        follows = isinstance(spec.recipe.chain, VidRD | Anchor) and made
        made.append(replace(spec, previous=made[-1].key if follows else None, together=None))
    if made and isinstance(made[0].recipe.chain, Windows):
        together = digest("Windows", 1, [hashed_fields(spec) for spec in made])
        made = [replace(spec, together=together) for spec in made]
    return made


def render(shot: PlannedShot, variants: Sequence[Variant], clips: int, device: str = "auto") -> Iterator[Shown]:
    """Render the variants that make sense, one after another, with the models loaded once."""
    from shots.shoot import Model, load, shoot

    models: dict[ModelRef, Model] = {}
    try:
        for variant in variants:
            if variant.why_not:
                continue
            specs = chain_of(shot, variant.recipe, clips)
            for ref in specs[0].models:
                if ref not in models:
                    models[ref] = load(ref, device=device)
            began = time.perf_counter()
            made = list(shoot(specs, models[specs[0].model], others=models))
            seconds = time.perf_counter() - began
            drop = join_of(variant.recipe.chain, specs[0].model.frames_per_latent).dropped
            parts = [footage.frames[drop if k else 0 :] for k, footage in enumerate(made)]
            starts = tuple(np.cumsum([0, *(len(part) for part in parts[:-1])]).tolist())
            frames = np.concatenate(parts)
            nfe = sum(footage.nfe for footage in made)
            yield Shown(variant, frames, starts, nfe, seconds, _measured(specs[0], frames, starts))
    finally:
        for model in models.values():
            model.close()


MEASURES = {
    "area jitter": "change of the subject's size from frame to frame, as a share of it",
    "bend": "change of its velocity, in pixels a frame",
    "outline": "how well it fits the best outline, 1 is perfectly",
    "motion": "its speed, in pixels a frame",
    "step": "change of the picture from frame to frame, 0 to 1",
    "seam ratio": "change over a join in changes inside the clips, 1 is an invisible join",
    "mirrored": "1 plays backwards after a join, -1 goes on as it came, 0 neither",
}
"""What a sheet tells of a variant. The pocket models' films are read by their own reader, others by pixels alone."""


def _measured(spec: ClipSpec, frames: np.ndarray, starts: tuple[int, ...]) -> dict[str, float]:
    """What can be said in numbers; a clip alone has no joins."""
    from shots.pocket import measures
    from shots.pocket.reader import read

    joined = len(starts) > 1
    if not spec.model.id.startswith("pocket") or frames.shape[1:3] != (64, 64):
        join, inner = measures.seams(frames, starts)
        return {"step": inner.mean} | ({"seam ratio": join.mean / max(inner.mean, 1e-6)} if joined else {})
    reading = read(frames)
    steady = measures.stability(frames, reading)
    told = {"area jitter": steady.area_jitter, "bend": steady.acceleration, "outline": steady.overlap}
    told["motion"] = measures.dynamic_degree(reading, starts).mean
    if joined:
        told["seam ratio"] = measures.seam_ratio(frames, starts)
        told["mirrored"] = measures.mirror_motion(reading, starts).mean
    return told
