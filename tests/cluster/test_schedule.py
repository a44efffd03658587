"""Which camera takes what: exact on small problems, and promises that hold for any."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.job import Job, Rank
from cluster.schedule import SLACK, Schedule, Seat
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler

SEAT = Seat("c1")


def job(name: str, film: str = "f", model: str = "m", previous: str | None = None, **more) -> Job:
    rank = {k: more.pop(k) for k in ("priority", "deadline", "work", "path", "share", "extra") if k in more}
    spec = ClipSpec(ModelRef("x", model, "animatediff"), 64, 64, 8, name, "", 1, 0, Sampler(), Recipe(), previous)
    return Job(name, film, "shot", 1, (spec,), rank=Rank(**rank), **more)


def waiting(*jobs: Job) -> Schedule:
    schedule = Schedule()
    for each in jobs:
        schedule.add(each)
    return schedule


def order(schedule: Schedule, seat: Seat = SEAT, now: float = 0.0) -> list[str]:
    """Who gets the camera, when every job lasts as long as its work says."""
    taken = []
    while (given := schedule.take(seat, now)) is not None:
        taken.append(given.id)
        schedule.spent(given.film, given.rank.work or 1.0, given.id)
    return taken


def test_nothing_waits():
    assert Schedule().take(SEAT, 0.0) is None
    assert len(Schedule()) == 0


def test_the_longest_way_first_and_ties_in_order_of_arrival():
    assert order(waiting(job("a", path=2), job("b", path=5), job("c", path=5))) == ["b", "c", "a"]


def test_priority_goes_before_everything_and_extra_takes_come_last():
    jobs = job("extra", extra=True, priority=9), job("low", path=99), job("high", priority=1), job("least", priority=-1)
    assert order(waiting(*jobs)) == ["high", "low", "least", "extra"]


def test_the_warm_model_goes_first_even_where_another_chain_is_longer():
    jobs = [job(f"w{n}", model="warm", path=1) for n in range(9)]
    assert order(waiting(job("cold", model="cold", path=2), *jobs), Seat("c1", warm="warm"))[0] == "w0"


def test_a_chain_that_everybody_would_wait_for_goes_before_the_warm_model():
    jobs = [job(f"w{n}", model="warm", path=1) for n in range(9)]
    assert order(waiting(job("cold", model="cold", path=20), *jobs), Seat("c1", warm="warm"))[0] == "cold"


def test_a_camera_goes_on_with_the_chain_it_has_just_rendered():
    jobs = [job(f"j{n}", path=5) for n in range(20)]
    mine = job("mine", previous="k" * 64, path=4)
    assert waiting(*jobs, mine).take(Seat("c1", warm="m", chain="k" * 64), 0.0) == mine
    assert waiting(*jobs, mine).take(Seat("c1", warm="m", chain="x" * 64), 0.0) == jobs[0]


def test_memory_that_was_not_enough_is_not_tried_again():
    schedule = waiting(job("big", memory=24, path=9), job("small", path=1))
    assert schedule.take(Seat("c1", memory=24), 0.0).id == "small"
    assert schedule.take(Seat("c1", memory=24), 0.0) is None
    assert schedule.take(Seat("c2", memory=80), 0.0).id == "big"


def test_a_camera_that_failed_a_job_is_avoided_while_there_is_another():
    schedule = waiting(job("a", avoid="c1"), job("b"))
    assert schedule.take(Seat("c2"), 0.0).id == "a"
    schedule.add(job("a", avoid="c1"))
    assert [schedule.take(Seat("c1"), 0.0).id, schedule.take(Seat("c1"), 0.0)] == ["b", None]
    schedule.gone("c2")
    assert schedule.take(Seat("c1"), 0.0).id == "a"


def test_a_follower_waits_for_its_leader_or_for_its_tail():
    follower = job("b", follows="a", path=1)
    schedule = waiting(job("a", path=2), follower)
    assert schedule.followers("a") == [follower]
    assert order(schedule) == ["a"]
    assert len(schedule) == 1
    schedule.add(replace(follower, tail="t"))
    assert schedule.followers("a") == []
    assert order(schedule) == ["b"]


def test_a_follower_is_seated_beside_its_leader():
    schedule = waiting(job("a"), job("b", follows="a"), job("c", follows="b"))
    assert schedule.take(SEAT, 0.0).id == "a"
    (follower,) = schedule.followers("a")
    assert schedule.seat_with(follower).id == "b"
    assert [each.id for each in schedule.followers("b")] == ["c"]
    assert [each.id for each in schedule] == ["c"]


def test_a_job_that_is_added_again_is_one_job():
    schedule = waiting(job("a", path=1), job("b", path=2), job("a", path=3))
    assert len(schedule) == 2
    assert order(schedule) == ["a", "b"]


def test_removed_jobs_are_not_given():
    schedule = waiting(job("a"), job("b"))
    assert schedule.remove("a").id == "a"
    assert schedule.remove("a") is None
    assert order(schedule) == ["b"]


def test_films_share_the_cameras_evenly_whatever_they_bring():
    schedule = waiting(*[job(f"a{n}", "a", work=10, path=500) for n in range(20)])
    for n in range(4):
        schedule.add(job(f"b{n}", "b", work=10, path=1))
    assert [name[0] for name in order(schedule)[:8]] == ["a", "b"] * 4


def test_a_share_of_three_gets_three_times_the_time():
    jobs = [job(f"a{n}", "a", work=1, share=3.0) for n in range(40)] + [job(f"b{n}", "b", work=1) for n in range(40)]
    first = order(waiting(*jobs))[:40]
    assert sum(name[0] == "a" for name in first) == 30


def test_a_film_that_comes_late_does_not_take_everything():
    schedule = waiting(*[job(f"a{n}", "a", work=100) for n in range(100)])
    for _ in range(50):
        given = schedule.take(SEAT, 0.0)
        schedule.spent("a", 100.0, given.id)
    for n in range(50):
        schedule.add(job(f"b{n}", "b", work=100))
    assert sum(name[0] == "b" for name in order(schedule)[:20]) == 10


def test_a_model_stays_warm_until_its_film_is_too_far_ahead():
    """One camera, two films with a model each: it changes once in a while, not after every job."""
    jobs = [job(f"{film}{n}", film, film, work=10) for film in "ab" for n in range(120)]
    schedule, warm, changes, ahead, spent = waiting(*jobs), None, 0, 0.0, {"a": 0.0, "b": 0.0}
    while (given := schedule.take(Seat("c1", warm=warm), 0.0)) is not None:
        changes += warm not in (None, given.film)
        warm = given.film
        spent[warm] += 10
        schedule.spent(warm, 10.0, given.id)
        if min(spent.values()) < 1200:
            ahead = max(ahead, abs(spent["a"] - spent["b"]))
    assert ahead <= SLACK + 10
    assert changes <= 2400 / SLACK


def test_a_deadline_waits_while_there_is_time_and_goes_first_when_it_presses():
    jobs = [job(f"a{n}", "a", work=10, path=10, deadline=1000.0) for n in range(10)]
    others = [job(f"b{n}", "b", work=10, path=10) for n in range(10)]
    assert order(waiting(*jobs, *others), now=0.0)[:4] == ["a0", "b0", "a1", "b1"]
    pressed = order(waiting(*jobs, *others), now=985.0)
    assert [name[0] for name in pressed] == ["a"] * 10 + ["b"] * 10


def test_of_two_deadlines_the_earlier_goes_first_when_both_together_do_not_fit():
    late = [job(f"l{n}", "l", work=10, path=10, deadline=500.0) for n in range(20)]
    early = [job(f"e{n}", "e", work=10, path=10, deadline=450.0) for n in range(10)]
    assert [name[0] for name in order(waiting(*late, *early), now=0.0)[:5]] == ["e"] * 5


JOBS = st.lists(
    st.tuples(
        st.sampled_from("fgh"),
        st.sampled_from("mn"),
        st.integers(-1, 1),
        st.sampled_from([None, 50.0, 5000.0]),
        st.integers(1, 20),
        st.booleans(),
        st.sampled_from([0, 24, 80]),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(JOBS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_whatever_comes_every_job_is_given_once_and_none_breaks_a_rule(specs, chance: random.Random, cameras: int):
    """Jobs come, are removed, replaced and given in any order; nobody starves, nobody is given what does not fit."""
    seats = [Seat(f"c{n}", memory=(0, 24, 81)[n % 3], warm=chance.choice("mn")) for n in range(cameras)]
    seats.append(Seat("large", memory=100))
    coming, schedule, given, removed = list(enumerate(specs)), Schedule(), [], set()
    while coming or len(schedule):
        if coming and chance.random() < 0.6:
            number, (film, model, priority, deadline, work, extra, memory, leader) = coming.pop(0)
            follows = f"j{number - leader}" if leader and number >= leader else None
            schedule.add(
                job(
                    f"j{number}", film, model, follows=follows, memory=memory, work=work, path=work,
                    priority=priority, deadline=deadline, extra=extra,
                )
            )  # fmt: skip
            if chance.random() < 0.1 and (gone := schedule.remove(f"j{number}")):
                removed.add(gone.id)
            continue
        seat, before = chance.choice(seats), list(schedule)
        taken = schedule.take(seat, chance.choice([0.0, 40.0, 9999.0]))
        fits = [j for j in before if (j.follows is None or j.tail) and not (seat.memory and j.memory >= seat.memory)]
        assert (taken is None) == (not fits)
        if taken is None and not coming:
            for stuck in before:
                if stuck.follows:
                    schedule.add(replace(stuck, tail="t"))
        if taken is not None:
            assert taken in fits
            level = (not taken.rank.extra, taken.rank.priority)
            assert level == max((not j.rank.extra, j.rank.priority) for j in fits)
            given.append(taken.id)
            schedule.spent(taken.film, chance.random() * 20, taken.id)
    assert sorted([*given, *removed]) == sorted(f"j{n}" for n in range(len(specs)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 30), min_size=30, max_size=60), min_size=2, max_size=4),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
def test_no_film_is_ahead_of_another_by_more_than_a_job_a_camera(works, cameras, chance):
    """All films have jobs waiting and one model: what each was given differs by the longest jobs at most."""
    schedule, spent, running = Schedule(), {}, []
    for film, jobs in enumerate(works):
        spent[f"f{film}"] = 0.0
        for n, work in enumerate(jobs):
            schedule.add(job(f"f{film}.{n}", f"f{film}", work=work, path=chance.randint(work, 99)))
    for _ in range(25):
        while len(running) < cameras:
            running.append(schedule.take(Seat(f"c{len(running)}"), 0.0))
        done = running.pop(chance.randrange(cameras))
        spent[done.film] += done.rank.work
        schedule.spent(done.film, done.rank.work, done.id)
        if any(len([j for j in schedule if j.film == film]) == 0 for film in spent):
            break
        assert max(spent.values()) - min(spent.values()) <= 30 * (cameras + 1)


@pytest.mark.parametrize("films", [1, 100])
def test_a_decision_does_not_look_at_all_that_waits(films):
    """Counted, not timed: ranks compared for each job given, with ten times as many waiting."""
    from cluster import order as heaps

    def looks(jobs: int) -> float:
        schedule = waiting(*[job(f"j{n}", f"f{n % films}", path=n % 17 + 1, work=1) for n in range(jobs)])
        calls = 0
        original = heaps.Order.rank

        def counted(self, name):
            nonlocal calls
            calls += 1
            return original(self, name)

        heaps.Order.rank = counted
        try:
            for n in range(200):
                given = schedule.take(Seat(f"c{n % 8}"), 0.0)
                schedule.spent(given.film, 1.0, given.id)
        finally:
            heaps.Order.rank = original
        return calls / 200

    assert looks(3000) <= 1.5 * looks(300)
