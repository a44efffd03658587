"""A job's clips from sampled to stored: decoded, encoded, filed, and told of, one by one and in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from shots.errors import Interrupted
from storage.files import Files
from storage.rows import TakeRow

from .desk import Encode
from .heritage import Heritage
from .job import ClipDone, Worker

if TYPE_CHECKING:
    import torch

    from shots.shoot import Checkpoint, Exposure, Footage, LastPicture, Tail
    from shots.spec import ClipSpec


class Left(NamedTuple):
    """Stored files of a clip: its latents, and what it leaves to the next."""

    latents: str
    tail: str | None


class Developing:
    """The clips of one job. desk: one thread that encodes while the network, or the VAE, goes on. made_by: whose
    checkpoints the states of drafts are. busy: seconds inside networks and VAE of what is developed so far."""

    def __init__(
        self,
        heritage: Heritage,
        worker: Worker,
        made_by: str,
        files: Files,
        encode: Encode,
        desk: ThreadPoolExecutor,
        tell: Callable[[ClipDone], None],
    ) -> None:
        self._heritage, self._worker, self._made_by = heritage, worker, made_by
        self._files, self._encode, self._desk, self._tell = files, encode, desk, tell
        self._filed: deque[Future[ClipDone]] = deque()
        self._left: dict[str, Left] = {}
        self._count = 0
        self.busy = 0.0

    def keep(self, exposure: Exposure) -> str | None:
        """Store what is dear before anything is decoded: latents and tails. The last clip's tail, if it has one."""
        each = zip(exposure.specs, exposure.latents, exposure.states, exposure.tails, strict=True)
        for spec, latents, state, tail in each:
            self._left[spec.key] = self._store(spec, latents, state, tail)
        return self._left[exposure.specs[-1].key].tail

    def develop(self, exposure: Exposure, beside: bool = False, stop: Callable[[], bool] | None = None) -> None:
        """Decode clips and have them filed; asked again after a failure it goes on with the rest.

        stop: looked at between two clips.

        Raises:
            Interrupted: `stop` says so. As `Exposure.develop`, and what filing a clip before has raised.
        """
        pictures = exposure.develop(beside)
        while not (stop and stop()):
            footage = next(pictures, None)
            if footage is None:
                return
            self.busy += footage.seconds["network"] + footage.seconds["vae"]
            self._filed.append(self._desk.submit(self._file, self._count, footage))
            self._count += 1
            while self._filed and self._filed[0].done():
                self._tell(self._filed.popleft().result())
        self.finish()
        raise Interrupted

    def finish(self) -> None:
        """Wait until all that is developed is stored and told of."""
        while self._filed:
            self._tell(self._filed.popleft().result())

    def _store(
        self, spec: ClipSpec, latents: torch.Tensor, state: Checkpoint | None, tail: Tail | LastPicture | None
    ) -> Left:
        from shots.exposure import latents_bytes

        kept = self._files.put_bytes(
            state.to_bytes(self._made_by) if state else latents_bytes(spec, latents), ".safetensors"
        )
        # Without its name: equal tails are one file, which is how the director finds out that what follows can stay.
        nameless = replace(tail, key="") if tail else None
        return Left(kept, self._files.put_bytes(nameless.to_bytes(), ".safetensors") if nameless else None)

    def _file(self, index: int, footage: Footage) -> ClipDone:
        """Encode and store one clip: latents and tail first, since only they are dear."""
        from shots import frames

        left = self._left.pop(footage.spec.key, None)
        if left is None or (left.tail is None and footage.tail is not None):
            left = self._store(footage.spec, footage.latents, footage.state, footage.tail)
        digest = frames.frames_digest(footage.frames)
        worker = self._worker
        tags = {"longtake": self._heritage.record(index, footage, worker, left.latents, left.tail, digest)}
        video, size = self._encode(footage.frames, tags)
        count, height, width, _ = footage.frames.shape
        stored = size + self._files.size(left.latents) + (self._files.size(left.tail) if left.tail else 0)
        row = TakeRow(
            key=footage.spec.key,
            video=video,
            latents=left.latents,
            tail=left.tail,
            frames=count,
            width=width,
            height=height,
            frames_digest=digest,
            nfe=footage.nfe,
            seconds=footage.seconds,
            bytes=stored,
            code_version=worker.code_version,
            environment=self._heritage.environment(worker),
            model_digest=footage.spec.model.digest,
        )
        return ClipDone(self._heritage.job.id, index, row)
