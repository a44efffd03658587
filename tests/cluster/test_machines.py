"""Machines that share a store elsewhere and nothing else: what one of them leaves half made, another goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.bookmark import Every
from cluster.executor import InProcess
from cluster.job import Event, Job, JobDone, JobStopped, Sending, Stepped
from storage.remote import RemoteFiles, open_files
from tests.storage.lines import Line, line

from .test_executors import chain, digests, finish

__all__ = ["line"]
STEPS = 12
SELDOM = Every(3600)
"""Only at a stop, and when sampling is done."""


def machine(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> InProcess:
    """A camera of a machine whose disk is that folder."""
    monkeypatch.setenv("LONGTAKE_CACHE", str(folder))
    return InProcess(url, "cpu", checkpoint_every=SELDOM)


def stopped(executor: InProcess, job: Job, step: int, act: Callable[[Event], None]) -> list[Event]:
    """What a job says that is stopped as soon as it has made that step. act: is shown every event."""
    executor.submit(job)

    def shown(event: Event) -> None:
        act(event)
        if isinstance(event, Stepped) and event.step >= step:
            executor.cancel()

    events: list[Event] = finish(executor, act=shown)
    executor.close()
    executor._thread.join(60)  # the machine is gone
    return events


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Stepped)]


def test_a_camera_that_has_to_leave_sends_its_checkpoint_first_and_no_step_is_made_twice(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job("j", "f", "s", 1, chain(1, STEPS))
    undisturbed = InProcess(tmp_path / "undisturbed", "cpu")
    undisturbed.submit(job)
    expected = digests(finish(undisturbed))
    undisturbed.close()

    def slow(event: Event) -> None:
        """The line lets nothing through until the camera says that it waits for it."""
        Line.free.set() if isinstance(event, Sending) else Line.free.clear()

    left = stopped(machine(monkeypatch, line, tmp_path / "a"), job, 3, slow)
    assert isinstance(left[-1], JobStopped)
    assert isinstance(left[-2], Sending)
    Line.free.set()
    last = steps(left)[-1]
    assert arrived() == [last], "it was there before the camera said that it had stopped"

    def dying(event: Event) -> None:
        """The store is away from the first step on."""
        Line.dead = Line.dead or (isinstance(event, Stepped) and event.step > 0)

    monkeypatch.setattr("cluster.sending.SEND_SECONDS", 0.3)
    stays = stopped(machine(monkeypatch, line, tmp_path / "a"), job, last + 3, dying)
    assert isinstance(stays[-1], JobStopped), "nobody waits for ever"
    assert steps(stays)[1] == last + 1
    assert "the last checkpoint was not sent within 0 s" in caplog.text
    Line.dead = False

    other = machine(monkeypatch, line, tmp_path / "b")
    other.submit(job)
    went_on = finish(other)
    other.close()
    assert isinstance(went_on[-1], JobDone)
    assert steps(went_on) == [0, *range(last + 1, STEPS + 1)], "b begins where the last one ends that arrived"
    assert digests(went_on) == expected
    files = open_files(line)
    assert isinstance(files, RemoteFiles)
    assert not [path for path in files._far.open()[0].find(files._far.base) if "checkpoints" in path]


def arrived() -> list[int]:
    """Steps of the checkpoints that have come to the store."""
    return [int(path.rsplit("/", 1)[1][:6]) for path in Line.sent if "/checkpoints/" in path]
