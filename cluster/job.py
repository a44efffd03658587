"""What crosses a process boundary: jobs out, events back. Specs, file ids and plain data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from shots.spec import ClipSpec
from storage.rows import TakeRow


@dataclass(frozen=True)
class Rank:
    """What decides which of many waiting jobs goes first.

    priority: higher goes first. deadline: of its film, seconds since the epoch. work: network evaluations of the job.
    path: network evaluations from the beginning of this job to the end of its chain, the job's own among them.
    share: of the cameras' time, against that of other films. extra: a take that the film can do without.
    """

    priority: int = 0
    deadline: float | None = None
    work: float = 0.0
    path: float = 0.0
    share: float = 1.0
    extra: bool = False


@dataclass(frozen=True)
class Part:
    """Which part of a job of windows this is, when several cameras render it, all of them at the same time.

    job: the id of the whole one. group: all its clips. number: of this part, from 0, of `count`.
    """

    job: str
    group: tuple[ClipSpec, ...]
    number: int
    count: int

    def id(self, number: int) -> str:
        """The job id of a part."""
        return f"{self.job}:{number}"

    @property
    def left(self) -> str:
        """The id of the part with the windows before these, '' when there are none."""
        return self.id(self.number - 1) if self.number else ""

    @property
    def right(self) -> str:
        """The id of the part with the windows after these, '' when there are none."""
        return self.id(self.number + 1) if self.number + 1 < self.count else ""


@dataclass(frozen=True)
class Job:
    """A run of consecutive clips of one chain, denoised together in lockstep.

    `first` is the number of the first clip in its shot, counted from 1. `tail` is the stored tail of the clip
    before it, None when the job begins the chain. `chain`: the clips that led to that tail, from the first on.
    `follows`: the job that renders the clips just before, when it has not ended yet: the two may run at the same
    time on two cameras, or one after another, when `submit` brings this job once more, with its tail.
    `rung`: how far down the memory ladder the camera begins (`shots.memory`); `memory`: bytes of device memory that
    were not enough for it. `avoid`: the camera that failed it last, by no fault of the job. `starts`: stored files
    in which drafts of the first clips were left (`shots.drafts`), from where the job can go on. `apart`: its clips are
    not decoded beside the sampling of others, since the memory was not enough for both. `lockstep`: clips that each
    camera gets when several share a job of windows; 0: one camera renders it. `part`: it is such a part
    (`cluster.parts`).
    """

    id: str
    film: str
    shot: str
    first: int
    specs: tuple[ClipSpec, ...]
    tail: str | None = None
    chain: tuple[ClipSpec, ...] = ()
    follows: str | None = None
    rank: Rank = Rank()
    rung: int = 0
    memory: int = 0
    avoid: str = ""
    starts: tuple[str, ...] = ()
    apart: bool = False
    lockstep: int = 0
    part: Part | None = None

    @property
    def whole(self) -> str:
        """The id of the job that this is, or is a part of."""
        return self.part.job if self.part else self.id

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of the clips, in chain order. Hashed once: a key costs tens of microseconds."""
        return tuple(spec.key for spec in self.specs)


@dataclass(frozen=True)
class Worker:
    """Who renders: shown in `status` and kept in the ledger."""

    name: str
    host: str
    pid: int
    device: str
    code_version: str
    environment: dict[str, str] = field(default_factory=dict)
    memory: int = 0  # bytes of the device, 0 where nobody knows


@dataclass(frozen=True)
class Started:
    """A camera has taken the job. keys: of the clips that it renders, where several share the job; each says so."""

    job: str
    worker: Worker
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loading:
    """The camera is loading a model it did not have warm."""

    job: str
    model: str


@dataclass(frozen=True)
class Stepped:
    """`step` of `steps` denoising steps of the whole group are done; 0 when the model is ready."""

    job: str
    step: int
    steps: int


@dataclass(frozen=True)
class Sending:
    """The job is about to stop: its last checkpoint is on its way to a store elsewhere, which takes a moment."""

    job: str


@dataclass(frozen=True)
class Sampled:
    """All clips of the job are sampled, their latents and tails are stored, and they are decoded beside whatever the
    camera is given next: it is free. What comes of the job comes later. `tail`: what its last clip leaves, if known."""

    job: str
    tail: str | None


@dataclass(frozen=True)
class ClipDone:
    """The `index`-th clip of the job is stored; `take` is what the ledger should remember."""

    job: str
    index: int
    take: TakeRow


@dataclass(frozen=True)
class JobDone:
    """All clips of the job are stored. `busy` counts seconds inside networks and VAE, `wall` all of the job.

    rung: where on the memory ladder the job ended, for the next one of its model and size. apart: those are not to be
    decoded beside the sampling of others.
    """

    job: str
    busy: float
    wall: float
    rung: int = 0
    apart: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a job ended early.

    machine: the fault lies with disk, memory, device or model files, not with the clip, which is never held for it.
    file: a stored file that was found damaged or missing. memory: the device's memory was not enough, whatever the
    camera tried. worker: the process died, or its node did, so that the fault may lie with either.
    """

    error: str
    message: str
    trace: str = ""
    log_tail: str = ""
    machine: bool = False
    file: str | None = None
    memory: bool = False
    worker: bool = False


@dataclass(frozen=True)
class JobFailed:
    """The job ended early; clips already reported done stay done. keys: of the clips that failed, where several cameras
    shared the job; the others had to stop."""

    job: str
    failure: Failure
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobStopped:
    """The job ended because it was told to. elsewhere: why it has to go on on another camera, which is no failure."""

    job: str
    elsewhere: str = ""


@dataclass(frozen=True)
class NodeSetAside:
    """A node gets no more jobs: too many that it was given failed there and not elsewhere. Belongs to no job."""

    host: str
    reason: str
    job: str = ""


@dataclass(frozen=True)
class NodeTakenBack:
    """A node that was set aside gets jobs again: its time is over. Belongs to no job."""

    host: str
    job: str = ""


Event = (
    Started
    | Loading
    | Stepped
    | Sampled
    | Sending
    | ClipDone
    | JobDone
    | JobFailed
    | JobStopped
    | NodeSetAside
    | NodeTakenBack
)
ENDINGS = (JobDone, JobFailed, JobStopped)
