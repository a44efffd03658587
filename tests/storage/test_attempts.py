"""Attempts and the takes that come of them."""

from __future__ import annotations

import dataclasses
import time

import pytest

from storage.errors import IllegalTransition, NotRecorded
from storage.ledger import Ledger
from storage.rows import FileUse, Sample, Take
from storage.states import AttemptState, ProductionState
from tests.storage.examples import slates_of, start_harbour, take_row

KEYS = [row.key for row in slates_of(3)]
KEY = KEYS[0]


def begin(ledger: Ledger, production: int, key: str = KEY) -> int:
    (attempt,) = ledger.begin_attempts(production, [key], "cpu", "local")
    return attempt


def states(ledger: Ledger, key: str = KEY) -> list[str]:
    return [str(a.state) for a in ledger.attempts(key)]


def test_a_finished_attempt_makes_the_take(ledger: Ledger, production: int) -> None:
    attempts = ledger.begin_attempts(production, KEYS, "cuda:0", "camera 2")
    made = take_row(KEYS[1], tail=None)
    take = ledger.finish_attempt(attempts[1], made)
    assert take == ledger.take(KEYS[1]) == ledger.takes(KEYS)[KEYS[1]]
    assert {f: getattr(take, f) for f in made.__dataclass_fields__} == {
        f: getattr(made, f) for f in made.__dataclass_fields__
    }
    assert (take.attempt, take.device) == (attempts[1], "cuda:0")
    assert list(ledger.takes(KEYS)) == [KEYS[1]]
    assert [states(ledger, k) for k in KEYS] == [["running"], ["done"], ["running"]]
    shown = ledger.attempts(KEYS[1])[0]
    assert (shown.production, shown.worker, shown.device) == (production, "camera 2", "cuda:0")
    assert shown.ended_at is not None
    assert shown.ended_at >= shown.started_at


def test_finishing_twice_is_finishing_once(ledger: Ledger, production: int) -> None:
    attempt = begin(ledger, production)
    assert ledger.finish_attempt(attempt, take_row(KEY)) == ledger.finish_attempt(attempt, take_row(KEY))
    assert states(ledger) == ["done"]


def test_the_first_take_of_a_clip_stays(ledger: Ledger, production: int) -> None:
    first, second, third = (begin(ledger, production) for _ in range(3))
    accepted = ledger.finish_attempt(second, take_row(KEY))
    assert ledger.finish_attempt(first, take_row(KEY, video="sha256-" + "0" * 64)) == accepted
    assert ledger.finish_attempt(third, take_row(KEY, frames_digest="other")) == accepted
    assert states(ledger) == ["duplicate", "done", "duplicate"]
    same, _, other = ledger.attempts(KEY)
    assert same.message is None
    assert other.message is not None
    assert other.message.startswith(f"its frames differ from those of take {accepted.id}: other, accepted ")


@pytest.mark.parametrize(("end", "state"), [("fail", "failed"), ("interrupt", "interrupted")])
def test_what_has_ended_otherwise_does_not_finish(ledger: Ledger, production: int, end: str, state: str) -> None:
    attempt = begin(ledger, production)
    if end == "fail":
        ledger.fail_attempt(attempt, "ValueError", "no")
    else:
        ledger.interrupt_attempt(attempt)
    with pytest.raises(IllegalTransition, match=f"is {state} and cannot become done"):
        ledger.finish_attempt(attempt, take_row(KEY))
    assert ledger.take(KEY) is None
    assert states(ledger) == [state]


def test_an_attempt_given_up_as_lost_may_still_finish(ledger: Ledger, production: int) -> None:
    late, other = begin(ledger, production), begin(ledger, production, KEYS[1])
    ledger.claim_film("harbour")
    assert states(ledger) == ["lost"]
    assert ledger.finish_attempt(late, take_row(KEY)).attempt == late
    ledger.fail_attempt(other, "ValueError", "no")
    assert states(ledger) + states(ledger, KEYS[1]) == ["done", "failed"]


def test_what_was_never_begun_or_planned_is_not_recorded(ledger: Ledger, production: int) -> None:
    with pytest.raises(NotRecorded, match="no attempt 99"):
        ledger.finish_attempt(99, take_row(KEY))
    with pytest.raises(NotRecorded, match=f"of clip {KEYS[1]}"):
        ledger.finish_attempt(begin(ledger, production), take_row(KEYS[1]))
    with pytest.raises(NotRecorded, match="no clip feed"):
        ledger.begin_attempts(production, [KEY, "feed"], "cpu", "w")
    with pytest.raises(NotRecorded, match="no production 99"):
        ledger.begin_attempts(99, [KEY], "cpu", "w")
    assert states(ledger) == ["running"]
    assert ledger.begin_attempts(production, [], "cpu", "w") == []


def test_a_failure_is_remembered_with_all_that_helps(ledger: Ledger, production: int) -> None:
    attempt = begin(ledger, production)
    digest = ledger.fail_attempt(attempt, "OutOfMemory", "no\x00memory", "Traceback ...", "x" * 100_000 + "the end")
    (failure,) = ledger.failures(KEYS)[KEY]
    assert (failure.id, failure.state, failure.failure_digest) == (attempt, AttemptState.FAILED, digest)
    assert (failure.error_type, failure.message, failure.trace) == ("OutOfMemory", "no\\x00memory", "Traceback ...")
    assert failure.log_tail is not None
    assert failure.log_tail.endswith("xxxthe end")
    assert len(failure.log_tail) < 70_000


def test_failures_alike_have_one_digest(ledger: Ledger, production: int) -> None:
    def digest(kind: str, message: str) -> str:
        return ledger.fail_attempt(begin(ledger, production), kind, message)

    first = digest("OutOfMemory", "tried 2.50 GiB at 0x7fa1, 300 MiB free")
    assert first == digest("OutOfMemory", "tried 17.25 GiB at 0xb00c, 4 MiB free")
    assert first != digest("OutOfMemory", "tried the door")
    assert first != digest("MemoryError", "tried 2.50 GiB at 0x7fa1, 300 MiB free")


def test_a_success_ends_the_count_of_failures(ledger: Ledger, production: int) -> None:
    for _ in range(2):
        ledger.fail_attempt(begin(ledger, production), "ValueError", "no")
    ledger.interrupt_attempt(begin(ledger, production))
    assert [f.id for f in ledger.failures(KEYS)[KEY]] == [1, 2]
    ledger.finish_attempt(begin(ledger, production), take_row(KEY))
    assert ledger.failures(KEYS) == {}
    ledger.fail_attempt(last := begin(ledger, production), "ValueError", "no")
    assert [f.id for f in ledger.failures(KEYS)[KEY]] == [last]


def test_what_died_with_its_process_is_counted_until_a_success_or_a_release(ledger: Ledger, production: int) -> None:
    for _ in range(2):
        ledger.begin_attempts(start_harbour(ledger, slates_of(3)), KEYS[:2], "cpu", "w")
        ledger.claim_film("harbour").release()
    assert {key: len(lost) for key, lost in ledger.losses(KEYS).items()} == {KEYS[0]: 2, KEYS[1]: 2}
    (shown, _) = ledger.losses([KEY])[KEY]
    assert (shown.state, shown.message) == (AttemptState.LOST, "its process died")
    assert ledger.failures(KEYS) == {}, "nobody knows that it was the clip's fault"
    last = start_harbour(ledger, slates_of(3))
    ledger.finish_attempt(begin(ledger, last), take_row(KEY))
    assert list(ledger.losses(KEYS)) == [KEYS[1]]
    ledger.release_holds("harbour", "dawn")
    assert ledger.losses(KEYS) == {}


def test_attempts_of_many_clips_are_asked_for_together(ledger: Ledger, production: int) -> None:
    first, second = ledger.begin_attempts(production, KEYS[:2], "cpu", "w")
    ledger.fail_attempt(first, "ValueError", "no", "Traceback", "the last lines")
    again = begin(ledger, production)
    found = ledger.attempts_of([*KEYS, "feed"])
    assert {key: [a.id for a in each] for key, each in found.items()} == {KEY: [first, again], KEYS[1]: [second]}
    assert found[KEY] == ledger.attempts(KEY)
    assert (found[KEY][0].trace, found[KEY][0].log_tail) == ("Traceback", "the last lines")


def test_a_clock_that_is_put_back_makes_no_attempt_end_before_it_began(
    ledger: Ledger, production: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, lost = ledger.begin_attempts(production, KEYS[:2], "cpu", "w")
    an_hour_ago = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    ledger.finish_attempt(attempt, take_row(KEY))
    ledger.end_production(production, ProductionState.DONE)
    ledger.claim_film("harbour")
    for each in (*ledger.attempts(KEY), *ledger.attempts(KEYS[1]), *ledger.productions("harbour")):
        assert each.ended_at is not None
        assert each.ended_at >= each.started_at
    assert ledger.attempts(KEYS[1])[0].id == lost


def test_a_damaged_take_is_not_served_and_made_again(ledger: Ledger, production: int) -> None:
    old = ledger.finish_attempt(begin(ledger, production), take_row(KEY))
    assert ledger.drop_take(KEY, "video altered")
    assert ledger.take(KEY) is None
    assert ledger.takes(KEYS) == {}
    assert ledger.file_uses() == {}
    assert not ledger.drop_take(KEY, "again")
    new = ledger.finish_attempt(begin(ledger, production), take_row(KEY))
    assert isinstance(new, Take)
    assert new.id != old.id
    assert states(ledger) == ["done", "done"]


def test_repeating_a_finish_whose_take_is_damaged_makes_no_take(ledger: Ledger, production: int) -> None:
    attempt = begin(ledger, production)
    ledger.finish_attempt(attempt, take_row(KEY))
    ledger.drop_take(KEY, "video altered")
    with pytest.raises(IllegalTransition, match="is done"):
        ledger.finish_attempt(attempt, take_row(KEY))
    assert ledger.take(KEY) is None


def test_a_damaged_file_takes_what_used_it_along(ledger: Ledger, production: int) -> None:
    first, second = ledger.begin_attempts(production, KEYS[:2], "cpu", "w")
    take = ledger.finish_attempt(first, take_row(KEY))
    ledger.finish_attempt(second, take_row(KEYS[1], latents=take.latents))
    ledger.record_print(take.video, "h264", "sha256-print", 7)
    assert ledger.file_uses()[take.latents] == [FileUse("latents", KEY), FileUse("latents", KEYS[1])]
    assert ledger.file_uses()["sha256-print"] == [FileUse("print", take.video)]

    assert ledger.drop_file("sha256-print", "altered") == [FileUse("print", take.video)]
    assert ledger.prints_of([take.video], "h264") == {}
    assert set(ledger.takes(KEYS)) == set(KEYS[:2])
    assert ledger.drop_file(take.latents, "altered") == [FileUse("latents", KEY), FileUse("latents", KEYS[1])]
    assert ledger.takes(KEYS) == ledger.file_uses() == {}
    assert ledger.drop_file(take.latents, "altered") == []


def test_a_dropped_take_keeps_no_prints_of_its_video(ledger: Ledger, production: int) -> None:
    take = ledger.finish_attempt(begin(ledger, production), take_row(KEY))
    ledger.record_print(take.video, "h264", "sha256-print", 7)
    ledger.drop_file(take.video, "altered")
    assert ledger.prints_of([take.video], "h264") == {}


def test_clips_are_found_by_the_beginning_of_their_key(ledger: Ledger) -> None:
    start_harbour(ledger, slates_of(300))
    keys = sorted(row.key for row in slates_of(300))
    assert ledger.find_clips(keys[7][:12]) == [keys[7]]
    assert ledger.find_clips(keys[7][:1], most=300) == [k for k in keys if k[0] == keys[7][0]]
    assert ledger.find_clips("") == keys[:100]
    assert ledger.find_clips("%") == ledger.find_clips("_") == []
    clip = ledger.clip(KEY)
    assert clip is not None
    assert clip.spec_json == slates_of(1)[0].spec_json
    assert ledger.clip("feed") is None


def test_measurements_are_of_one_model_on_one_device_and_the_newest_come_first(ledger: Ledger, production: int) -> None:
    for key, device, model in zip(KEYS, ("cpu", "cuda", "cpu"), ("m", "m", "m"), strict=True):
        (attempt,) = ledger.begin_attempts(production, [key], device, "w")
        ledger.finish_attempt(attempt, take_row(key, model_digest=model, bytes=KEYS.index(key)))
    expected = [Sample(16, 64, 48, 50, {"network": 1.5, "total": 2.0}, b) for b in (2, 0)]
    assert ledger.speeds("m", "cpu") == expected
    assert ledger.speeds("m", "cpu", most=1) == expected[:1]
    assert ledger.speeds("another", "cpu") == []


def test_a_take_is_counted_for_the_device_that_it_was_made_on(ledger: Ledger) -> None:
    """A camera that has no model yet begins the attempt as 'auto'."""
    (key,) = [row.key for row in slates_of(1)]
    production = start_harbour(ledger, slates_of(1))
    (attempt,) = ledger.begin_attempts(production, [key], "auto", "camera 1")
    made = dataclasses.replace(take_row(key), environment={"device": "cuda:1"}, model_digest="m")
    assert ledger.finish_attempt(attempt, made).device == "cuda:1"
    assert len(ledger.speeds("m", "cuda:1")) == 1
    assert ledger.speeds("m", "auto") == []
