"""Producers that share clips: each clip is given to one at a time, the dead are replaced, and all of them end."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import storage.clip_leases
from storage.files import Files
from storage.ledger import Ledger
from storage.owner import Owner
from storage.states import AttemptState
from tests.storage.examples import slates_of, start_harbour, take_row
from tests.storage.processes import Worker

LONG = pytest.mark.skipif(os.environ.get("LONGTAKE_LONG") != "1", reason="takes minutes: set LONGTAKE_LONG=1")
KEYS = [row.key for row in slates_of(4)]
ELSEWHERE = Owner("farm7", "another machine", 4242, 1)


def keys_of(claims: list[storage.clip_leases.ClipClaim]) -> set[str]:
    return {claim.key for claim in claims}


def test_a_clip_is_given_to_one_until_it_is_let_go(ledger: Ledger) -> None:
    start_harbour(ledger, slates_of(4))
    first = ledger.claim_clips(KEYS, most=3)
    assert len(first) == 3
    second = ledger.claim_clips(KEYS, most=3, owner=ELSEWHERE)
    assert keys_of(first) | keys_of(second) == set(KEYS)
    assert ledger.claim_clips(KEYS, most=3) == []
    ledger.release_clips(first[:1])
    (again,) = ledger.claim_clips(KEYS, most=3)
    assert (again.key, again.fence) == (first[0].key, first[0].fence + 1)
    assert ledger.claim_clips([], most=3) == []


def test_a_clip_with_a_take_is_given_to_nobody(ledger: Ledger) -> None:
    (attempt,) = ledger.begin_attempts(start_harbour(ledger, slates_of(4)), KEYS[:1], "cpu", "w")
    ledger.finish_attempt(attempt, take_row(KEYS[0]))
    assert keys_of(ledger.claim_clips(KEYS, most=9)) == set(KEYS[1:])
    ledger.drop_take(KEYS[0], "altered")
    assert keys_of(ledger.claim_clips(KEYS, most=9)) == {KEYS[0]}


def test_a_dead_owner_is_replaced_and_cannot_renew_or_release(ledger: Ledger) -> None:
    production = start_harbour(ledger, slates_of(4))
    late = ledger.claim_clips(KEYS[:2], most=2, owner=ELSEWHERE, ttl=0)
    (attempt, _) = ledger.begin_attempts(production, KEYS[:2], "cpu", "w", ELSEWHERE)
    (kept,) = ledger.renew_clips(late[1:], ttl=30)
    (mine,) = ledger.claim_clips(KEYS[:2], most=2)
    assert mine.key == late[0].key
    assert ledger.renew_clips(late) == [kept]
    ledger.release_clips(late)
    assert ledger.renew_clips([mine]) == [mine]
    lost = [a.state for key in KEYS[:2] for a in ledger.attempts(key) if key == mine.key]
    assert lost == [AttemptState.LOST]

    # Two machines finish the same clip: the first is accepted, the late one is told which.
    (again,) = ledger.begin_attempts(production, [mine.key], "cpu", "mine")
    made = ledger.finish_attempt(again, take_row(mine.key))
    late_attempt = ledger.attempts(mine.key)[0].id
    told = ledger.finish_attempt(late_attempt, take_row(mine.key, video="sha256-" + "0" * 64, frames_digest="other"))
    assert told == made == ledger.take(mine.key)
    assert [a.state for a in ledger.attempts(mine.key)] == [AttemptState.DUPLICATE, AttemptState.DONE]
    assert "frames differ" in (ledger.attempts(mine.key)[0].message or "")
    assert attempt


def test_after_a_clock_was_put_back_a_dead_owner_is_replaced_in_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now, given in ((10_000, 1), (6_000, 0), (6_029, 0), (6_031, 1)):
        monkeypatch.setattr(storage.clip_leases, "clock", lambda _, at=now: at * 1_000_000)
        assert len(ledger.claim_clips(KEYS[:1], owner=ELSEWHERE if now == 10_000 else None)) == given


def test_claims_that_are_being_made_are_passed_over(ledger: Ledger, ledger_url: str) -> None:
    """On Postgres nobody waits for a claim under way; SQLite has one writer at a time."""
    if "://" not in ledger_url:
        pytest.skip("SQLite lets one process write at a time")
    ledger.release_clips(ledger.claim_clips(KEYS, most=4))
    with ledger._write() as connection:
        connection.exec_driver_sql(
            f"SELECT * FROM leases WHERE resource IN ('clip:{KEYS[0]}', 'clip:{KEYS[1]}') FOR UPDATE"
        )
        found: list[storage.clip_leases.ClipClaim] = []
        other = threading.Thread(target=lambda: found.extend(ledger.claim_clips(KEYS, most=4)))
        other.start()
        other.join(10)
        assert not other.is_alive()
        assert keys_of(found) == set(KEYS[2:])


@pytest.mark.parametrize(
    ("processes", "clips", "kills"),
    [(3, 60, 3), pytest.param(8, 2000, 40, marks=[LONG, pytest.mark.timeout(3600)])],
)
def test_processes_that_are_killed_at_any_moment_make_every_clip_once(
    ledger: Ledger,
    ledger_url: str,
    tmp_path: Path,
    start: Callable[..., Worker],
    processes: int,
    clips: int,
    kills: int,
) -> None:
    slates, root = slates_of(clips), tmp_path / "files"
    keys = [row.key for row in slates]
    production = start_harbour(ledger, slates)
    chance = random.Random(clips)
    names = (f"worker {n}" for n in range(processes + kills))

    def begin() -> Worker:
        worker = start("render_shared", ledger_url, production, root, next(names))
        assert worker.hear() == "ready"
        worker.go()
        return worker

    workers = [begin() for _ in range(processes)]
    for number in range(1, kills + 1):
        until = clips * number // (kills + 2)
        while len(ledger.takes(keys)) < until:
            time.sleep(clips / 10_000)
        time.sleep(chance.uniform(0, 0.02))
        victim = chance.randrange(processes)
        workers[victim].kill()
        workers[victim] = begin()
    for worker in workers:
        assert worker.process.wait(300 if clips < 100 else 3000) == 0

    takes = ledger.takes(keys)
    assert set(takes) == set(keys)
    store = Files(root)
    assert all(store.verify(take.video) for take in takes.values())
    counts: Counter[AttemptState] = Counter()
    for key, attempts in ledger.attempts_of(keys).items():
        states = Counter(a.state for a in attempts)
        counts += states
        assert states[AttemptState.DONE] == 1, f"{key} has one accepted attempt"
    assert set(counts) <= {AttemptState.DONE, AttemptState.LOST}, "no clip was finished twice, none was left running"
    assert counts[AttemptState.LOST] <= 5 * kills, "a kill costs the few clips that were under way"
