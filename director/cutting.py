"""Films whose clips are all there go to the cutter, one after another, beside the run loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from cluster.desk import Desk
from storage.errors import FileDamaged, FileMissing
from storage.rows import Take

from .observer import Cutter, Quiet
from .underway import FilmUnderWay


class Cutting:
    """True while a film is being cut, or is about to be.

    desk: where pictures are decoded and encoded; called by the loop when a cut asks for it. None: where the cut is.
    """

    def __init__(
        self, cut: Cutter, show: Quiet, takes: Mapping[str, Take], desk: Callable[[], Desk | None] | None = None
    ) -> None:
        self._cut, self._show, self._takes, self._desk = cut, show, takes, desk
        self._asked: deque[Future[Desk | None]] = deque()
        self._closed = False
        self._scissors = ThreadPoolExecutor(1, thread_name_prefix="longtake-cut")
        self._ready: deque[FilmUnderWay] = deque()
        self._under_way: list[FilmUnderWay] = []

    def __bool__(self) -> bool:
        return bool(self._ready or self._under_way)

    def ready(self, film: FilmUnderWay) -> None:
        """It is cut at the next turn when it lacks nothing."""
        if not film.missing:
            self._ready.append(film)

    def turn(self) -> Iterator[tuple[FilmUnderWay, BaseException | None]]:
        """Begin what can be begun; the films whose cut has ended, with what went wrong."""
        self._answer()
        while self._ready:
            film = self._ready.popleft()
            if film.result is None and film.cut is None and not film.missing:
                self._show.film_cuts(film.plan)
                keys = {clip.key for clip in film.plan.everything}
                takes = {key: self._takes[key] for key in keys & self._takes.keys()}
                film.cut = self._scissors.submit(self._cut, film.plan, film.production, takes, self._ask)
                self._under_way.append(film)
        for film in [film for film in self._under_way if film.cut is None or film.cut.done()]:
            self._under_way.remove(film)
            if film.cut is not None and film.result is None:
                yield film, film.cut.exception()

    def damaged(self, film: FilmUnderWay, error: BaseException | None) -> set[str]:
        """The damaged files that a cut failed for; one seldom comes alone. Empty when it failed for something else."""
        if not isinstance(error, FileDamaged | FileMissing):
            return set()
        film.cut = None
        return {error.id, *self._cut.damaged(film.plan, dict(self._takes))}

    def close(self, wait: bool) -> None:
        """Cut no more. wait: until the cut that is under way is done."""
        self._closed = True
        for asked in list(self._asked):  # a cut may just ask
            asked.cancel()
        self._scissors.shutdown(wait=wait, cancel_futures=True)

    def _ask(self) -> Desk | None:
        """The desk, as a cut asks for it. The loop answers: only there may a cluster be joined."""
        if self._desk is None:
            return None
        asked: Future[Desk | None] = Future()
        self._asked.append(asked)
        if self._closed:
            asked.cancel()
        return asked.result()

    def _answer(self) -> None:
        while self._asked and self._desk:
            try:
                self._asked[0].set_result(self._desk())
            except Exception as error:
                self._asked[0].set_exception(error)
            self._asked.popleft()
