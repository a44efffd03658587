"""A `Camera` inside a Ray actor. Nothing here calls Ray itself but through the handles that it is given."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from shots.errors import ShotsError
from storage.errors import StorageError

from .beside import Side, Sides
from .bookmark import Every
from .camera import Camera
from .darkroom import DecodeBeside
from .job import ENDINGS, Event, Job, Part, Worker
from .landmark import seen
from .metrics import CameraMeter, RayMeter, metered
from .ray_labs import encoded_by
from .relay import UNMARKED, Baton, Inbox, Marks

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("longtake.ray")


class RayCamera:
    """A `Camera` inside a Ray actor.

    Of its threads one renders, another may decode beside it, and the others hear `stop` and the neighbours. Calls may
    overtake each other, so what is said about a job before its `shoot` has begun is kept for it.
    """

    def __init__(
        self,
        files: str,
        name: str,
        device: str,
        threads: int,
        checkpoint_every: Every,
        lab: Any = None,
        decode_beside: DecodeBeside = "auto",
    ) -> None:
        logging.getLogger().setLevel(logging.INFO)  # for the log tails of failures; Ray's workers begin at warnings
        encode = partial(encoded_by, lab) if lab is not None else None
        self._camera = Camera(files, name, device, threads, checkpoint_every, encode, decode_beside)
        self._meter = CameraMeter(RayMeter())
        self._stop = threading.Event()  # for good
        self._stopped: set[str] = set()  # these jobs only
        self._lock = threading.Lock()
        self._inboxes: dict[str, Inbox] = {}
        self._batons: dict[str, Baton] = {}

    def worker(self, landmark: str = "") -> Worker | None:
        """Who this camera is; also proves that the actor is up. None where the store here is not the driver's, which
        has a `landmark.Landmark` there."""
        return self._camera.worker() if seen(landmark) else None

    def stop(self, job_id: str = "") -> None:
        """Stop a job between two steps; without its id, the running one and all that come."""
        if job_id:
            self._stopped.add(job_id)
        else:
            self._stop.set()

    def _asked(self, job_id: str) -> bool:
        return self._stop.is_set() or job_id in self._stopped

    def shoot(self, job: Job, hears: bool = False, left: Any = None, right: Any = None) -> Iterator[Event]:
        """Render a job; yields its events as they happen. After `Sampled` another may begin, while this one goes on.

        hears: the job that this one follows runs on another camera, which will tell this one what it needs to know.
        left, right: of a part of windows, the cameras that render the parts beside it.
        """
        neighbours = [job.follows, *((job.part.left, job.part.right) if job.part else ())]
        with self._lock:  # of earlier jobs nobody speaks any more
            self._inboxes = {n: inbox for n, inbox in self._inboxes.items() if n in neighbours}
            self._batons = {n: baton for n, baton in self._batons.items() if n == job.id}
        inbox = self._inbox(job.follows or "") if hears else None
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        who = self._camera.worker()
        emit = metered(job, who.name, who.host, self._meter, events.put)
        sides = self._sides(job.id, job.part, left, right) if job.part else (None, None)
        work = (job, emit, partial(self._asked, job.id), inbox, self._baton(job.id), sides)
        threading.Thread(target=self._camera.shoot, args=work, daemon=True).start()
        while True:
            event = events.get()
            if isinstance(event, ENDINGS):
                with self._lock:
                    for each in neighbours:
                        self._inboxes.pop(each or "", None)
                yield event
                return
            yield event

    def lead(self, job_id: str, to: Any) -> None:
        """The camera `to` renders the clips after this job's at the same time: hand it all that this one leaves."""

        def hand(state: int, frames: np.ndarray) -> None:
            try:
                to.hear.remote(job_id, state, frames)
            except Exception as error:  # whatever has become of the one that follows, this job goes on
                log.warning("the camera that follows job %s does not hear: %s", job_id, error)

        self._baton(job_id).lead(hand)

    def hear(self, leader_id: str, state: int, frames: np.ndarray, marks: Marks = UNMARKED) -> None:
        """The job that ours follows, or a part beside ours, says what one of its states is (`shots.relay`)."""
        self._inbox(leader_id).put(state, frames, marks)

    def hear_tail(self, leader_id: str, tail: str) -> None:
        """The job that ours follows has stored this tail: in it is what may have been lost on its way to us."""
        try:
            self._inbox(leader_id).end(self._camera.stored_tail(tail))
        except (StorageError, ShotsError) as error:  # what was said so far may be enough
            self._inbox(leader_id).lose(f"the tail that the clips before have left cannot be read: {error}")

    def lose(self, leader_id: str, why: str) -> None:
        """The job that ours follows, or a part beside ours, has ended: ours stops when it needs what was not said."""
        self._inbox(leader_id).lose(why)

    def forget(self, keys: Sequence[str]) -> None:
        """All parts of a job of windows have ended well: their checkpoints have done their work."""
        self._camera.forget(keys)

    def _sides(self, job_id: str, part: Part, left: Any, right: Any) -> Sides:
        def side(name: str, to: Any) -> Side | None:
            def say(step: int, frames: np.ndarray, marks: Marks) -> None:
                try:
                    to.hear.remote(job_id, step, frames, marks)
                except Exception as error:  # we shall be told what has become of it
                    log.warning("the camera beside job %s does not hear: %s", job_id, error)

            return Side(self._inbox(name), say) if name else None

        return side(part.left, left), side(part.right, right)

    def _inbox(self, leader_id: str) -> Inbox:
        with self._lock:
            return self._inboxes.setdefault(leader_id, Inbox())

    def _baton(self, job_id: str) -> Baton:
        with self._lock:
            return self._batons.setdefault(job_id, Baton())
