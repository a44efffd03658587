"""What waits for what, by the clip it concerns."""

from hypothesis import given
from hypothesis import strategies as st

from director.segments import segments
from director.underway import Shooting
from director.waiting import Waiting
from tests.director.test_segments import chain, film


def room(*chains, lockstep=2, have=None):
    takes = {} if have is None else have
    waiting = Waiting(takes)
    shootings = [
        Shooting(segment, n) for n, segment in enumerate(segments([film("f", *chains)], takes, lockstep=lockstep))
    ]
    for shooting in shootings:
        waiting.add(shooting)
    return waiting, shootings, takes


def names(shootings) -> list[str]:
    return [each.segment.name for each in shootings]


def test_a_segment_is_ready_when_the_clip_before_it_is_there():
    waiting, (first, second, third), takes = room(chain(["a"] * 5))
    assert names(waiting.ready(0.0)) == ["f/s0/1-2"]
    assert waiting.after(first.segment.keys[-1]) == [second]
    for key in first.segment.keys:
        takes[key] = object()
        waiting.arrived(key)
    assert list(waiting.ready(0.0)) == [second]
    assert waiting.coming == set(second.segment.keys + third.segment.keys)
    assert waiting


def test_a_pause_is_kept():
    waiting, (first,), _ = room(chain(["a"]))
    assert list(waiting.ready(0.0)) == [first]
    waiting.add(first, until=5.0)
    assert list(waiting.ready(4.9)) == []
    assert len(waiting) == 1
    assert list(waiting.ready(5.0)) == [first]
    assert not waiting


def test_what_is_given_up_takes_all_that_waits_for_it_along():
    waiting, shootings, _ = room(chain(["a"] * 6), chain(["b"] * 2))
    ready = list(waiting.ready(0.0))
    assert names(ready) == ["f/s0/1-2", "f/s1/1-2"]
    assert names(waiting.lost(ready[0])) == ["f/s0/1-2", "f/s0/3-4", "f/s0/5-6"]
    assert waiting.coming == set(shootings[-1].segment.keys)
    assert not waiting


def test_what_nobody_renders_is_found():
    specs = chain(["a"] * 3)
    takes = {}
    waiting = Waiting(takes)
    (only,) = segments([film("f", specs)], {specs[0].key})
    waiting.add(Shooting(only, 0))
    assert len(waiting.orphans()) == 1
    assert not waiting


def test_a_film_is_taken_out_whole():
    waiting, _, _ = room(chain(["a"] * 6), chain(["b"]))
    other = Shooting(segments([film("g", chain(["c"]))], set())[0], 9)
    waiting.add(other)
    assert len(waiting.leave("f")) == 4
    assert list(waiting.ready(0.0)) == [other]
    assert waiting.coming == set(other.segment.keys)


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=6), min_size=1, max_size=4), st.data())
def test_every_segment_is_ready_once_whatever_fails_in_between(prompts, data):
    waiting, shootings, takes = room(*[chain(p) for p in prompts])
    done, now = [], 0.0
    while waiting:
        now += 1.0
        for shooting in list(waiting.ready(now)):
            if data.draw(st.booleans()) and now < 20:
                waiting.add(shooting, until=now + data.draw(st.sampled_from([0.5, 3.0])))
                continue
            done.append(shooting)
            for key in shooting.segment.keys:
                takes[key] = object()
                waiting.arrived(key)
    assert sorted(each.number for each in done) == sorted(each.number for each in shootings)
