"""What goes into the ledger and what comes out: frozen dataclasses. Times are seconds since the epoch, UTC."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from .states import AttemptState, ProductionState, RunState, Verdict


@dataclass(frozen=True, slots=True)
class SlateRow:
    """A clip in its place. `spec_json` is what `key` is the hash of; `why` says why it is to be rendered, or ''."""

    shot: str
    clip: int
    key: str
    spec_json: str
    why: str = ""
    take: int = 1


@dataclass(frozen=True, slots=True)
class TakeRow:
    """What an attempt made. `video`, `latents`, `tail` are file ids; `frames_digest` is over the raw RGB frames.

    `seconds` says where the time went ("network", "vae", "total" ...); `bytes` is the size of the files together;
    `model_digest` groups takes for `speeds`.
    """

    key: str
    video: str
    latents: str
    tail: str | None
    frames: int
    width: int
    height: int
    frames_digest: str
    nfe: int
    seconds: Mapping[str, float]
    bytes: int
    code_version: str
    environment: Mapping[str, object] = field(default_factory=dict)
    model_digest: str = ""


@dataclass(frozen=True, slots=True)
class Take(TakeRow):
    """An accepted take. `attempt` is the one that made it."""

    id: int = 0
    attempt: int = 0
    device: str = ""
    accepted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that was planned once."""

    key: str
    spec_json: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of one clip. `message` says what went wrong, or in what a duplicate differed."""

    id: int
    production: int
    key: str
    state: AttemptState
    host: str
    pid: int
    device: str
    worker: str
    started_at: float
    ended_at: float | None
    error_type: str | None
    message: str | None
    trace: str | None
    log_tail: str | None
    failure_digest: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A chain that is not tried again until it is released."""

    id: int
    film: str
    shot: str
    chain_key: str
    reason: str
    failure_digest: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Production:
    """One run of one film. `run`: what was handed to a cluster, when it was."""

    id: int
    film: str
    title: str
    storyboard_path: str
    storyboard_digest: str
    state: ProductionState
    message: str | None
    host: str
    pid: int
    started_at: float
    ended_at: float | None
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has claimed a film. `alive` is None when the process is on another machine; `expires_at` decides then."""

    host: str
    pid: int
    since: float
    expires_at: float
    alive: bool | None


@dataclass(frozen=True, slots=True)
class Film:
    """A film, as its last production tells it. `productions` counts them."""

    film: str
    productions: int
    last: Production


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement for estimates: `nfe` evaluations of a clip of this shape took `seconds` and left `bytes`."""

    frames: int
    width: int
    height: int
    nfe: int
    seconds: Mapping[str, float]
    bytes: int


@dataclass(frozen=True, slots=True)
class FileUse:
    """What a stored file is for: `kind` is video, latents or tail (of the take of `key`), print (of file `key`),
    package (of run `key`) or picture (of film `key`)."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class FilmVersion:
    """A finished film file."""

    id: int
    production: int
    film: str
    path: str
    file_digest: str
    frames: int
    fps: Fraction
    cut_json: str
    lineage_json: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Pin:
    """Clip `clip` of the shot stays the one of `key`, whatever the storyboard says, until `removed_at`."""

    id: int
    film: str
    shot: str
    clip: int
    key: str
    note: str
    created_at: float
    removed_at: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What somebody thought of the take of `key` in this place, until `replaced_at`."""

    id: int
    film: str
    shot: str
    clip: int
    key: str
    verdict: Verdict
    note: str
    created_at: float
    replaced_at: float | None


@dataclass(frozen=True, slots=True)
class Retake:
    """One more take of a shot: all its clips again, from another seed."""

    film: str
    shot: str
    take: int
    seed: int
    note: str
    created_at: float


@dataclass(frozen=True, slots=True)
class PlacedTake:
    """A take that stood in one place of a film, and its clip's spec."""

    take: Take
    spec_json: str


@dataclass(frozen=True, slots=True)
class Submission:
    """One hand-over of a run to a cluster: `job` is its name there, at `address`. `host` and `pid` are the driver's.

    silent: seconds since the driver was last heard of; None while there has been none.
    """

    number: int
    job: str
    address: str
    state: RunState
    message: str | None
    exit_code: int | None
    host: str | None
    pid: int | None
    submitted_at: float
    began_at: float | None
    ended_at: float | None
    heard_at: float | None
    silent: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """Storyboards that were handed to a cluster. `package`: a file id. `options`: how to render, for the driver.

    wish: `pause` or `cancel`, when somebody has asked for it. submissions: the first one first, at least one.
    """

    id: str
    package: str
    films: tuple[str, ...]
    options: Mapping[str, object]
    host: str
    wish: str | None
    created_at: float
    submissions: tuple[Submission, ...]

    @property
    def last(self) -> Submission:
        """The newest hand-over, which says how the run stands."""
        return self.submissions[-1]


@dataclass(frozen=True, slots=True)
class Report:
    """What the process that renders a film said of it last (JSON), and how many seconds ago."""

    film: str
    text: str
    age: float


@dataclass(frozen=True, slots=True)
class Spell:
    """A camera worked from `began` to `ended` (now, while it is `running`)."""

    host: str
    worker: str
    device: str
    began: float
    ended: float
    running: bool = False


def micros() -> int:
    """Now, in microseconds since the epoch."""
    return time.time_ns() // 1000


def seconds(time_us: int) -> float:
    """Microseconds since the epoch as seconds."""
    return time_us / 1e6


def seconds_or_none(time_us: int | None) -> float | None:
    """As `seconds`, for moments that may not have come."""
    return None if time_us is None else time_us / 1e6


def storable(text: str, most: int = 65536) -> str:
    """`text` as both databases take it: no NUL (Postgres refuses it), no half characters, the last `most` letters."""
    clean = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return clean if len(clean) <= most else "[...]" + clean[-most:]
