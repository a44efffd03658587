"""The settings of each method, as frozen standard-library dataclasses. No torch here.

`kind` is a method's name in storyboards and records, `version` changes when the same settings come to mean other
pixels. A field marked ADDED was not there from the beginning: at its default it is left out of the key, so takes of
an earlier longtake keep theirs. A field marked UNHASHED decides no pixels of a clip.

Windows: `start` and `stop` are shares of the steps; see `within`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

UNHASHED = {"hashed": False}
ADDED = {"added": True}


def within(step: int, steps: int, start: float, stop: float) -> bool:
    """Does a method with this window act at `step` (from 0) of `steps`? start, stop in 0..1; 0 and 1 are all steps."""
    return round(start * steps) <= step < round(stop * steps)


@dataclass(frozen=True, slots=True)
class LoraRef:
    """A LoRA as a clip needs it: its bytes (`digest`, "sha256:...") and its weight decide pixels.

    `id` says where to find it, `file` which of several files there. part: which network, where a model has several
    (`transformer_2`); the first, unless told. An empty digest has not been looked up yet.
    """

    id: str = field(metadata=UNHASHED)
    weight: float = 1.0
    file: str | None = field(default=None, metadata=UNHASHED)
    part: str | None = field(default=None, metadata=ADDED)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Quantized:
    """Weights in fewer bits. name: backend and kind of number (`shots.quantize.KINDS`). parts: of the pipeline."""

    name: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as a clip needs it: `digest` and `dtype` decide pixels, `id` says where to load it from.

    An empty digest is a name that has not been looked up yet. frames_per_latent: pixel frames that one latent frame
    after the first stands for; 1 where the VAE works frame by frame. latent_multiple: latent frames are padded to it.
    loras, quantized and tiling (the VAE works tile by tile, and blends them) decide pixels, too. variant: which of
    several weights files, which the digest knows. slicing, offload: to save memory; they decide no pixels.
    """

    id: str = field(metadata=UNHASHED)
    digest: str = ""
    family: str = ""
    dtype: str = "float32"
    frames_per_latent: int = field(default=1, metadata=UNHASHED)
    latent_multiple: int = field(default=1, metadata=UNHASHED)
    loras: tuple[LoraRef, ...] = field(default=(), metadata=ADDED)
    quantized: Quantized | None = field(default=None, metadata=ADDED)
    tiling: bool = field(default=False, metadata=ADDED)
    variant: str | None = field(default=None, metadata=UNHASHED)
    slicing: bool = field(default=False, metadata=UNHASHED)
    offload: Literal["none", "model", "sequential", "group"] = field(default="none", metadata=UNHASHED)


def model_from_dict(data: dict[str, Any]) -> ModelRef:
    """The model that `ClipSpec.to_dict` described, of this or an earlier longtake."""
    parts: dict[str, Any] = {"loras": tuple(LoraRef(**lora) for lora in data.get("loras") or ())}
    if data.get("quantized"):
        parts["quantized"] = Quantized(data["quantized"]["name"], tuple(data["quantized"]["parts"]))
    return ModelRef(**{**data, **parts})


# Guidance


@dataclass(frozen=True)
class Cfg:
    """Classifier-free guidance: `eps = eps_u + scale (eps_c - eps_u)`. At scale 1 only the conditional pass runs.

    rescale: share of the standard deviation that is set back to the conditional's (Lin et al. 2023, arXiv
    2305.08891, eq. 14 to 16), each clip by itself. Outside its window the conditional prediction stands alone.
    """

    kind = "cfg"
    version = 1
    scale: float = 3.0
    rescale: float = field(default=0.0, metadata=ADDED)
    start: float = field(default=0.0, metadata=ADDED)
    stop: float = field(default=1.0, metadata=ADDED)


@dataclass(frozen=True)
class CfgPlusPlus:
    """CFG++ (Chung et al. 2024): x0 from the interpolated eps, renoise with the unconditional one; scale in [0, 1]."""

    kind = "cfg_plus_plus"
    version = 1
    scale: float = 0.6
    start: float = field(default=0.0, metadata=ADDED)
    stop: float = field(default=1.0, metadata=ADDED)


@dataclass(frozen=True)
class Stg:
    """Spatiotemporal skip guidance (Hyung et al. 2024, arXiv 2411.18664): `+ scale (cond - perturbed)`.

    mode: `residual` leaves the layers out (STG-R), `attention` lets their self-attention pass its values through
    (STG-A). layers: as `longtake models` lists them; none named: the family's own. part: which attention, in
    networks that keep space and time apart. rescale: share of the prediction's standard deviation that is set back to
    the conditional's, each clip by itself (0.7 in the reference code).
    """

    kind = "stg"
    version = 1
    scale: float = 1.0
    mode: Literal["residual", "attention"] = "residual"
    layers: tuple[str, ...] = ()
    part: Literal["all", "spatial", "temporal"] = "all"
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0


@dataclass(frozen=True)
class VideoGuide:
    """Teacher guidance (VideoGuide, arXiv 2410.04364): early x0 estimates are drawn towards a teacher's.

    teacher: a model of the same latent space, or none: the model itself. steps: I, guided steps from the first;
    until: instead of I, the noise share sigma / (alpha + sigma) down to which steps are guided. tau: teacher
    evaluations in each, on an inner grid of `grid` points. beta: the student's share of the mixed x0. low_pass: replace
    the high frequencies after a guided step by fresh noise; cutoff (normalised) and order of its Butterworth filter;
    centred: the filter's centre on the zero frequency for odd lengths, too (the published mask is half a bin off).
    """

    kind = "videoguide"
    version = 1
    teacher: ModelRef | None = None
    steps: int = 5
    until: float | None = None
    tau: int = 10
    grid: int = 25
    beta: float = 0.8
    low_pass: bool = True
    cutoff: float = 0.25
    order: int = 4
    centred: bool = False


@dataclass(frozen=True)
class IvMixed:
    """IV-Mixed sampling (arXiv 2410.04171): each step is preceded by a walk of two levels down and up again.

    The image model and the video model take turns; guidance is positive on the way down and negative on the way up.
    image: an image model of the same latent space. order: `ms` evaluates where the step stands, as for ModelScope;
    `ad` exchanges the network times of the first two, as published for AnimateDiff. gamma_*: guidance at the
    beginning and the end of the window, between them the rho schedule of Karras et al.
    """

    kind = "iv_mixed"
    version = 1
    image: ModelRef
    order: Literal["ms", "ad"] = "ms"
    gamma_image: tuple[float, float] = (4.0, 4.0)
    gamma_video: tuple[float, float] = (4.0, 4.0)
    rho: float = 7.0
    start: float = 0.0
    stop: float = 1.0


# Priors


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
class FreeNoise:
    """Shuffled noise (FreeNoise, arXiv 2310.15169): the shot's later frames reuse the first clip's, in new order."""

    kind = "freenoise"
    version = 1


# Continuity between the clips of a shot


@dataclass(frozen=True)
class NoChain:
    """Clips of one shot do not know each other."""

    kind = "none"
    version = 1


@dataclass(frozen=True)
class VidRD:
    """Noise reuse between clips (VidRD, arXiv 2309.03549). Frames are latent frames.

    overlap: M, frames that a clip shares with the one before it, 0 to N.
    alpha: how much of the previous clip's noise the other N-M frames keep (PNS); 0 is fresh noise.
    beta: share of the steps in which the first M frames are held to the previous clip's (DSG), 0 to 1.
    schedule: `staged` frees frame j after ceil(beta T (1 - j/M)) steps, as published; `constant` holds all
        M frames for ceil(beta T) steps, so beta 1 holds them at every step.
    order: `reverse` starts from the mirrored tail, as published; `forward` follows the last M frames in order.
    counts: how often frame j is copied: as the published `code` does, or once more, as the `paper` says.
    boundary: what the cut does with the shared frames: `drop` them from the later clip, `append` all frames as
        published, or `blend` the two. None: drop in forward order, append in reverse.

    The defaults are those that measured best on the pocket model (docs/chaining.md).
    """

    kind = "vidrd"
    version = 1
    overlap: int = 4
    alpha: float = 4.0
    beta: float = 1.0
    schedule: Literal["staged", "constant"] = "constant"
    order: Literal["forward", "reverse"] = "forward"
    counts: Literal["code", "paper"] = field(default="code", metadata=ADDED)
    boundary: Literal["drop", "append", "blend"] | None = field(default=None, metadata=UNHASHED)

    def copies(self, j: int, steps: int) -> int:
        """Number of steps at whose start frame `j` is copied: c_j = ceil(beta T (1 - j/M)) when staged."""
        if j >= self.overlap:
            return 0
        share = 1.0 if self.schedule == "constant" else 1.0 - j / self.overlap
        # Rounded first: 0.4 * 50 * (1 - 1/4) is 15.000000000000002 in floating point, and 15 copies on paper.
        count = -int(-round(self.beta * steps * share, 9) // 1)
        return min(count + 1, steps) if count and self.counts == "paper" else count

    @property
    def joint(self) -> Literal["drop", "append", "blend"]:
        """What the cut does at a boundary."""
        return self.boundary or ("drop" if self.order == "forward" else "append")


@dataclass(frozen=True)
class Windows:
    """Co-denoising in time (MultiDiffusion, arXiv 2302.08113; Gen-L-Video, arXiv 2305.18264).

    Neighbouring clips share `overlap` latent frames, averaged with ramp weights after every step. All clips of the
    shot are denoised together.
    """

    kind = "windows"
    version = 1
    overlap: int = 4


@dataclass(frozen=True)
class Anchor:
    """A clip is conditioned on the picture in which the one before it ends: for image-to-video models, one by one."""

    kind = "anchor"
    version = 1


Guidance = Cfg | CfgPlusPlus
Prior = Iid | Pyoco | FreeNoise
Chain = NoChain | VidRD | Windows | Anchor
KINDS: dict[str, Any] = {
    c.kind: c
    for c in (Cfg, CfgPlusPlus, Stg, VideoGuide, IvMixed, Iid, Pyoco, FreeNoise, NoChain, VidRD, Windows, Anchor)
}
"""Kind -> settings class."""
