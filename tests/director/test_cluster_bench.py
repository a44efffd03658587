"""The simulated cluster: exact on a small problem, within bounds on larger ones; the real run loop on it."""

import pytest

from director.bench.cluster import _seconds, mixed, run_films, run_loop
from director.bench.simulated import NFE, Simulated, Times, film

EVEN = Times(nfe=0.02, spread=0.0, load=0.0, job=0.0)  # a clip of 50 NFE takes a second


def test_two_cameras_and_three_chains_exactly():
    """Chains of 16, 8 and 8 clips in groups of 8: 16 seconds, the long chain first and never interrupted."""
    found = run_films([film("f", [8, 8, 16])], 2, EVEN)
    assert found.makespan == pytest.approx(16.0)
    assert found.bound == pytest.approx(16.0)
    assert found.efficiency == pytest.approx(1.0)
    assert (found.jobs, found.loads) == (4, 0)


def test_groups_of_one_chain_at_the_same_time():
    """Four groups of 8 on 4 cameras: each ends a step (8 s / 25) after the one before."""
    assert run_films([film("f", [32])], 4, EVEN).makespan == pytest.approx(32.0)
    assert run_films([film("f", [32])], 4, EVEN, together=True).makespan == pytest.approx(8 + 3 * 8 / 25)


def test_enough_chains_keep_all_cameras_busy():
    found = run_films([film("f", [16] * 192)], 8)
    assert found.efficiency >= 0.95
    assert found.jobs == 384


@pytest.mark.parametrize("seed", [1, 2])
def test_mixed_films_end_within_a_tenth_of_the_bound(seed):
    found = run_films(mixed(8, 16, seed), 16, Times(spread=0.0))
    assert found.makespan <= 1.10 * found.bound


def test_the_run_loop_renders_every_clip_once(tmp_path):
    from storage.ledger import Ledger

    plans = [film("a", [20, 3]), film("b", [9], model="b"), film("c", [1] * 5)]
    results, _ = run_loop(plans, Simulated(3, together=True), tmp_path)
    assert {result.state for result in results} == {"done"}
    assert sum(result.rendered for result in results) == 37
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        attempts = ledger.attempts_of(clip.key for plan in plans for clip in plan.clips)
        assert {len(each) for each in attempts.values()} == {1}
        assert not ledger.claim_clips(list(attempts), 99)  # each has its take


def test_what_a_chain_costs():
    assert _seconds(EVEN)(17) == pytest.approx(17 * NFE * 0.02)
