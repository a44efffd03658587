"""What decides the pixels of a clip, as frozen standard-library dataclasses. No torch here.

A `ClipSpec` is hashed into its key, and the key is the clip's name everywhere: two specs with the same key
make the same latents. `previous` links a clip to the one that it continues, as a commit names its parent, so
an edit changes the keys of exactly the clips that depend on it. What does not decide pixels (where a folder
lies, a film's title, which worker rendered it) is not in the key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self

from .errors import SpecError

UNHASHED = {"hashed": False}


def canonical(value: object) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no NaN. Equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(kind: str, version: int, value: object) -> str:
    """sha256 (64 hex digits) over canonical JSON that begins with the kind of thing and its version."""
    return hashlib.sha256(canonical([kind, version, value]).encode()).hexdigest()


def hashed_fields(value: Any) -> Any:
    """A dataclass as plain data, without the fields marked as not deciding pixels; `kind` and `version` kept."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {
            # A scale of 3 and one of 3.0 are equal settings and must be one text.
            f.name: getattr(value, f.name) + 0.0 if f.type == "float" else hashed_fields(getattr(value, f.name))
            for f in fields(value)
            if f.metadata.get("hashed", True)
        }
        marks = {m: getattr(value, m) for m in ("kind", "version") if hasattr(value, m)}
        return marks | named
    return value


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as a clip needs it: `digest` and `dtype` decide pixels, `id` says where to load it from."""

    id: str = field(metadata=UNHASHED)
    digest: str
    family: str
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Sampler:
    """`x' = alpha' x0 + sigma' eps` over the scheduler's own grid of `steps` levels (DDIM with eta 0)."""

    name: Literal["ddim"] = "ddim"
    steps: int = 25


@dataclass(frozen=True)
class Cfg:
    """Classifier-free guidance: `eps = eps_u + scale (eps_c - eps_u)`. At scale 1 only the conditional pass runs."""

    kind = "cfg"
    version = 1
    scale: float = 3.0


@dataclass(frozen=True)
class CfgPlusPlus:
    """CFG++ (Chung et al. 2024): x0 from the interpolated eps, renoise with the unconditional one; scale in [0, 1]."""

    kind = "cfg_plus_plus"
    version = 1
    scale: float = 0.6


@dataclass(frozen=True)
class Iid:
    """Independent Gaussian noise in every frame."""

    kind = "iid"
    version = 1


@dataclass(frozen=True)
class Pyoco:
    """Correlated noise between frames (PYoCo, arXiv 2305.10474): `alpha` 0 is independent noise."""

    kind = "pyoco"
    version = 1
    mode: Literal["mixed", "progressive"] = "progressive"
    alpha: float = 0.3


@dataclass(frozen=True)
class NoChain:
    """Clips of one shot do not know each other."""

    kind = "none"
    version = 1


@dataclass(frozen=True)
class VidRD:
    """Noise reuse between clips (VidRD, arXiv 2309.03549).

    overlap: M, frames that a clip shares with the one before it, 0 to N.
    alpha: how much of the previous clip's noise the other N-M frames keep (PNS); 0 is fresh noise.
    beta: share of the steps in which the first M frames are held to the previous clip's (DSG), 0 to 1.
    schedule: `staged` frees frame j after ceil(beta T (1 - j/M)) steps, as published; `constant` holds all
        M frames for ceil(beta T) steps, so beta 1 holds them at every step.
    order: `reverse` starts from the mirrored tail and keeps all frames, as published; `forward` follows the
        last M frames in order, and the cut drops them.

    The defaults are those that measured best on the pocket model (docs/chaining.md).
    """

    kind = "vidrd"
    version = 1
    overlap: int = 4
    alpha: float = 4.0
    beta: float = 1.0
    schedule: Literal["staged", "constant"] = "constant"
    order: Literal["forward", "reverse"] = "forward"

    def copies(self, j: int, steps: int) -> int:
        """Number of steps at whose start frame `j` is copied: c_j = ceil(beta T (1 - j/M)) when staged."""
        if j >= self.overlap:
            return 0
        share = 1.0 if self.schedule == "constant" else 1.0 - j / self.overlap
        # Rounded first: 0.4 * 50 * (1 - 1/4) is 15.000000000000002 in floating point, and 15 copies on paper.
        return -int(-round(self.beta * steps * share, 9) // 1)


Guidance = Cfg | CfgPlusPlus
Prior = Iid | Pyoco
Chain = NoChain | VidRD
_KINDS: dict[str, Any] = {c.kind: c for c in (Cfg, CfgPlusPlus, Iid, Pyoco, NoChain, VidRD)}


@dataclass(frozen=True)
class Recipe:
    """Settings of all methods. What a setting means stands in its own class."""

    guidance: Guidance = Cfg()
    prior: Prior = Iid()
    chain: Chain = VidRD()


@dataclass(frozen=True)
class ClipSpec:
    """Everything that decides the pixels of one clip.

    width, height: pixels. frames: N, frames denoised together, before the cut drops any. index: place in the
    chain, from 0; frame j of the clip draws its noise as frame `start + j` of the shot's stream. previous: key
    of the clip that this one continues, None for the first of a chain.
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
    def dropped(self) -> int:
        """Leading frames that repeat the previous clip's tail and that the cut drops."""
        chain = self.recipe.chain
        return chain.overlap if isinstance(chain, VidRD) and chain.order == "forward" and self.index else 0

    @property
    def start(self) -> int:
        """Frame of the shot that this clip's first frame stands for."""
        chain = self.recipe.chain
        step = self.frames - (chain.overlap if isinstance(chain, VidRD) and chain.order == "forward" else 0)
        return self.index * step

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which `from_dict` makes an equal spec; includes what is not hashed."""
        data = hashed_fields(self)
        data["model"]["id"] = self.model.id
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The spec that `to_dict` described.

        Raises:
            SpecError: the data is of another kind or version, or a field is missing or unknown.
        """
        if data.get("kind") != cls.kind or data.get("version") != cls.version:
            raise SpecError(
                f"a {data.get('kind')} of version {data.get('version')} cannot be read as {cls.kind} {cls.version}"
            )
        try:
            rest = {k: v for k, v in data.items() if k not in ("kind", "version", "model", "sampler", "recipe")}
            return cls(
                model=ModelRef(**data["model"]),
                sampler=Sampler(**data["sampler"]),
                recipe=recipe_from_dict(data["recipe"]),
                **rest,
            )
        except (KeyError, TypeError) as error:
            raise SpecError(f"not a clip spec: {error}") from None


def recipe_from_dict(data: dict[str, Any]) -> Recipe:
    """The recipe whose parts `hashed_fields` wrote out, each by its `kind`."""
    return Recipe(**{name: _part(value) for name, value in data.items()})


def _part(data: dict[str, Any]) -> Any:
    settings = {k: v for k, v in data.items() if k not in ("kind", "version")}
    cls = _KINDS[data["kind"]]
    if data["version"] != cls.version:
        raise SpecError(f"{data['kind']} of version {data['version']} cannot be read by version {cls.version}")
    return cls(**settings)
