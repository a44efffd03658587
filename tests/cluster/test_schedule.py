from cluster.job import Job
from cluster.schedule import pick
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler


def job(name: str, clips: int, digest: str = "m") -> Job:
    spec = ClipSpec(ModelRef("x", digest, "animatediff"), 64, 64, 8, "p", "", 1, 0, Sampler(), Recipe())
    return Job(name, "film", "shot", 1, (spec,) * clips)


def test_nothing_waits():
    assert pick([], None) is None


def test_longest_first_and_ties_in_order_of_arrival():
    assert pick([job("a", 2), job("b", 5), job("c", 5)], None) == 1


def test_the_warm_model_goes_first_even_when_shorter():
    assert pick([job("a", 9, "cold"), job("b", 1, "warm")], "warm") == 1
    assert pick([job("a", 9, "cold"), job("b", 1, "colder")], "warm") == 0
