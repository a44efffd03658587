"""Making room: what is needed stays, whatever it is needed for; the rest goes, and only when asked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from storage import gc
from storage.checkpoints import Checkpoints
from storage.files import Files
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import SlateRow
from storage.states import AttemptState, ProductionState, TakeState, Verdict
from tests.storage.examples import key_of, slates_of, start_harbour, take_row
from tests.storage.processes import Worker
from tests.storage.stored import produce, shoot

ELSEWHERE = Owner("farm7", "another machine", 4242, 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """On SQLite: the questions are plain ones. Where something is removed for good, `both` asks Postgres too."""
    with Ledger.open(tmp_path / "data" / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def both(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def changed(count: int, shot: str = "dawn", version: int = 2) -> list[SlateRow]:
    """The shot after an edit: other clips in the same places."""
    return [SlateRow(shot, i, key_of((shot, i, version)), f'{{"version": {version}}}') for i in range(1, count + 1)]


def swept(ledger: Ledger, files: Files, **more: object) -> set[str]:
    """Keys of the takes that went; what stays must be whole."""
    planned = gc.plan(ledger, files, **more)
    before = (dict(ledger.file_uses()), set(files.ids()))
    done = gc.sweep(ledger, files, planned, **{k: v for k, v in more.items() if k == "forget"})
    assert set(done.files) <= set(planned.files) <= before[1]
    assert set(files.ids()) == before[1] - set(done.files)
    assert all(files.verify(id) for id in ledger.file_uses()), "a row never names what is not there"
    assert (done.kept, done.bytes) == (len(set(files.ids())), sum(done.files.values()))
    return {take.key for take in done.takes}


def keys(rows: list[SlateRow]) -> set[str]:
    return {row.key for row in rows}


def test_a_film_that_is_finished_and_not_edited_needs_all_it_has(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(3))
    planned = gc.plan(ledger, files)
    assert (planned.takes, planned.files, planned.prints, planned.kept) == ((), {}, 0, 12)
    assert swept(ledger, files) == set()


def test_what_an_edit_left_behind_goes_with_its_files_and_prints(both: Ledger, files: Files) -> None:
    ledger = both
    first, second = slates_of(3), [*changed(2), slates_of(3)[2]]
    produce(ledger, files, first)
    old = ledger.takes(keys(first[:2]))
    produce(ledger, files, second)
    planned = gc.plan(ledger, files)
    assert {take.key for take in planned.takes} == keys(first[:2])
    gone = {file for take in old.values() for file in (take.video, take.latents, take.tail)}
    prints = set(ledger.prints_of([take.video for take in old.values()], "h264").values())
    assert set(planned.files) == gone | prints
    assert planned.prints == 2
    assert len(list(files.ids())) == 20, "a plan removes nothing"

    assert swept(ledger, files) == keys(first[:2])
    assert ledger.takes(keys(first)).keys() == {first[2].key}
    found = ledger.take_by_id(old[first[0].key].id)
    assert found is not None
    assert found[1] is TakeState.REMOVED
    assert ledger.dropped(keys(first)) == {}, "it is not damaged"
    assert ledger.prints_of([old[first[0].key].video], "h264") == {}
    assert [a.state for a in ledger.attempts(first[0].key)] == [AttemptState.DONE], "what was is still told"
    assert swept(ledger, files) == set()
    assert shoot(ledger, files, 2, first[0].key).id > 5, "and it may be made again"


@pytest.mark.parametrize("choice", ["pin", "pick"])
def test_what_somebody_chose_stays_until_it_is_let_go(ledger: Ledger, files: Files, choice: str) -> None:
    first = slates_of(2)
    produce(ledger, files, first)
    produce(ledger, files, changed(2))
    if choice == "pin":
        ledger.pin("harbour", "dawn", {1: first[0].key})
    else:
        ledger.judge("harbour", "dawn", {1: first[0].key}, Verdict.PICKED)
        ledger.judge("harbour", "dawn", {2: first[1].key}, Verdict.REJECTED)
    assert swept(ledger, files) == {first[1].key}
    ledger.unpin("harbour", "dawn")
    ledger.judge("harbour", "dawn", {1: first[0].key}, Verdict.NONE)
    assert swept(ledger, files) == {first[0].key}


def test_a_production_that_was_stopped_keeps_what_it_made(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(2))
    with ledger.claim_film("harbour") as lease:
        unfinished = ledger.start_production("harbour", "t", "p", "d", "{}", changed(2), lease)
        shoot(ledger, files, unfinished, changed(2)[0].key)
    assert swept(ledger, files) == set(), "neither the finished film's takes nor those of the one to come"
    ledger.claim_film("harbour").release()  # which sees that its process is gone
    assert swept(ledger, files) == set()


def test_a_film_that_is_claimed_keeps_all_it_ever_had(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(2))
    produce(ledger, files, changed(2))
    lease = ledger.claim_film("harbour", ELSEWHERE)
    assert swept(ledger, files) == set()
    assert swept(ledger, files, forget=["harbour"]) == set()
    lease.release()
    assert swept(ledger, files) == keys(slates_of(2))


def test_the_film_of_a_process_that_died_is_not_claimed(
    ledger: Ledger, files: Files, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    ledger_url = tmp_path / "data" / "ledger.sqlite"
    produce(ledger, files, slates_of(1))
    produce(ledger, files, changed(1))
    worker = start("claim", ledger_url, "harbour")
    worker.hear()
    worker.go()
    worker.hear()
    assert swept(ledger, files) == set()
    worker.kill()
    assert swept(ledger, files) == keys(slates_of(1))


def test_what_another_film_needs_stays(both: Ledger, files: Files) -> None:
    ledger = both
    produce(ledger, files, slates_of(2))
    produce(ledger, files, slates_of(1), film="night")
    produce(ledger, files, changed(2))
    assert swept(ledger, files) == {slates_of(2)[1].key}
    assert swept(ledger, files, forget=["night"]) == {slates_of(2)[0].key}


def test_a_film_written_elsewhere_before_the_last_one_is_still_a_film(ledger: Ledger, files: Files) -> None:
    first = produce(ledger, files, slates_of(1))
    ledger.record_film(first, "films/harbour-4k.mov", "4k", 8, Fraction(8), "{}", "{}")
    produce(ledger, files, changed(1))
    assert swept(ledger, files) == set()


def test_a_take_that_only_a_films_own_record_names_stays(ledger: Ledger, files: Files) -> None:
    """A film may show a take of another key than the planned one, such as one that was accepted though stale."""
    produce(ledger, files, slates_of(1))
    later = produce(ledger, files, changed(1))
    record = f'{{"clips": [{{"key": "{slates_of(1)[0].key}"}}]}}'
    ledger.record_film(later, "films/harbour.mp4", "x", 8, Fraction(8), "{}", record)
    assert swept(ledger, files) == set()


def test_what_no_row_names_goes_when_it_is_a_day_old(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(1))
    orphan = files.put_bytes(b"its process died before the row")
    assert gc.plan(ledger, files).files == {}
    assert gc.plan(ledger, files, grace=0).files.keys() == {orphan}
    old = Files(files.root)
    path = old.path(orphan)
    os.utime(path, (0, 0))
    assert gc.plan(ledger, files).files == {}, "a file that was moved in is as young as its move"
    assert swept(ledger, files, grace=0) == set()
    assert not files.exists(orphan)


def test_a_take_may_be_given_time(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(1))
    produce(ledger, files, changed(1))
    assert gc.plan(ledger, files, older_than=3600).takes == ()
    assert len(gc.plan(ledger, files, older_than=0).takes) == 1


def test_a_take_that_was_wanted_again_between_plan_and_sweep_stays(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(2))
    produce(ledger, files, changed(2))
    planned = gc.plan(ledger, files)
    assert len(planned.takes) == 2
    ledger.pin("harbour", "dawn", {1: slates_of(2)[0].key})
    done = gc.sweep(ledger, files, planned)
    assert [take.key for take in done.takes] == [slates_of(2)[1].key]
    assert all(files.verify(id) for id in ledger.file_uses())
    assert set(ledger.takes(keys(slates_of(2)))) == {slates_of(2)[0].key}


def test_a_file_that_two_takes_share_goes_with_the_last(ledger: Ledger, files: Files) -> None:
    first, second = slates_of(1), changed(1)
    one = produce(ledger, files, first)
    shared = ledger.take(first[0].key)
    assert shared is not None
    two = ledger.start_production("harbour", "t", "p", "d", "{}", second)
    (attempt,) = ledger.begin_attempts(two, [second[0].key], "cpu", "w")
    made = {f: getattr(shared, f) for f in ("video", "latents", "tail")}
    ledger.finish_attempt(attempt, take_row(second[0].key, **made))
    ledger.record_film(two, "films/harbour.mp4", "x", 8, Fraction(8), "{}", "{}")
    assert one < two
    assert swept(ledger, files) == {first[0].key}
    assert set(files.ids()) == {*made.values(), *ledger.prints_of([shared.video], "h264").values()}


def test_a_sound_database_says_so(ledger: Ledger, files: Files) -> None:
    produce(ledger, files, slates_of(2))
    assert ledger.check() == []


def checkpoint(files: Files, name: str, *clips: str, days: float = 2.0) -> Path:
    """What a camera leaves of half-made clips, written some days ago."""
    header = json.dumps({"__metadata__": {"longtake": json.dumps(["Checkpoint", 1, clips, "longtake 1"])}}).encode()
    path = Checkpoints(files.root).put(name, len(header).to_bytes(8, "little") + header + b"tensors")
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def test_checkpoints_stay_while_a_film_waits_for_one_of_their_clips(ledger: Ledger, files: Files) -> None:
    rows = slates_of(4)
    production = start_harbour(ledger, rows)
    shoot(ledger, files, production, rows[0].key)
    ledger.end_production(production, ProductionState.INTERRUPTED)
    done = checkpoint(files, "done", rows[0].key)
    waiting = checkpoint(files, "waiting", rows[0].key, rows[1].key, days=400)
    foreign = checkpoint(files, "foreign", key_of("of another ledger"))
    young = checkpoint(files, "young", rows[0].key, days=0.5)
    torn = Checkpoints(files.root).folder / "torn.4711.partial"
    torn.write_bytes(b"half")
    os.utime(torn, (1, 1))
    planned = gc.plan(ledger, files)
    assert set(planned.checkpoints) == {done, foreign, torn}
    assert planned.bytes == sum(path.stat().st_size for path in (done, foreign, torn))
    checkpoint(files, "again", rows[2].key)
    assert set(gc.sweep(ledger, files, planned).checkpoints) == {done, foreign, torn}
    assert set(Checkpoints(files.root).folder.iterdir()) == {waiting, young, checkpoint(files, "again", rows[2].key)}
    assert waiting in gc.plan(ledger, files, forget=["harbour"]).checkpoints
