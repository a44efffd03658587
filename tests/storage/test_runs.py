"""Runs that were handed to a cluster, nodes set aside, and what memory was needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.errors import IllegalTransition, NotRecorded
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import FileUse
from storage.states import RunState
from tests.storage.examples import slates_of, start_harbour

PACKAGE = f"sha256-{'a' * 64}.zip"


def add(ledger: Ledger, run: str = "r-1", package: str = PACKAGE) -> None:
    ledger.add_run(run, package, ["harbour", "night"], {"lockstep": 4}, f"longtake-{run}-1", "http://head:8265")


def state(ledger: Ledger, run: str = "r-1") -> RunState:
    found = ledger.find_run(run)
    assert found is not None
    return found.last.state


class TestRuns:
    def test_a_run_is_remembered_as_it_was_given(self, ledger: Ledger) -> None:
        add(ledger)
        add(ledger, "r-2")
        run = ledger.find_run("r-1")
        assert run is not None
        assert (run.package, run.films, run.options, run.wish) == (PACKAGE, ("harbour", "night"), {"lockstep": 4}, None)
        assert run.host == Owner.here().host
        assert (run.last.job, run.last.address) == ("longtake-r-1-1", "http://head:8265")
        assert (run.last.state, run.last.silent, run.last.exit_code) == (RunState.SUBMITTED, None, None)
        assert [r.id for r in ledger.runs()] == ["r-2", "r-1"]
        assert [r.id for r in ledger.runs(1)] == ["r-2"]
        assert ledger.find_run("r-3") is None

    def test_a_driver_begins_is_heard_and_ends(self, ledger: Ledger) -> None:
        add(ledger)
        ledger.run_begins("r-1", 1)
        assert ledger.run_heard("r-1", 1) is None
        run = ledger.find_run("r-1")
        assert run is not None
        assert (run.last.state, run.last.pid) == (RunState.RUNNING, Owner.here().pid)
        assert run.last.silent is not None
        assert 0 <= run.last.silent < 60
        ledger.run_ends("r-1", 1, RunState.PARTIAL, 3, "shot dawn: held")
        ledger.run_ends("r-1", 1, RunState.PARTIAL, 3)
        run = ledger.find_run("r-1")
        assert run is not None
        assert (run.last.state, run.last.exit_code, run.last.message) == (RunState.PARTIAL, 3, "shot dawn: held")
        with pytest.raises(IllegalTransition, match="partial and cannot become running"):
            ledger.run_begins("r-1", 1)

    def test_wishes_reach_the_driver_and_end_with_the_next_submission(self, ledger: Ledger) -> None:
        add(ledger)
        assert ledger.wish("r-1", "pause").wish == "pause"
        ledger.run_begins("r-1", 1)
        assert ledger.run_wish("r-1") == ledger.run_heard("r-1", 1) == "pause"
        ledger.run_ends("r-1", 1, RunState.PAUSED, 75)
        again = ledger.submit_again("r-1", "longtake-r-1-2", "http://other:8265")
        assert (again.wish, len(again.submissions), again.last.number) == (None, 2, 2)
        assert [s.state for s in again.submissions] == [RunState.PAUSED, RunState.SUBMITTED]

    def test_a_run_that_is_worked_on_or_done_is_not_handed_over_again(self, ledger: Ledger) -> None:
        add(ledger)
        for reached in (lambda: None, lambda: ledger.run_begins("r-1", 1)):
            reached()
            with pytest.raises(IllegalTransition, match="can be handed over again"):
                ledger.submit_again("r-1", "j", "a")
        ledger.run_ends("r-1", 1, RunState.DONE, 0)
        with pytest.raises(IllegalTransition, match="is done"):
            ledger.submit_again("r-1", "j", "a")

    def test_a_lost_driver_may_come_back_unless_another_has_begun(self, ledger: Ledger) -> None:
        add(ledger)
        ledger.run_begins("r-1", 1)
        ledger.run_ends("r-1", 1, RunState.LOST, message="the cluster knows no such job")
        ledger.run_heard("r-1", 1)
        back = ledger.find_run("r-1")
        assert back is not None
        assert (back.last.heard_at or 0) > (back.last.ended_at or 0)
        ledger.run_ends("r-1", 1, RunState.DONE, 0)
        assert state(ledger) is RunState.DONE
        add(ledger, "r-2")
        ledger.run_ends("r-2", 1, RunState.LOST)
        ledger.submit_again("r-2", "j2", "a")
        ledger.run_ends("r-2", 1, RunState.DONE, 0)
        assert state(ledger, "r-2") is RunState.SUBMITTED, "the first has nothing to say any more"
        with pytest.raises(IllegalTransition, match="2 is the newest"):
            ledger.run_begins("r-2", 1)

    def test_two_who_resume_at_once_hand_over_once(self, ledger: Ledger) -> None:
        add(ledger)
        ledger.run_ends("r-1", 1, RunState.LOST)

        def again(n: int) -> bool:
            try:
                ledger.submit_again("r-1", f"j{n}", "a")
            except IllegalTransition:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(again, range(6))) == 1

    def test_what_is_not_recorded_is_said(self, ledger: Ledger) -> None:
        for call in (
            lambda: ledger.run_wish("r-9"),
            lambda: ledger.wish("r-9", "pause"),
            lambda: ledger.run_begins("r-9", 1),
            lambda: ledger.submit_again("r-9", "j", "a"),
        ):
            with pytest.raises(NotRecorded, match="no run r-9"):
                call()

    def test_a_package_is_needed_until_its_run_is_done_or_cancelled(self, ledger: Ledger) -> None:
        other = f"sha256-{'b' * 64}.zip"
        add(ledger)
        add(ledger, "r-2", other)
        assert ledger.file_uses() == {PACKAGE: [FileUse("package", "r-1")], other: [FileUse("package", "r-2")]}
        ledger.run_ends("r-1", 1, RunState.PARTIAL, 3)
        ledger.run_ends("r-2", 1, RunState.CANCELLED)
        assert ledger.file_uses() == {PACKAGE: [FileUse("package", "r-1")]}
        ledger.submit_again("r-1", "j", "a")
        ledger.run_ends("r-1", 2, RunState.DONE, 0)
        assert ledger.file_uses() == {}

    def test_pictures_of_a_film_are_needed_until_it_has_others(self, ledger: Ledger) -> None:
        quay, sea = (f"sha256-{letter * 64}" for letter in "ef")
        ledger.keep_pictures("harbour", {quay})
        ledger.keep_pictures("harbour", {quay, sea})
        ledger.keep_pictures("night", {sea})
        assert ledger.file_uses() == {
            quay: [FileUse("picture", "harbour")],
            sea: [FileUse("picture", "harbour"), FileUse("picture", "night")],
        }
        ledger.keep_pictures("harbour", ())
        assert ledger.file_uses() == {sea: [FileUse("picture", "night")]}

    def test_productions_know_their_run_and_leave_it_behind(self, ledger: Ledger) -> None:
        ledger.run = "r-1"
        start_harbour(ledger, slates_of(1))
        ledger.run = None
        start_harbour(ledger, slates_of(1))
        assert [p.run for p in ledger.productions("harbour")] == [None, "r-1"]
        assert all("run" not in row for row in ledger.export_rows("harbour")["productions"])


class TestNodes:
    def test_a_node_is_set_aside_once_until_it_is_taken_back(self, ledger: Ledger) -> None:
        ledger.set_aside("farm3", "failed three clips")
        ledger.set_aside("farm3", "again")
        ledger.set_aside("farm1", "its disk is full")
        assert ledger.aside() == {"farm1": "its disk is full", "farm3": "failed three clips"}
        assert ledger.take_back("farm3")
        assert not ledger.take_back("farm3")
        assert ledger.aside() == {"farm1": "its disk is full"}
        ledger.set_aside("farm3", "again")
        assert ledger.aside()["farm3"] == "again"

    def test_a_node_may_be_set_aside_for_a_time(self, ledger: Ledger) -> None:
        ledger.set_aside("farm3", "failed three clips", 0.0)
        assert ledger.aside() == {}, "its time is over"
        assert not ledger.take_back("farm3")
        ledger.set_aside("farm3", "failed three more", 3600.0)
        ledger.set_aside("farm3", "and more", 7200.0)
        ledger.set_aside("farm3", "by hand")
        assert ledger.aside() == {"farm3": "failed three more"}
        assert ledger.take_back("farm3")
        assert ledger.aside() == {}

    def test_the_lowest_rung_that_was_needed_is_remembered(self, ledger: Ledger) -> None:
        assert ledger.rung("sha256:m", "cuda", "64x48x16") == 0
        for rung in (2, 4, 3):
            ledger.remember_rung("sha256:m", "cuda", "64x48x16", rung)
        ledger.remember_rung("sha256:m", "cuda", "128x96x16", 1)
        assert ledger.rung("sha256:m", "cuda", "64x48x16") == 4
        assert ledger.rung("sha256:m", "cuda", "128x96x16") == 1
        assert ledger.rung("sha256:other", "cuda", "64x48x16") == 0
