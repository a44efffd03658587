"""What a model can make and what identifies it, from its JSON configs alone. No torch, and nothing is downloaded."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .backbones.families import BY_NAME, FAMILIES, Configs, Family, Limits, Traits
from .backbones.published import PUBLISHED
from .errors import ModelIncomplete, ModelNotFound, ModelRefuses
from .hub import HUB_ID, folder_named, hub_cache, snapshot
from .levels import Level, noising_of, prediction_of, sampling_scheduler
from .loading import Loading, find_loras
from .model_files import NO_GGUF, configs_of, folder_digest, parts_of, pixel_files, read_json
from .quantize import check, check_stored
from .spec import ClipSpec, ModelRef, canonical

EMBEDDED = Path(__file__).parent / "pocket" / "weights"


@dataclass(frozen=True)
class ModelCard:
    """A model that lies here. `digest` is over the files that decide pixels; sizes in pixels.

    id: what finds it again: an embedded model's name, a hub id (with `@revision`), or an absolute folder.
    prediction, train_steps: the scheduler's; `sampler.steps` is at most train_steps. video: False of an image model,
    which IV-Mixed alone can use. latent_space: equal for models whose latents mean the same to each other's networks.
    loading: LoRAs (files: `lora_files`), quantization, and what saves memory.
    """

    id: str
    path: Path
    digest: str
    family: str
    dtype: str
    prediction: str
    train_steps: int
    frames_min: int
    frames_max: int
    frames_step: int
    frames_native: int
    size_multiple: int
    size_native: tuple[int, int]
    traits: Traits = field(default=Traits())
    video: bool = True
    latent_space: str = ""
    revision: str | None = None
    configs: Configs = field(default_factory=dict, repr=False, compare=False)
    loading: Loading = field(default=Loading())
    lora_files: tuple[Path, ...] = field(default=(), repr=False, compare=False)

    def ref(self) -> ModelRef:
        """The model as a clip spec names it."""
        return ModelRef(self.id, self.digest, self.family, self.dtype, *self._latents, **vars(self.loading))

    @property
    def _latents(self) -> tuple[int, int]:
        return self.traits.frames_per_latent, self.traits.latent_multiple

    @property
    def frames_per_latent(self) -> int:
        """Pictures that a latent frame after the first stands for."""
        return self.traits.frames_per_latent

    def latent_frames(self, frames: int) -> int:
        """Latent frames of a clip of so many pictures."""
        return self.traits.latent_frames(frames)

    def grid(self, spec: ClipSpec, near: float | None = None) -> tuple[Level, ...]:
        """The levels that the model's pipeline visits for such a clip.

        Imports diffusers, and torch with it, for the rare schedulers that `grids` does not know, and where a level's
        noise share is so close to `near`, on which something hangs, that the last bits decide.
        """
        from .grids import grid_of  # and numpy: few plans need it

        config, steps = self.configs["scheduler"], spec.sampler.steps
        told = BY_NAME[self.family].scheduled(self.configs, spec.width, spec.height, spec.frames, steps)
        found = grid_of(config, steps, told)
        return _asked(config, steps, told) if found is None or _close(found, near) else found

    def snap_frames(self, n: int) -> int:
        """The frame count nearest to `n` that the model can make; the longer of two equally near."""
        inside = min(max(n, self.frames_min), self.frames_max)
        short = inside - (inside - self.frames_min) % self.frames_step
        longer = short + self.frames_step
        return longer if longer <= self.frames_max and longer - inside <= inside - short else short

    def check_frames(self, n: int) -> None:
        """Raises ModelRefuses where the model cannot make clips of `n` frames."""
        if self.snap_frames(n) != n:
            step = f" in steps of {self.frames_step}" if self.frames_step > 1 else ""
            raise ModelRefuses(
                f"model {self.id} cannot make clips of {n} frames; it makes {self.frames_min} to"
                f" {self.frames_max}{step}, the nearest is {self.snap_frames(n)}"
            )

    def check_size(self, width: int, height: int) -> None:
        """Raises ModelRefuses where the model cannot make pictures of this size."""
        m, most = self.size_multiple, self.traits.size_most
        if most and (width > most[0] or height > most[1]):
            raise ModelRefuses(
                f"model {self.id} cannot make {width}x{height}: its positions end at {most[0]}x{most[1]}; make the"
                " pictures no wider and no higher than that, and let `deliver` scale them up"
            )
        if width > 0 and height > 0 and width % m == 0 and height % m == 0:
            return
        near = "x".join(str(max(m, (n + m // 2) // m * m)) for n in (width, height))
        native = "x".join(map(str, self.size_native))
        raise ModelRefuses(
            f"model {self.id} cannot make {width}x{height}; width and height must be multiples of {m}."
            f" The nearest size is {near}; the model was made for {native}"
        )

    def check_steps(self, steps: int) -> None:
        """Raises ModelRefuses where the model's scheduler has no grid of so many steps."""
        least = BY_NAME[self.family].fewest_steps(self.configs)
        if not least <= steps <= self.train_steps:
            raise ModelRefuses(
                f"model {self.id} cannot sample in {steps} steps; it takes {least} to {self.train_steps}"
            )


def describe(
    model_id: str,
    base: Path | None = None,
    revision: str | None = None,
    dtype: str = "float32",
    loading: Loading | None = None,
) -> ModelCard:
    """The card of an embedded model ("pocket"), a folder (relative ones to `base`), or a hub id found in the cache.

    Raises:
        ModelNotFound: nothing of that name here. ModelIncomplete: files are missing or cut short.
        ModelRefuses: a kind of model that this version cannot drive, one that would run code of its own, or a way of
            loading that this model or this installation has not.
    """
    base, loading = base or Path.cwd(), loading or Loading()
    shown, path, revision = _locate(model_id, base, revision)
    index = read_json(path / "model_index.json")
    family = _family(path, index)
    parts = parts_of(path, index, family)
    configs = configs_of(path, parts)
    check_stored(configs)
    limits = _limits(path, family, configs)
    prediction, train_steps = _schedule(path, configs["scheduler"])
    digest = folder_digest(path, pixel_files(path, parts, family, loading.variant))
    loras = list(find_loras(loading.loras, family, base))
    return ModelCard(
        shown,
        path,
        digest,
        family.name,
        dtype,
        prediction,
        train_steps,
        **vars(limits),
        traits=family.traits(configs),
        video=family.makes_video,
        latent_space=_latent_space(configs["vae"]),
        revision=revision,
        configs=configs,
        loading=replace(
            loading, loras=tuple(lora for lora, _ in loras), quantized=check(loading.quantized, family, parts)
        ),
        lora_files=tuple(file for _, file in loras),
    )


def usual(family: Family) -> ModelCard:
    """The published model of a family, from what is known of its config: no file of it need be here, so it has no
    digest and cannot be loaded."""
    configs = PUBLISHED[family.name]
    return ModelCard(
        family.name,
        Path(),
        "",
        family.name,
        "float32",
        "",
        1000,
        **vars(family.limits(configs)),
        traits=family.traits(configs),
        video=family.makes_video,
        latent_space=_latent_space(configs["vae"]),
        configs=configs,
    )


def _close(levels: tuple[Level, ...], share: float | None) -> bool:
    # Flow matching's grid is the scheduler's to the last bit; a variance-preserving one, with roots in it, to 1e-6.
    rounded = any(abs(level.alpha + level.sigma - 1.0) > 1e-6 for level in levels)
    return rounded and any(abs(v.sigma / (v.alpha + v.sigma) - (share or 0.0)) < 1e-5 for v in levels[:-1])


def _asked(config: Mapping[str, Any], steps: int, told: dict[str, Any]) -> tuple[Level, ...]:
    """The grid, from the scheduler itself."""
    import diffusers

    scheduler = sampling_scheduler(getattr(diffusers, config["_class_name"]).from_config(dict(config)))
    return noising_of(scheduler).grid(steps, **told)


_SPACE = ("_class_name", "latent_channels", "z_dim", "scaling_factor", "shift_factor", "latents_mean", "latents_std")


def _latent_space(vae: Mapping[str, Any]) -> str:
    """What of a VAE's config says how its latents are to be read. Equal is no proof, unequal is."""
    depth = len(vae.get("block_out_channels") or vae.get("dim_mult") or ())
    return canonical({name: vae.get(name) for name in _SPACE} | {"depth": depth})


def embedded() -> dict[str, Path]:
    """Name -> folder of the models that come with this package."""
    return {p.parent.name: p.parent for p in sorted(EMBEDDED.glob("*/model_index.json"))}


def _locate(model_id: str, base: Path, revision: str | None) -> tuple[str, Path, str | None]:
    """(id that finds it again, folder, hub revision)."""
    if model_id in embedded():
        return model_id, embedded()[model_id], None
    folder = folder_named(model_id, base)
    folder = folder if folder and folder.is_dir() else None
    if folder and (folder / "model_index.json").is_file():
        return str(folder), folder, None
    if folder:
        raise ModelIncomplete(
            f"model {model_id!r}: {folder} holds no model_index.json, so it is not a diffusers model folder;"
            " name the folder that save_pretrained wrote"
        )
    name, _, marked = model_id.partition("@")
    if name.lower().endswith(".gguf"):
        raise ModelRefuses(f"model {model_id[:200]!r}: {NO_GGUF}")
    if HUB_ID.fullmatch(name):
        return _cached(name, revision or marked or None, base)
    raise ModelNotFound(
        f"no model {model_id[:200]!r} here: no embedded model, and no such folder in {base}."
        f" {_nearest(model_id[:200], base)}"
    )


def _cached(name: str, revision: str | None, base: Path) -> tuple[str, Path, str | None]:
    """A hub id's snapshot in the local cache: that of a commit, branch or tag; `main` unless told."""
    found = snapshot(name, revision)
    if found and (found[0] / "model_index.json").is_file():
        folder, commit = found
        return f"{name}@{commit}", folder, commit
    wanted = f"{name} at revision {revision}" if revision else name
    option = f" --revision {revision}" if revision else ""
    raise ModelNotFound(
        f"no model {wanted!r} here: no such folder in {base}, and not in the hub cache {hub_cache()}. longtake"
        f" downloads nothing by itself; fetch it first with: hf download {name}{option}. {_nearest(name, base)}"
    )


def _nearest(model_id: str, base: Path) -> str:
    folders = [p.parent.name for p in base.glob("*/model_index.json")]
    hub = [p.name.removeprefix("models--").replace("--", "/") for p in hub_cache().glob("models--*")]
    known = [*embedded(), *sorted(folders), *sorted(hub)]
    close = difflib.get_close_matches(model_id, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known here: {', '.join(known[:10])}" if known else "No models are known here"


def _family(path: Path, index: dict[str, Any]) -> Family:
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in FAMILIES:
        raise ModelRefuses(
            f"{path} is a {name if isinstance(name, str) else 'pipeline with code of its own'}; this version drives"
            f" {', '.join(FAMILIES)}"
        )
    return FAMILIES[name]


def _limits(path: Path, family: Family, configs: Configs) -> Limits:
    try:
        return _told(path, family.limits(configs))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelIncomplete(
            f"{path}: its configs do not say what a {family.name} needs ({error}); copy or download the model again"
        ) from None


def _told(path: Path, limits: Limits) -> Limits:
    """What no config says: the clip length and size that a model was trained at, as `longtake.json` beside its index
    tells. It decides no pixels and is in no digest."""
    file = path / "longtake.json"
    if not file.is_file():
        return limits
    told = json.loads(file.read_text())
    frames = int(told.get("frames_native", limits.frames_native))
    if not limits.frames_min <= frames <= limits.frames_max:
        raise ValueError(f"longtake.json: frames_native {frames} is not {limits.frames_min} to {limits.frames_max}")
    width, height = (int(side) for side in told.get("size_native", limits.size_native))
    if min(width, height) < 1 or width % limits.size_multiple or height % limits.size_multiple:
        raise ValueError(f"longtake.json: size_native {width}x{height} is no multiple of {limits.size_multiple}")
    return replace(limits, frames_native=frames, size_native=(width, height))


def _schedule(path: Path, config: dict[str, Any]) -> tuple[str, int]:
    """(prediction type, training steps) of a scheduler that this version can sample with."""
    where = path / "scheduler" / "scheduler_config.json"
    try:
        prediction = prediction_of(config, str(config.get("_class_name")))
    except ModelRefuses as error:
        raise ModelRefuses(f"{where}: {error}") from None
    if config.get("clip_sample") or config.get("thresholding"):
        raise ModelRefuses(
            f"{where}: clip_sample or thresholding is on, which is meant for models of pixels, not of latents;"
            " set both to false"
        )
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        raise ModelRefuses(
            f"{where}: rescale_betas_zero_snr needs a model that predicts v, and this one predicts epsilon"
        )
    return prediction, int(config.get("num_train_timesteps", 1000))
