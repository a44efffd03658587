"""The plan as data: which clips a film needs, in which order, and how they are joined. Integers and rationals only.

A `Plan` is what `plan.plan` makes of a storyboard and what everything after it reads. It holds nothing that
depends on what has been rendered; `survey` adds that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from shots.spec import ClipSpec, canonical

from .bills import Bill

SCHEMA = "longtake.plan.v1"


@dataclass(frozen=True)
class Slate:
    """Where a clip sits. Never hashed. `clip` counts from 1, as people do."""

    film: str
    shot: str
    clip: int
    take: int = 1

    def __str__(self) -> str:
        return f"{self.shot}/{self.clip}"


@dataclass(frozen=True)
class PlannedClip:
    """One clip and the part of it that the film keeps: frames `first` to `first + kept - 1` of `spec.frames`.

    blended: so many frames before `first` are dissolved with the last ones of the clip before.
    instead: why this clip stands here and not the one that the storyboard asks for; '' when it is that one.
    nfe: network evaluations in all. bill: method by method.
    """

    slate: Slate
    spec: ClipSpec
    key: str
    first: int
    kept: int
    nfe: int
    instead: str = ""
    blended: int = 0
    bill: Bill = field(default=(), compare=False)


@dataclass(frozen=True)
class Transition:
    """The way into a shot. `frames` is its length in film frames.

    It joins the shot with what stands before it: its own title card where it has one, else the shot before. The
    card itself begins with a cut. A crossfade overlaps the last `frames` of what is before with the first
    `frames` of the shot, so the film is shorter by as many. A fade goes to `colour` over the last
    `frames // 2` of what is before and back over the first `frames - frames // 2` of the shot; nothing
    overlaps, and where nothing is before (the first shot) only the second half is seen.
    """

    kind: Literal["cut", "crossfade", "fade"] = "cut"
    frames: int = 0
    colour: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Title:
    """A card of `frames` film frames before the shot (`over` "card") or text over its first `frames` ("shot").

    font: a file, as a path below the storyboard's folder (`Plan.base`); None: the built-in one.
    """

    text: str
    frames: int
    over: Literal["card", "shot"] = "card"
    colour: tuple[int, int, int] = (0, 0, 0)
    text_colour: tuple[int, int, int] = (255, 255, 255)
    font: Path | None = None


@dataclass(frozen=True)
class Sound:
    """A sound file, as a path below the storyboard's folder (`Plan.base`).

    gain: dB. start: the frame at which it begins, counted from its shot's first (the bed: from the film's).
    Fades in seconds. loop: repeated to fill the film (bed only).
    """

    file: Path
    gain: float = 0.0
    start: int = 0
    fade_in: Fraction = Fraction(0)
    fade_out: Fraction = Fraction(0)
    loop: bool = False


@dataclass(frozen=True)
class PlannedShot:
    """One shot: a chain of clips.

    frames: what its clips keep in all; the title card is not counted in it. start: the film frame at which its
    first frame stands; a crossfade's overlap begins there, and its card has ended there, or is being left by
    the crossfade. snapped: what had to be changed of what the author asked, in words.
    takes: how many takes are asked for. draft: the clips as drafts, where takes are drafts until one is picked.
    others: the chains of further takes, to be rendered and not shown.
    """

    id: str
    clips: tuple[PlannedClip, ...]
    frames: int
    snapped: str | None = None
    transition: Transition = Transition()
    title: Title | None = None
    audio: tuple[Sound, ...] = ()
    prompt: str = ""
    start: int = 0
    takes: int = 1
    draft: tuple[PlannedClip, ...] = ()
    others: tuple[tuple[PlannedClip, ...], ...] = ()


@dataclass(frozen=True)
class Deliver:
    """One finished file: `name` without folder, `size` in pixels, `codec` one of `shots.codecs.CODECS`."""

    name: str
    size: tuple[int, int]
    codec: str = "h264"
    scaler: Literal["lanczos", "bicubic", "nearest"] = "lanczos"


@dataclass(frozen=True)
class Terms:
    """How a film is produced; decides no pixel. priority: higher goes first. deadline: as written, see `deadline`.
    gpu_hours: of cameras, for all productions of the film. share: of the cameras, against other films."""

    priority: int = 0
    deadline: str | None = None
    gpu_hours: float | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Plan:
    """A whole film. `frames` is the finished film's length, cards and overlaps counted.

    font: the film's own, which titles have theirs from (`Title.font`), as a path below `base`.
    terms: no part of what is compared or recorded, so that changing them makes no other film.
    on: (event, web address) of those who are told; recorded nowhere, since an address may be a secret.
    """

    film: str
    title: str
    fps: Fraction
    size: tuple[int, int]
    seed: int
    shots: tuple[PlannedShot, ...]
    deliver: tuple[Deliver, ...]
    frames: int
    bed: Sound | None = None
    warnings: tuple[str, ...] = ()
    storyboard: Path = field(default=Path("."), compare=False)
    storyboard_digest: str = field(default="", compare=False)
    terms: Terms = field(default=Terms(), compare=False)
    on: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    font: Path | None = None

    @property
    def base(self) -> Path:
        """The folder that the paths of sounds and fonts begin in."""
        return self.storyboard.parent

    @property
    def clips(self) -> tuple[PlannedClip, ...]:
        """All clips, in film order."""
        return tuple(clip for shot in self.shots for clip in shot.clips)

    @property
    def everything(self) -> tuple[PlannedClip, ...]:
        """All clips to be rendered: those of the film, then other takes of each shot."""
        others = (clip for shot in self.shots for chain in shot.others for clip in chain)
        return (*self.clips, *others)

    @property
    def nfe(self) -> int:
        """Network evaluations of the whole film, were nothing cached: one is one sample through the network once."""
        return sum(clip.nfe for clip in self.clips)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, without where its file lies or what its comments say: equal plans, equal data."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.compare}
        return {"schema": SCHEMA, **plain}

    def to_json(self) -> str:
        """Canonical JSON of `to_dict`, the same bytes for equal plans."""
        return canonical(self.to_dict())


def _plain(value: Any) -> Any:
    """Dataclasses as mappings, rationals as "n/d", paths as text."""
    if isinstance(value, ClipSpec):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    return value.as_posix() if isinstance(value, Path) else value
