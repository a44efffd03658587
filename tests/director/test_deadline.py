"""When a film is due, and how it is produced, as an author writes it."""

from datetime import UTC, datetime

import pytest

from director.deadline import check_deadline, due
from director.errors import StoryboardError, UsageError
from director.plan import plan
from director.planned import Terms
from director.storyboard import load

NOON = datetime(2026, 11, 21, 12, 0).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13:30", datetime(2026, 11, 21, 13, 30)),
        ("7:00", datetime(2026, 11, 22, 7, 0)),
        ("12:00", datetime(2026, 11, 22, 12, 0)),
        ("2026-12-24 18:00", datetime(2026, 12, 24, 18, 0)),
        ("2026-12-24T18:00:00Z", datetime(2026, 12, 24, 18, 0, tzinfo=UTC)),
        ("2026-12-24 18:00+02:00", datetime(2026, 12, 24, 16, 0, tzinfo=UTC)),
    ],
)
def test_when_it_is_due(text, expected):
    assert due(text, NOON) == expected.timestamp()


@pytest.mark.parametrize("text", ["", "25:00", "soon", "2026-12-24", "2026-13-01 10:00", "7"])
def test_what_is_no_deadline(text):
    with pytest.raises(UsageError, match="time of day"):
        check_deadline(text)


def test_terms_reach_the_plan_and_change_nothing_in_it(write):
    terms = {"priority": 5, "deadline": "07:00", "gpu_hours": 6, "share": 2}
    plain, told = (plan(load(write(production=each))[0]) for each in ({}, terms))
    assert told.terms == Terms(5, "07:00", 6.0, 2.0)
    assert plain.terms == Terms()
    assert plain.to_json() == told.to_json()
    assert [clip.key for clip in plain.clips] == [clip.key for clip in told.clips]


@pytest.mark.parametrize(
    ("field", "value"), [("deadline", "noon"), ("gpu_hours", 0), ("priority", 5000), ("share", 0), ("budget", 1)]
)
def test_terms_that_make_no_sense_are_named(write, field, value):
    with pytest.raises(StoryboardError, match=f"production.*{field}"):
        load(write(production={field: value}))
