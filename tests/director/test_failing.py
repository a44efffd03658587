"""What is done about a clip that failed: each kind of failure, exactly."""

from pathlib import Path

import pytest

from cluster.job import Failure
from director.failing import GIB, LONGEST_PAUSE, MOST_TRIES, SAME, pause, remedy
from storage.attempts import failure_digest
from storage.rows import Attempt
from storage.states import AttemptState

BAD = Failure("BadFootage", "clip 3 is not a number", "Traceback\n  line 12 in decode\n")
DIED = Failure("WorkerDied", "the worker died", worker=True)
DISK = Failure("StoreUnreachable", "no answer", machine=True)
FULL = Failure("OutOfMemory", "no room", memory=True)


def past(failure: Failure, times: int, trace: str | None = None) -> list[Attempt]:
    digest = failure_digest(failure.error, failure.message)
    trace = failure.trace if trace is None else trace
    return [
        Attempt(
            n, 1, "k", AttemptState.FAILED, "h", 1, "cpu", "w", 0.0, 1.0, failure.error, failure.message, trace, "",
            digest,
        )
        for n in range(times)
    ]  # fmt: skip


def kind(failure: Failure, tries: int = 1, of: list[Attempt] | None = None, halves=False, memory=0, most=0):
    return remedy(failure, past(failure, tries) if of is None else of, tries, halves, memory, most)


def test_the_same_trace_twice_holds_a_clip():
    assert kind(BAD, 1).kind == "again"
    assert kind(BAD, SAME).kind == "hold"
    assert kind(BAD, SAME).why == "BadFootage: clip 3 is not a number"


def test_numbers_in_a_trace_make_no_other_failure_but_another_place_does():
    later = past(BAD, 1) + past(BAD, 1, BAD.trace.replace("12", "340"))
    assert kind(BAD, 2, of=later).kind == "hold"
    assert kind(BAD, 2, of=past(BAD, 1) + past(BAD, 1, "Traceback\n in encode\n")[:0]).kind == "again"
    assert kind(BAD, 2, of=past(BAD, 1, "elsewhere") + past(BAD, 1)).kind == "again"


def test_what_never_looks_the_same_is_left_after_a_while():
    assert kind(BAD, MOST_TRIES, of=[]).kind == "leave"


def test_a_worker_that_died_is_tried_elsewhere_after_a_growing_pause_and_never_held():
    found = [kind(DIED, tries) for tries in range(1, MOST_TRIES + 1)]
    assert [each.kind for each in found] == ["again"] * (MOST_TRIES - 1) + ["leave"]
    assert [each.pause for each in found[:-1]] == [1, 2, 4, 8, 16]


def test_a_machine_that_fails_the_same_way_three_times_is_left_not_held():
    assert [kind(DISK, tries).kind for tries in (1, 2, 3)] == ["again", "again", "leave"]


def test_too_little_memory_halves_the_group_then_wants_a_larger_camera_then_holds():
    assert kind(FULL, halves=True, memory=24 * GIB, most=80 * GIB).kind == "halves"
    assert kind(FULL, memory=24 * GIB, most=80 * GIB).kind == "larger"
    held = kind(FULL, memory=24 * GIB, most=24 * GIB)
    assert held.kind == "hold"
    assert "24.0 GiB" in held.why
    assert kind(FULL).kind == "again"


@pytest.mark.parametrize("tries", [7, 20, 100])
def test_pauses_are_capped(tries):
    assert pause(tries) == LONGEST_PAUSE


def test_the_command_that_shows_a_failure(film_studio):
    from director.failing import rerun

    plan = film_studio.plan({"id": "a", "prompt": "a red boat", "frames": 8}, name="my film.json")
    command = rerun(film_studio.places, plan, "a/1")
    assert command.startswith("longtake -v render --retry-held --shot a/1 '")
    assert Path(film_studio.folder).name in command
    assert "--data" in command
