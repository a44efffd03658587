"""What decides the pixels of a clip, as frozen standard-library dataclasses. No torch here.

A `ClipSpec` is hashed into its key, and the key is the clip's name everywhere: two specs with the same key
make the same latents. `previous` links a clip to the one that it continues, as a commit names its parent, so
an edit changes the keys of exactly the clips that depend on it. What does not decide pixels (where a folder
lies, a film's title, which worker rendered it) is not in the key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self

from .errors import SpecError
from .joins import join_of
from .settings import (
    ADDED,
    KINDS,
    UNHASHED,
    Anchor,
    Cfg,
    CfgPlusPlus,
    Chain,
    FreeNoise,
    Guidance,
    Iid,
    IvMixed,
    LoraRef,
    ModelRef,
    NoChain,
    Prior,
    Pyoco,
    Quantized,
    Stg,
    VideoGuide,
    VidRD,
    Windows,
    model_from_dict,
    within,
)

__all__ = [
    "Anchor",
    "Cfg",
    "CfgPlusPlus",
    "Chain",
    "ClipSpec",
    "FreeNoise",
    "Guidance",
    "Iid",
    "ImageRef",
    "IvMixed",
    "LoraRef",
    "ModelRef",
    "NoChain",
    "Prior",
    "Pyoco",
    "Quantized",
    "Recipe",
    "Sampler",
    "Stg",
    "VidRD",
    "VideoGuide",
    "Windows",
    "canonical",
    "digest",
    "hashed_fields",
    "within",
]


def canonical(value: object) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no NaN. Equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(kind: str, version: int, value: object) -> str:
    """sha256 (64 hex digits) over canonical JSON that begins with the kind of thing and its version."""
    return hashlib.sha256(canonical([kind, version, value]).encode()).hexdigest()


def hashed_fields(value: Any) -> Any:
    """A dataclass as plain data: what decides pixels. `kind` and `version` are kept."""
    return _plain(value, hashed=True)


def _plain(value: Any, hashed: bool) -> Any:
    if isinstance(value, tuple):
        return [_plain(item, hashed) for item in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    named = {
        f.name: _plain(_number(f, getattr(value, f.name)), hashed)
        for f in fields(value)
        if not hashed or _counts(f, getattr(value, f.name))
    }
    marks = {m: getattr(value, m) for m in ("kind", "version") if hasattr(value, m)}
    return marks | named


def _number(f: Field[Any], value: Any) -> Any:
    """A scale of 3 and one of 3.0 are equal settings and must be one text."""
    if "float" not in str(f.type) or value is None:
        return value
    return tuple(v + 0.0 for v in value) if isinstance(value, tuple) else value + 0.0


def _counts(f: Field[Any], value: object) -> bool:
    """Is this field in the key? Not when it decides no pixels, nor when it came later and asks for nothing."""
    asks = f.default is MISSING or value != f.default
    return bool(f.metadata.get("hashed", True)) and (asks or not f.metadata.get("added", False))


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture that decides pixels: its bytes do (`digest`, "sha256:..."), where it lies (`path`) does not."""

    path: str = field(metadata=UNHASHED)
    digest: str


@dataclass(frozen=True, slots=True)
class Sampler:
    """How a clip goes from noise to picture over the scheduler's own grid of `steps` levels.

    ddim: `x' = alpha' x0 + sigma' eps`, which is Euler's step for flow matching. dpmpp_2m: DPM-Solver++ of second
    order (Lu et al. 2022, arXiv 2211.01095), which starts anew wherever a method has changed the state.
    stop_after: of a draft, the steps of the grid that are made; it shows the last one's estimate of the clean clip.
    """

    name: Literal["ddim", "dpmpp_2m"] = "ddim"
    steps: int = 25
    stop_after: int | None = field(default=None, metadata=ADDED)

    @property
    def made(self) -> int:
        """Steps that are made."""
        return self.steps if self.stop_after is None else self.stop_after


@dataclass(frozen=True)
class Recipe:
    """Settings of all methods. What a setting means stands in its own class."""

    guidance: Guidance = field(default=Cfg())
    prior: Prior = field(default=Iid())
    chain: Chain = field(default=VidRD())
    stg: Stg | None = field(default=None, metadata=ADDED)
    videoguide: VideoGuide | None = field(default=None, metadata=ADDED)
    iv_mixed: IvMixed | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True)
class ClipSpec:
    """Everything that decides the pixels of one clip.

    width, height: pixels. frames: frames of the decoded clip, before the cut drops any. index: place in the chain,
    from 0; latent frame j of the clip draws its noise as frame `start + j` of the shot's stream. previous: key
    of the clip that this one continues, None for the first of a chain. together: digest of all clips that are
    denoised with this one, where they depend on each other both ways (`windows`). image: the picture it starts from.
    """

    model: ModelRef
    width: int
    height: int
    frames: int
    prompt: str
    negative_prompt: str
    seed: int
    index: int
    sampler: Sampler
    recipe: Recipe
    previous: str | None = None
    together: str | None = field(default=None, metadata=ADDED)
    image: ImageRef | None = field(default=None, metadata=ADDED)

    kind = "ClipSpec"
    version = 1

    @property
    def key(self) -> str:
        """sha256 of everything that decides pixels: the clip's name in the ledger."""
        return digest(
            self.kind,
            self.version,
            {k: v for k, v in hashed_fields(self).items() if k not in ("kind", "version")},
        )

    @property
    def latent_frames(self) -> int:
        """N: frames of the latent video; a causal VAE holds the first picture alone, then several in each."""
        count, multiple = 1 + (self.frames - 1) // self.model.frames_per_latent, self.model.latent_multiple
        return -(-count // multiple) * multiple

    @property
    def overlap(self) -> int:
        """Latent frames that this clip shares with the one before it in the chain, were there one."""
        chain = self.recipe.chain
        return chain.overlap if isinstance(chain, VidRD | Windows) else 0

    @property
    def dropped(self) -> int:
        """Leading frames that repeat the previous clip's end and that the cut drops."""
        return join_of(self.recipe.chain, self.model.frames_per_latent).dropped if self.index else 0

    @property
    def start(self) -> int:
        """Latent frame of the shot that this clip's first one stands for."""
        chain = self.recipe.chain
        shared = self.overlap if not (isinstance(chain, VidRD) and chain.order == "reverse") else 0
        return self.index * (self.latent_frames - shared)

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """All models that this clip needs, its own first, each once."""
        recipe = self.recipe
        others = (recipe.videoguide and recipe.videoguide.teacher, recipe.iv_mixed and recipe.iv_mixed.image)
        return tuple(dict.fromkeys([self.model, *(ref for ref in others if ref)]))

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal spec; includes what is not hashed."""
        data: dict[str, Any] = _plain(self, hashed=False)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The spec that `to_dict` described, of this or an earlier longtake.

        Raises:
            SpecError: the data is of another kind or version, or a field is missing or unknown.
        """
        if data.get("kind") != cls.kind or data.get("version") != cls.version:
            raise SpecError(
                f"a {data.get('kind')} of version {data.get('version')} cannot be read as {cls.kind} {cls.version}"
            )
        try:
            rest = {k: v for k, v in data.items() if k not in ("kind", "version", "model", "sampler", "recipe")}
            rest["image"] = ImageRef(**rest["image"]) if rest.get("image") else None
            return cls(
                model=model_from_dict(data["model"]),
                sampler=Sampler(**data["sampler"]),
                recipe=recipe_from_dict(data["recipe"]),
                **rest,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise SpecError(f"not a clip spec: {error}") from None


def recipe_from_dict(data: dict[str, Any]) -> Recipe:
    """The recipe whose parts `hashed_fields` wrote out, each by its `kind`."""
    return Recipe(**{name: value and _part(value) for name, value in data.items()})


def _part(data: dict[str, Any]) -> Any:
    settings: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k not in ("kind", "version")
    }
    cls = KINDS[data["kind"]]
    if data["version"] != cls.version:
        raise SpecError(f"{data['kind']} of version {data['version']} cannot be read by version {cls.version}")
    for name in ("teacher", "image"):
        if settings.get(name):
            settings[name] = model_from_dict(settings[name])
    return cls(**settings)
