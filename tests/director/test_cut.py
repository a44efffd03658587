"""The cut as integers: every film frame has one element, every kept frame is shown where the plan says."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.cut import cut_list, film_frames
from director.cutlist import Body, Crossfade, Fade, Mix, Part, Shown, Slide, from_dict, length, slice_strip, to_dict
from director.errors import CutError
from director.planned import Plan, PlannedClip, PlannedShot, Slate, Sound, Title, Transition
from director.windows import strip_pictures
from shots.prints import PrintSpec
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler


def a_clip(shot: str, number: int, first: int, kept: int) -> PlannedClip:
    model = ModelRef("m", "sha256:0", "animatediff")
    spec = ClipSpec(model, 64, 64, first + kept, shot, "", 0, number, Sampler(), Recipe())
    return PlannedClip(Slate("film", shot, number + 1), spec, f"{shot}/{number}", first, kept, 1)


def a_shot(name: str, *kept: int, dropped: int = 0, **more) -> PlannedShot:
    clips = tuple(a_clip(name, i, dropped if i else 0, n) for i, n in enumerate(kept))
    return PlannedShot(name, clips, sum(kept), **more)


def a_plan(*shots: PlannedShot, **more) -> Plan:
    return Plan("film", "Film", Fraction(24), (64, 64), 0, shots, (), film_frames(shots), **more)


def cut(plan: Plan):
    return cut_list(plan, {clip.key: clip.key for clip in plan.clips})


def crossfade(n: int) -> Transition:
    return Transition("crossfade", n)


def fade(n: int) -> Transition:
    return Transition("fade", n, (9, 9, 9))


def shown_frames(element) -> list[list[tuple[str, int]]]:
    """For each film frame of the element, the take frames that are in it."""

    def flat(strip) -> list[tuple[str, int]]:
        return [(getattr(p, "take", "card"), p.first + k) for p in strip for k in range(p.frames)]

    if isinstance(element, Body):
        return [[(element.take, element.first + k)] for k in range(element.frames)]
    if isinstance(element, Crossfade):
        return [list(pair) for pair in zip(flat(element.out), flat(element.into), strict=True)]
    return [[one] for one in flat(element.strip)]


def test_hard_cuts_are_bodies_only():
    found = cut(a_plan(a_shot("a", 8, 4, dropped=4), a_shot("b", 8)))
    assert found.elements == (Body("a/0", 0, 8), Body("a/1", 4, 4), Body("b/0", 0, 8))
    assert [(s.shot, s.start, s.frames) for s in found.stretches] == [("a", 0, 12), ("b", 12, 8)]


def test_a_crossfade_over_clips_that_keep_four_frames_each():
    """Six frames of overlap reach into two clips on either side."""
    found = cut(a_plan(a_shot("a", 8, 4, 4, dropped=4), a_shot("b", 4, 4, 4, transition=crossfade(6))))
    assert found.elements == (
        Body("a/0", 0, 8),
        Body("a/1", 4, 2),
        Crossfade(
            (Part("a/1", 6, 2), Part("a/2", 4, 4)),
            (Part("b/0", 0, 4), Part("b/1", 0, 2)),
        ),
        Body("b/1", 2, 2),
        Body("b/2", 0, 4),
    )
    assert found.frames == 16 + 12 - 6
    assert found.stretches[1].start == 10


def test_two_transitions_that_use_a_whole_shot_leave_no_body():
    found = cut(
        a_plan(a_shot("a", 8), a_shot("b", 8, transition=crossfade(4)), a_shot("c", 8, transition=crossfade(4)))
    )
    assert [type(e) for e in found.elements] == [Body, Crossfade, Crossfade, Body]
    assert found.frames == 16


def test_a_fade_goes_out_over_the_first_half_and_in_over_the_second():
    found = cut(a_plan(a_shot("a", 8), a_shot("b", 8, transition=fade(5))))
    assert found.elements == (
        Body("a/0", 0, 6),
        Fade((Part("a/0", 6, 2),), (9, 9, 9), to_colour=True),
        Fade((Part("b/0", 0, 3),), (9, 9, 9), to_colour=False),
        Body("b/0", 3, 5),
    )
    assert found.frames == 16


def test_the_first_shot_fades_in_only():
    found = cut(a_plan(a_shot("a", 8, transition=fade(4))))
    assert found.elements == (Fade((Part("a/0", 0, 2),), (9, 9, 9), to_colour=False), Body("a/0", 2, 6))


def test_a_card_stands_before_its_shot_and_crossfades_into_it():
    title = Title("Dawn", 10)
    found = cut(a_plan(a_shot("a", 8), a_shot("b", 8, title=title, transition=crossfade(4))))
    card = Slide("Dawn", (0, 0, 0), (255, 255, 255), 0, 6, 10)
    assert found.elements == (
        Body("a/0", 0, 8),
        Shown((card,)),
        Crossfade((Slide("Dawn", (0, 0, 0), (255, 255, 255), 6, 4, 10),), (Part("b/0", 0, 4),)),
        Body("b/0", 4, 4),
    )
    assert found.frames == 8 + 10 + 8 - 4


def test_a_fade_after_a_card_goes_from_the_card_to_the_shot():
    found = cut(a_plan(a_shot("a", 8), a_shot("b", 8, title=Title("Dawn", 10), transition=fade(6))))
    assert [(type(e), e.frames) for e in found.elements] == [(Body, 8), (Shown, 7), (Fade, 3), (Fade, 3), (Body, 5)]
    assert found.frames == 26


def test_a_title_over_a_shot_is_cut_along_its_transitions():
    """Ten frames of text over a shot whose first four frames are in a crossfade and whose last two are in another."""
    found = cut(
        a_plan(
            a_shot("a", 8),
            a_shot("b", 11, title=Title("Dawn", 10, over="shot"), transition=crossfade(4)),
            a_shot("c", 8, transition=crossfade(2)),
        )
    )
    kinds = [type(e) for e in found.elements]
    assert kinds == [Body, Crossfade, Shown, Crossfade, Body]
    spans = [[(c.first, c.frames, c.total) for c in e.captions] for e in found.elements if not isinstance(e, Body)]
    assert spans == [[(0, 4, 10)], [(4, 5, 10)], [(9, 1, 10)]]


def test_sounds_are_placed_by_film_frame_and_end_with_their_shot():
    sound = Sound(Path("gull.wav"), start=3, gain=-6.0, fade_out=Fraction(1, 2))
    late = Sound(Path("late.wav"), start=100)
    plan = a_plan(
        a_shot("a", 8),
        a_shot("b", 12, transition=crossfade(4), audio=(sound, late)),
        bed=Sound(Path("bed.wav"), loop=True),
    )
    bed, gull = cut(plan).cues
    assert (bed.file, bed.start, bed.frames, bed.loop) == ("bed.wav", 0, 16, True)
    assert (gull.file, gull.start, gull.frames, gull.gain, gull.fade_out) == ("gull.wav", 7, 9, -6.0, Fraction(1, 2))


@pytest.mark.parametrize(
    ("shots", "words"),
    [
        ([a_shot("a", 8, transition=crossfade(2))], "shot a: .* nothing to fade from"),
        ([a_shot("a", 8), a_shot("b", 8, transition=crossfade(9))], "shot a has 8 frames.* 9 at its end"),
        (
            [a_shot("a", 8), a_shot("b", 8, transition=crossfade(5)), a_shot("c", 8, transition=crossfade(4))],
            "shot b has 8 frames.* 5 at its beginning and 4 at its end",
        ),
        ([a_shot("a", 8), a_shot("b", 8, title=Title("T", 3), transition=crossfade(4))], "title card of shot b"),
        ([a_shot("a", 8, title=Title("T", 9, over="shot"))], "title over it 9"),
        ([a_shot("a")], "shot a has 0 frames"),
    ],
)
def test_what_cannot_be_joined_is_named(shots, words):
    with pytest.raises(CutError, match=words):
        film_frames(shots)


def test_a_clip_without_a_take_is_named():
    plan = a_plan(a_shot("a", 8, 8))
    with pytest.raises(CutError, match="shot a has no take of 1 clips, the first a/2"):
        cut_list(plan, {"a/0": "x"})


@st.composite
def plans(draw) -> Plan:
    shots: list[PlannedShot] = []
    room = 0  # frames of the piece before that no transition has taken yet
    for number in range(draw(st.integers(1, 5))):
        kept = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        own = sum(kept)
        title = draw(
            st.none()
            | st.builds(Title, st.just("t"), st.integers(1, 20))
            | st.builds(Title, st.just("t"), st.integers(1, own), st.just("shot"))
        )
        card = title.frames if title and title.over == "card" else None
        before = room if card is None else card
        kind = draw(st.sampled_from(["cut", "crossfade", "fade"]))
        most = (
            min(before, own)
            if kind == "crossfade"
            else min(2 * before + 1 if card or number else 2 * own - 1, 2 * own - 1)
        )
        way = Transition(kind, draw(st.integers(1, most))) if kind != "cut" and most > 0 else Transition()
        taken = way.frames if way.kind == "crossfade" else way.frames - way.frames // 2
        shots.append(a_shot(str(number), *kept, dropped=draw(st.integers(0, 4)), transition=way, title=title))
        room = own - taken
    return a_plan(*shots)


@given(plans())
def test_every_plan_is_cut_into_its_frames(plan: Plan):
    found = cut(plan)
    assert found.frames == plan.frames == film_frames(plan.shots)
    assert all(element.frames > 0 for element in found.elements)
    film = [frame for element in found.elements for frame in shown_frames(element)]
    for shot, stretch in zip(plan.shots, found.stretches, strict=True):
        kept = [(clip.key, clip.first + k) for clip in shot.clips for k in range(clip.kept)]
        for offset, frame in enumerate(kept):
            assert frame in film[stretch.start + offset]
    assert sum(len(shown) for shown in film) == plan.frames + sum(
        e.frames for e in found.elements if isinstance(e, Crossfade)
    )


@given(plans())
def test_a_title_lies_over_each_of_its_frames_once(plan: Plan):
    shown: dict[str, list[int]] = {}
    for element in cut(plan).elements:
        for caption in () if isinstance(element, Body) else element.captions:
            assert caption.frames <= element.frames
            shown.setdefault("over", []).extend(range(caption.first, caption.first + caption.frames))
        if isinstance(element, Shown | Crossfade | Fade):
            strip = element.out + element.into if isinstance(element, Crossfade) else element.strip
            for slide in (p for p in strip if isinstance(p, Slide)):
                shown.setdefault("card", []).extend(range(slide.first, slide.first + slide.frames))
    for over in ("over", "card"):
        kind = "shot" if over == "over" else "card"
        wanted = [k for s in plan.shots if s.title and s.title.over == kind for k in range(s.title.frames)]
        assert shown.get(over, []) == wanted


@given(plans())
def test_a_cut_list_survives_json(plan: Plan):
    found = cut(plan)
    assert from_dict(json.loads(json.dumps(to_dict(found)))) == found


def test_a_cut_list_of_another_version_is_refused():
    data = to_dict(cut(a_plan(a_shot("a", 8), bed=Sound(Path("b.wav"), fade_in=Fraction(1, 3)))))
    assert from_dict(data).cues[0].fade_in == Fraction(1, 3)
    with pytest.raises(CutError, match=r"longtake\.cut\.v9.*longtake\.cut\.v1"):
        from_dict(data | {"schema": "longtake.cut.v9"})
    with pytest.raises(CutError, match="not a cut list"):
        from_dict({name: value for name, value in data.items() if name != "fps"})


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_slicing_a_strip_is_slicing_its_frames(lengths, data):
    strip = tuple(Part(str(i), 10 * i, n) for i, n in enumerate(lengths))
    whole = shown_frames(Shown(strip))
    first = data.draw(st.integers(0, len(whole)))
    frames = data.draw(st.integers(0, len(whole) - first))
    part = slice_strip(strip, first, frames)
    assert length(part) == frames
    assert shown_frames(Shown(part)) == whole[first : first + frames]


# ---- clips that dissolve into each other ---------------------------------------------------------


def a_blended_shot(name: str, *kept: int, width: int = 2, **more) -> PlannedShot:
    shot = a_shot(name, *kept, dropped=width, **more)
    return replace(shot, clips=tuple(replace(c, blended=width if i else 0) for i, c in enumerate(shot.clips)))


def test_blended_clips_share_pictures_and_lose_none() -> None:
    plan = a_plan(a_blended_shot("a", 8, 6, 5))
    elements = cut(plan).elements
    assert elements == (
        Body("a/0", 0, 6),
        Shown((Mix(Part("a/0", 6, 2), Part("a/1", 0, 2), 0, 2),)),
        Body("a/1", 2, 4),
        Shown((Mix(Part("a/1", 6, 2), Part("a/2", 0, 2), 0, 2),)),
        Body("a/2", 2, 5),
    )
    assert cut(plan).frames == 19
    assert from_dict(json.loads(json.dumps(to_dict(cut(plan))))) == cut(plan)
    assert cut(plan).takes == ("a/0", "a/1", "a/2")


@given(first=st.integers(0, 18), frames=st.integers(1, 19))
def test_a_mix_can_be_cut_anywhere(first: int, frames: int) -> None:
    """A transition or a title may begin or end in the middle of one."""
    frames = min(frames, 19 - first)
    mix = Mix(Part("a", 6, 4), Part("b", 0, 4), 0, 4)
    strip = (Part("a", 0, 6), mix, Part("b", 4, 9))

    def shown(strip) -> list[tuple]:
        found: list[tuple] = []
        for piece in strip:
            for k in range(piece.frames):
                if isinstance(piece, Mix):
                    share = Fraction(piece.first + k + 1, piece.total + 1)
                    found.append((piece.out.first + k, piece.into.first + k, share))
                else:
                    found.append((piece.take, piece.first + k))
        return found

    assert shown(slice_strip(strip, first, frames)) == shown(strip)[first : first + frames]


def test_a_mix_is_rendered_with_the_weights_of_its_place() -> None:
    def read(part: Part):
        level = {"a": 0, "b": 200}[part.take]
        for k in range(part.frames):
            yield np.full((4, 4, 3), level + part.first + k, np.uint8)

    whole = (Mix(Part("a", 4, 3), Part("b", 0, 3), 0, 3),)
    spec = PrintSpec(4, 4, Fraction(8))
    levels = [int(picture[0, 0, 0]) for picture in strip_pictures(whole, read, spec)]
    assert levels == [round(0.75 * 4 + 0.25 * 200), round(0.5 * 5 + 0.5 * 201), round(0.25 * 6 + 0.75 * 202)]
    later = [int(picture[0, 0, 0]) for picture in strip_pictures(slice_strip(whole, 1, 2), read, spec)]
    assert later == levels[1:]
