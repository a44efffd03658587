"""Several processes on one ledger, and processes that are killed."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from storage.files import Files
from storage.ledger import Ledger
from storage.states import AttemptState
from tests.storage.examples import slates_of, start_harbour, take_row
from tests.storage.processes import Worker


def test_of_processes_that_render_the_same_clips_one_is_accepted_for_each(
    ledger: Ledger, ledger_url: str, start: Callable[..., Worker]
) -> None:
    keys = [row.key for row in slates_of(25)]
    production = start_harbour(ledger, slates_of(25))
    names = [f"worker {n}" for n in range(4)]
    order = [random.Random(n).sample(keys, len(keys)) for n in range(4)]
    workers = [start("work", ledger_url, production, n, json.dumps(o)) for n, o in zip(names, order, strict=True)]
    assert [w.hear() for w in workers] == ["ready"] * 4
    for worker in workers:
        worker.go()
    said = [line for worker in workers for line in worker.rest()]
    assert len(said) == 4 * 25

    takes = ledger.takes(keys)
    assert set(takes) == set(keys)
    assert all(line["take"] == takes[line["key"]].attempt for line in said)
    for key in keys:
        attempts = ledger.attempts(key)
        assert Counter(a.state for a in attempts) == {AttemptState.DONE: 1, AttemptState.DUPLICATE: 3}
        (done,) = [a for a in attempts if a.state is AttemptState.DONE]
        assert (takes[key].attempt, takes[key].frames_digest) == (done.id, done.worker)


def test_threads_may_share_a_ledger(ledger: Ledger) -> None:
    keys = [row.key for row in slates_of(40)]
    production = start_harbour(ledger, slates_of(40))

    def render(key: str) -> int:
        (attempt,) = ledger.begin_attempts(production, [key], "cpu", "thread")
        return ledger.finish_attempt(attempt, take_row(key)).attempt

    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(render, keys))
    assert [ledger.takes(keys)[key].attempt for key in keys] == attempts
    assert len(set(attempts)) == 40


def test_kill_9_at_any_moment_leaves_a_ledger_that_another_process_goes_on_with(
    ledger: Ledger, ledger_url: str, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    slates, root = slates_of(60), tmp_path / "files"
    keys = [row.key for row in slates]
    start_harbour(ledger, slates)
    chance = random.Random(7)
    said: set[str] = set()
    for kills in range(4):
        worker = start("work_until_killed", ledger_url, "harbour", root)
        assert worker.hear() == "ready"
        worker.go()
        if kills < 3:
            said |= {worker.hear() for _ in range(chance.randint(1, 12))}
            time.sleep(chance.uniform(0, 0.01))
            worker.kill()
        said |= set(worker.rest())

        files = Files(root)
        takes = ledger.takes(keys)
        assert said <= set(takes), "what a process said was done is done"
        assert all(files.verify(take.video) for take in takes.values()), "a row never names what is not there"
    assert set(takes) == set(keys)
    counts = Counter(a.state for key in keys for a in ledger.attempts(key))
    assert counts[AttemptState.DONE] == 60
    assert set(counts) <= {AttemptState.DONE, AttemptState.LOST}
    assert counts[AttemptState.LOST] <= 3, "each kill costs the one clip that was under way"
    if "://" not in ledger_url:
        assert sqlite3.connect(ledger_url).execute("PRAGMA integrity_check").fetchone() == ("ok",)
