"""The states of attempts and productions, and the whole ledger against a model of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from storage.errors import IllegalTransition, LeaseLost
from storage.ledger import Ledger
from storage.states import (
    ATTEMPT_NEXT,
    PRODUCTION_NEXT,
    AttemptState,
    ProductionState,
    check_attempt,
    check_production,
)
from tests.storage.examples import slates_of, start_harbour, take_row

KEYS = [row.key for row in slates_of(3)]


def test_every_state_says_what_may_follow_and_nothing_leads_back_to_running() -> None:
    for kind, following in ((AttemptState, ATTEMPT_NEXT), (ProductionState, PRODUCTION_NEXT)):
        assert set(following) == set(kind)
        assert all(kind("running") not in after for after in following.values())
        assert all(state not in after for state, after in following.items())


@pytest.mark.parametrize("old", AttemptState)
@pytest.mark.parametrize("new", AttemptState)
def test_an_attempt_ends_once_and_may_come_back_from_lost(old: AttemptState, new: AttemptState) -> None:
    ends = {"done", "duplicate", "failed", "interrupted"}
    if (old in ("running", "lost") and new in ends) or (old, new) == ("running", "lost"):
        check_attempt(1, old, new)
    else:
        with pytest.raises(IllegalTransition, match=f"Attempt 1 is {old} and cannot become {new}; allowed next: "):
            check_attempt(1, old, new)


@pytest.mark.parametrize("old", ProductionState)
@pytest.mark.parametrize("new", ProductionState)
def test_a_production_ends_once(old: ProductionState, new: ProductionState) -> None:
    if old == "running" and new != "running":
        check_production(1, old, new)
    else:
        with pytest.raises(IllegalTransition):
            check_production(1, old, new)


class LedgerAgainstModel(RuleBasedStateMachine):
    """Anything may happen to attempts in any order; the ledger keeps its promises, and says what the model says."""

    attempts = Bundle("attempts")
    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[int, str] = {}
        self.key_of: dict[int, str] = {}
        self.taken: dict[str, int] = {}
        self.film = f"film {len(self.ledger.films())}"
        # Of its own in every run, though runs share a database: clips are known by key across films.
        slates = slates_of(3, self.film)
        self.keys = [row.key for row in slates]
        self.slates = slates
        self.claim()

    @rule()
    def claim(self) -> None:
        """The owner dies and another process takes over."""
        if hasattr(self, "lease"):
            self.lease.release()
        self.lease = self.ledger.claim_film(self.film)
        self.production = self.ledger.start_production(self.film, "t", "p", "d", "{}", self.slates, self.lease)
        self.states |= {a: "lost" for a, state in self.states.items() if state == "running"}

    @rule(target=attempts, clip=st.integers(0, 2))
    def begin(self, clip: int) -> int:
        (attempt,) = self.ledger.begin_attempts(self.production, [self.keys[clip]], "cpu", "w")
        self.states[attempt], self.key_of[attempt] = "running", self.keys[clip]
        return attempt

    @rule(attempt=attempts)
    def finish(self, attempt: int) -> None:
        key, state = self.key_of[attempt], self.states[attempt]
        if state in ("done", "duplicate") and key in self.taken:
            assert self.ledger.finish_attempt(attempt, take_row(key)).attempt == self.taken[key]
        elif state in ("running", "lost"):
            take = self.ledger.finish_attempt(attempt, take_row(key))
            self.states[attempt] = "duplicate" if key in self.taken else "done"
            assert take.attempt == self.taken.setdefault(key, attempt)
        else:
            with pytest.raises(IllegalTransition):
                self.ledger.finish_attempt(attempt, take_row(key))

    @rule(attempt=attempts, how=st.sampled_from(["failed", "interrupted"]))
    def end_otherwise(self, attempt: int, how: str) -> None:
        def act() -> None:
            if how == "failed":
                self.ledger.fail_attempt(attempt, "ValueError", "no")
            else:
                self.ledger.interrupt_attempt(attempt)

        if self.states[attempt] in ("running", "lost"):
            act()
            self.states[attempt] = how
        else:
            with pytest.raises(IllegalTransition):
                act()

    @rule(clip=st.integers(0, 2))
    def drop(self, clip: int) -> None:
        key = self.keys[clip]
        assert self.ledger.drop_take(key, "altered") is (key in self.taken)
        self.taken.pop(key, None)

    @invariant()
    def agrees(self) -> None:
        assert {k: t.attempt for k, t in self.ledger.takes(self.keys).items()} == self.taken
        shown = {a.id: str(a.state) for key in self.keys for a in self.ledger.attempts(key)}
        assert shown == self.states
        for key in self.keys:
            failed = [a for a, s in self.states.items() if s == "failed" and self.key_of[a] == key]
            done = max((a for a, s in self.states.items() if s == "done" and self.key_of[a] == key), default=0)
            assert [f.id for f in self.ledger.failures([key]).get(key, [])] == [a for a in failed if a > done]


def test_the_ledger_is_what_its_model_is(ledger: Ledger) -> None:
    class Machine(LedgerAgainstModel):
        pass

    Machine.ledger = ledger
    few = settings(max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Machine, settings=few)


def test_the_model_would_notice_a_ledger_that_forgets(tmp_path: Path) -> None:
    """A check of the check: with a ledger whose takes are never found, the machine fails."""

    class Forgetful(Ledger):
        def takes(self, keys: Any) -> dict[str, Any]:
            return {}

    class Machine(LedgerAgainstModel):
        pass

    with Forgetful.open(tmp_path / "ledger.sqlite") as ledger:
        Machine.ledger = ledger
        few = settings(max_examples=30, stateful_step_count=15, deadline=None, database=None, phases=[Phase.generate])
        with pytest.raises(AssertionError):
            run_state_machine_as_test(Machine, settings=few)


def test_a_lost_lease_is_not_a_way_around(ledger: Ledger) -> None:
    lease = ledger.claim_film("harbour")
    production = start_harbour(ledger, slates_of(3), lease=lease)
    lease.release()
    ledger.claim_film("harbour")
    with pytest.raises(LeaseLost):
        ledger.begin_attempts(production, KEYS, "cpu", "w")
