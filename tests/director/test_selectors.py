"""Which clips a selector means, alone and narrowed, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.errors import UsageError
from director.selectors import Place, Selector, parse, selection
from tests.director.conftest import shot
from tests.director.studio import Studio

SHOTS = (shot("dawn", frames=16), shot("noon", frames=8), shot("night", frames=12))  # 3, 1 and 2 clips


@pytest.fixture
def plan(film_studio: Studio):
    return film_studio.plan(*SHOTS)


@pytest.mark.parametrize(
    ("words", "options", "meant"),
    [
        ((), {}, "dawn/1 dawn/2 dawn/3 noon/1 night/1 night/2"),
        (("dawn",), {}, "dawn/1 dawn/2 dawn/3"),
        (("dawn/3",), {}, "dawn/3"),
        (("dawn/3..night/1",), {}, "dawn/3 noon/1 night/1"),
        (("noon..",), {}, "noon/1 night/1 night/2"),
        (("..dawn/2",), {}, "dawn/1 dawn/2"),
        (("night", "f:dawn/1"), {}, "dawn/1 night/1 night/2"),
        (("dawn", "dawn/2..noon"), {}, "dawn/1 dawn/2 dawn/3 noon/1"),
        ((), {"since": "dawn/3", "until": "noon"}, "dawn/3 noon/1"),
        (("dawn",), {"since": "dawn/2"}, "dawn/2 dawn/3"),
        (("dawn",), {"since": "night"}, ""),
    ],
)
def test_what_is_meant(plan, words, options, meant) -> None:
    chosen = selection(words, **options)
    assert " ".join(str(clip.slate) for clip in chosen.of(plan)) == meant
    bound = chosen.bound([plan])
    again = selection(**bound.written())  # as a run has it in the ledger
    assert again.written() == bound.written()
    assert again.of(plan) == chosen.of(plan)


def test_failed_and_stale_keep_what_is_either(plan) -> None:
    keys = [clip.key for clip in plan.clips]
    failed, stale = {keys[0]}, {keys[3], keys[5]}
    assert [c.key for c in selection(failed=True).of(plan, failed, stale)] == [keys[0]]
    assert [c.key for c in selection(("noon..",), failed=True, stale=True).of(plan, failed, stale)] == [
        keys[3],
        keys[5],
    ]
    assert selection(stale=True).of(plan) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("down", "did you mean 'dawn'"),
        ("dawn/4", "has 3 clips, so no clip 4"),
        ("noon/2", "has 1 clip, so no clip 2"),
        ("night..dawn", "write dawn..night"),
        ("dawn/0", "names no clips"),
        ("dawn/x", "names no clips"),
        ("..", "names no clips"),
        ("", "names no clips"),
        (":dawn", "names no clips"),
        ("other:dawn", "the films here are f"),
    ],
)
def test_what_names_nothing_is_refused(plan, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        selection((text,)).bound([plan]).of(plan)


def test_bounds_that_leave_nothing_between_them_are_refused(plan) -> None:
    with pytest.raises(UsageError, match="--from 'night' stands after --until 'dawn/2' in film f"):
        selection(since="night", until="dawn/2").of(plan)


def test_a_bound_is_one_place() -> None:
    with pytest.raises(UsageError, match="--from"):
        selection(since="a..b")


def test_selectors_of_several_films(film_studio: Studio) -> None:
    first = film_studio.plan(*SHOTS)
    second = film_studio.plan(shot("noon", frames=8), name="second.json", film={"id": "g"})
    both = [first, second]

    def meant(*words: str) -> list[str]:
        chosen = selection(words).bound(both)
        return [f"{plan.film}:{clip.slate}" for plan in both for clip in chosen.of(plan)]

    assert meant("noon") == ["f:noon/1", "g:noon/1"]
    assert meant("night/2") == ["f:night/2"]
    assert meant("g:noon") == meant("second.json:noon") == meant(f"{second.storyboard}:noon") == ["g:noon/1"]
    with pytest.raises(UsageError, match="none of the films f, g"):
        meant("evening")
    with pytest.raises(UsageError, match="name one of them, as f:noon"):
        selection(since="noon").bound(both)


NAME = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
PLACE = st.builds(Place, NAME, st.none() | st.integers(1, 999))


@given(st.none() | NAME, PLACE, PLACE | st.none(), st.booleans())
def test_what_is_written_is_read(film: str | None, first: Place, last: Place | None, whole: bool) -> None:
    text = f"{film}:" * (film is not None) + (str(first) if whole else f"{first}..{last or ''}")
    assert parse(text) == Selector(text, film, first, first if whole else last)
