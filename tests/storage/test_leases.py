"""Who may render a film: one at a time, the dead replaced, the late refused."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import pytest

import storage.leases
from storage.errors import FilmBusy, LeaseLost
from storage.ledger import Ledger
from storage.owner import Owner
from storage.states import AttemptState, ProductionState
from tests.storage.examples import slates_of, start_harbour, take_row
from tests.storage.processes import Worker

ELSEWHERE = Owner("farm7", "another machine", 4242, 1)


def test_a_film_is_claimed_by_one_and_free_after_release(ledger: Ledger) -> None:
    with ledger.claim_film("harbour") as first:
        with pytest.raises(FilmBusy, match=rf"'harbour' is being rendered by process {os.getpid()} on ") as busy:
            ledger.claim_film("harbour")
        assert (busy.value.pid, busy.value.host) == (os.getpid(), Owner.here().host)
        assert abs(busy.value.since - time.time()) < 60
        ledger.claim_film("another film").release()
        holder = ledger.holder("harbour")
        assert holder is not None
        assert (holder.pid, holder.alive) == (os.getpid(), True)
    assert ledger.holder("harbour") is None
    assert ledger.claim_film("harbour").fence > first.fence


def test_a_holder_elsewhere_is_replaced_when_its_lease_expires_and_not_before(ledger: Ledger) -> None:
    ledger.claim_film("harbour", ELSEWHERE, ttl=30)
    with pytest.raises(FilmBusy, match=r"process 4242 on farm7 .* try again in \d+ s"):
        ledger.claim_film("harbour")
    ledger.claim_film("dawn", ELSEWHERE, ttl=0)
    assert ledger.claim_film("dawn").owner == Owner.here()


def test_renewing_keeps_a_lease(ledger: Ledger) -> None:
    lease = dataclasses.replace(ledger.claim_film("harbour", ELSEWHERE, ttl=0), ttl=30)
    lease.renew()
    with pytest.raises(FilmBusy):
        ledger.claim_film("harbour")


def test_a_process_that_is_seen_alive_is_not_replaced_however_silent(ledger: Ledger) -> None:
    ledger.claim_film("harbour", ttl=0)
    with pytest.raises(FilmBusy):
        ledger.claim_film("harbour")


def test_a_process_number_that_was_used_again_is_not_the_old_process(ledger: Ledger) -> None:
    ledger.claim_film("harbour", dataclasses.replace(Owner.here(), started=1))
    assert ledger.claim_film("harbour").fence == 2


def test_who_was_replaced_is_told_and_changes_nothing(ledger: Ledger) -> None:
    late = ledger.claim_film("harbour", ELSEWHERE, ttl=0)
    key = slates_of(1)[0].key
    production = start_harbour(ledger, slates_of(1), lease=late)
    (attempt,) = ledger.begin_attempts(production, [key], "cuda:0", "camera 1", ELSEWHERE)
    with ledger.claim_film("harbour"):
        for act in (
            late.renew,
            lambda: ledger.begin_attempts(production, [key], "cuda:0", "camera 1"),
            lambda: start_harbour(ledger, slates_of(1), lease=late),
            lambda: ledger.end_production(production, ProductionState.DONE),
            ledger.while_ours(production).__enter__,
            lambda: ledger.record_film(production, "harbour.mp4", "sha256:a", 1, Fraction(8), "{}", "{}"),
        ):
            with pytest.raises(LeaseLost, match="taken over by another process"):
                act()
        late.release()
        holder = ledger.holder("harbour")
        assert holder is not None
        assert holder.pid == os.getpid()
    assert [p.state for p in ledger.productions("harbour")] == [ProductionState.LOST]
    assert [a.state for a in ledger.attempts(key)] == [AttemptState.LOST]
    assert ledger.film_versions("harbour") == []
    # What it had begun is named by its key and as good as any.
    assert ledger.finish_attempt(attempt, take_row(key)).attempt == attempt


def test_a_film_is_finished_for_an_ended_production_by_who_has_claimed_it_now(ledger: Ledger) -> None:
    with ledger.claim_film("harbour") as first:
        production = start_harbour(ledger, slates_of(1), lease=first)
        ledger.end_production(production, ProductionState.DONE)

    def record() -> None:
        ledger.record_film(production, "harbour.mp4", "sha256:a", 1, Fraction(8), "{}", "{}")

    with ledger.claim_film("harbour"):
        record()  # its file was gone: this process cuts it again, and there is nothing else to record
    with ledger.claim_film("harbour", ELSEWHERE), pytest.raises(LeaseLost):
        record()
    record()
    assert len(ledger.film_versions("harbour")) == 2


def test_after_a_clock_was_put_back_a_dead_holder_elsewhere_is_replaced_in_time(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(ledger_url) as ledger:
        monkeypatch.setattr(storage.leases, "clock", lambda _: 10_000_000_000_000)
        ledger.claim_film("harbour", ELSEWHERE, ttl=30)
        monkeypatch.setattr(storage.leases, "clock", lambda _: 6_000_000_000_000)  # more than an hour earlier
        with pytest.raises(FilmBusy, match="try again in 30 s"):
            ledger.claim_film("harbour")
        monkeypatch.setattr(storage.leases, "clock", lambda _: 6_000_029_000_000)
        with pytest.raises(FilmBusy, match="try again in 1 s"):
            ledger.claim_film("harbour")
        monkeypatch.setattr(storage.leases, "clock", lambda _: 6_000_031_000_000)
        assert ledger.claim_film("harbour").fence == 2


def test_a_claim_leaves_other_films_and_ended_attempts_alone(ledger: Ledger) -> None:
    keys = [row.key for row in slates_of(3)]
    other = ledger.start_production("other", "t", "p", "d", "{}", slates_of(3))
    ledger.begin_attempts(other, keys[:1], "cpu", "w")
    mine = start_harbour(ledger, slates_of(3))
    done, failed, running = ledger.begin_attempts(mine, keys, "cpu", "w")
    ledger.finish_attempt(done, take_row(keys[0]))
    ledger.fail_attempt(failed, "ValueError", "no")
    ledger.claim_film("harbour")
    states = {a.id: str(a.state) for key in keys for a in ledger.attempts(key)}
    assert states == {1: "running", done: "done", failed: "failed", running: "lost"}


@pytest.mark.parametrize("reap", [True, False], ids=["reaped", "zombie"])
def test_a_holder_killed_on_this_machine_is_replaced_at_once(
    ledger: Ledger, ledger_url: str, start: Callable[..., Worker], reap: bool
) -> None:
    holder = start("claim", ledger_url, "harbour")
    assert holder.hear() == "ready"
    holder.go()
    assert holder.hear() == {"claimed": 1}
    with pytest.raises(FilmBusy, match=f"process {holder.process.pid} "):
        ledger.claim_film("harbour")
    holder.kill(reap)
    assert ledger.claim_film("harbour").fence == 2


def test_of_many_who_claim_at_once_one_is_let_in(ledger_url: str, start: Callable[..., Worker]) -> None:
    workers = [start("claim", ledger_url, "harbour") for _ in range(3)]
    assert [w.hear() for w in workers] == ["ready"] * 3
    for worker in workers:
        worker.go()
    said = [w.hear() for w in workers]
    (winner,) = [w for w, s in zip(workers, said, strict=True) if s == {"claimed": 1}]
    assert [s for s in said if s != {"claimed": 1}] == [{"busy": winner.process.pid}] * 2


def test_an_owner_knows_who_lives() -> None:
    here = Owner.here()
    assert here.alive() is True
    assert dataclasses.replace(here, started=0).alive() is True
    assert dataclasses.replace(here, started=here.started - 1).alive() is False
    assert dataclasses.replace(here, pid=2**22 + 1).alive() is False
    assert ELSEWHERE.alive() is None


def test_nobody_takes_a_film_over_while_its_file_is_put_in_place(ledger: Ledger) -> None:
    ours = ledger.claim_film("harbour", ELSEWHERE, ttl=0)  # silent for too long: anybody may take it over
    production = start_harbour(ledger, slates_of(1), lease=ours)
    order: list[str] = []

    def take_over() -> None:
        ledger.claim_film("harbour")
        order.append("taken over")

    other = threading.Thread(target=take_over)
    with ledger.while_ours(production):
        other.start()
        other.join(0.5)
        order.append("in place")
    other.join()
    assert order == ["in place", "taken over"]
