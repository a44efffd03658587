"""Three failures in a row set a node aside; what fails everywhere is no node's fault."""

from __future__ import annotations

from cluster.job import Failure
from cluster.trust import Trust

DIED = Failure("WorkerDied", "the worker died", worker=True)
DISK = Failure("OSError", "no space left", machine=True)


def test_three_in_a_row_and_the_reason_names_them() -> None:
    trust = Trust()
    assert trust.failed("a", "film", "one", DIED) is None
    assert trust.failed("a", "film", "two", DISK) is None
    why = trust.failed("a", "film", "three", DISK)
    assert why is not None
    assert "3 clips in a row" in why
    assert "WorkerDied, OSError" in why
    assert "no space left" in why


def test_a_clip_that_works_in_between_begins_the_count_anew() -> None:
    trust = Trust()
    for chain in ("one", "two"):
        trust.failed("a", "film", chain, DIED)
    trust.worked("a")
    assert trust.failed("a", "film", "three", DIED) is None
    assert trust.failed("b", "film", "four", DIED) is None


def test_a_clip_that_fails_on_two_nodes_counts_against_neither() -> None:
    trust = Trust()
    assert trust.failed("a", "film", "poison", DIED) is None
    assert trust.failed("a", "film", "poison", DIED) is None
    assert trust.failed("b", "film", "poison", DIED) is None
    for node in "ab":
        assert trust.failed(node, "film", "poison", DIED) is None
        assert trust.failed(node, "film", f"one on {node}", DIED) is None
        assert trust.failed(node, "film", f"two on {node}", DIED) is None
        assert trust.failed(node, "film", f"three on {node}", DIED) is not None


def test_what_is_not_the_machine_s_fault_does_not_count() -> None:
    trust = Trust()
    for n in range(5):
        assert trust.failed("a", "film", f"{n}", Failure("BadFootage", "not finite")) is None
        assert trust.failed("a", "film", f"m{n}", Failure("OutOfMemory", "", machine=True, memory=True)) is None
        assert trust.failed("a", "film", f"f{n}", Failure("FileDamaged", "", machine=True, file="ab")) is None


def test_what_a_whole_film_lacks_everywhere_pardons_the_node() -> None:
    trust = Trust()
    lacks = Failure("ModelNotFound", "no such model", machine=True)
    for chain in ("one", "two"):
        assert trust.failed("a", "film", chain, lacks) is None
    assert trust.failed("a", "film", "three", lacks)
    assert not trust.pardoned()
    assert trust.failed("b", "film", "three", lacks) is None
    assert trust.pardoned() == {"a"}
    assert not trust.pardoned()
