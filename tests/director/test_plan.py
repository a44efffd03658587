"""The arithmetic of chains and films, and which edit changes which keys."""

from __future__ import annotations

import cProfile
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from director.plan import plan
from director.planned import Plan
from director.settle import derived_seed
from director.storyboard import load
from shots.spec import VidRD
from tests.director.conftest import HEAD, shot

MAIN = Path(__file__).parents[2]


def planned(tmp_path: Path, data: dict[str, Any], name: str = "film.json") -> Plan:
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return plan(load(path)[0])


def film(shots: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    return HEAD | {"shots": shots} | parts


chains = st.one_of(
    st.just("none"),
    st.fixed_dictionaries({"order": st.sampled_from(["forward", "reverse"]), "overlap": st.integers(0, 7)}),
)
shot_lists = st.lists(
    st.fixed_dictionaries(
        {
            "frames": st.integers(1, 200),
            "clip_frames": st.integers(8, 32),
            "recipe": st.fixed_dictionaries({"chain": chains}),
            "title": st.none() | st.fixed_dictionaries({"text": st.just("x"), "frames": st.integers(1, 20)}),
            "cross": st.none() | st.integers(1, 20),
        }
    ),
    min_size=1,
    max_size=5,
)


def described(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shots whose crossfades fit: at most half of every element that they join."""
    shots, room = [], 0
    for i, part in enumerate(parts):
        part = dict(part)
        cross = part.pop("cross")
        before = part["title"]["frames"] if part["title"] else room
        length = min(cross or 0, before // 2 if part["title"] is None else before, part["frames"] // 2)
        if part["title"] is None:
            del part["title"]
        if length:
            part["transition"] = {"kind": "crossfade", "frames": length}
        room = part["frames"]
        shots.append(shot(f"s{i}", **part))
    return shots


@settings(max_examples=40, deadline=None)
@given(shot_lists)
def test_every_asked_frame_is_kept_once(tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, Any]]) -> None:
    shots = described(parts)
    made = planned(tmp_path_factory.mktemp("p"), film(shots))
    assert made.nfe == sum(c.nfe for c in made.clips)
    for asked, got in zip(shots, made.shots, strict=True):
        assert sum(c.kept for c in got.clips) == got.frames == asked["frames"]
        shown = [c.spec.start + c.first + j for c in got.clips for j in range(c.kept)]
        assert shown == list(range(got.frames))  # each frame of the shot from one place, in order
        for k, clip in enumerate(got.clips):
            chain = clip.spec.recipe.chain
            assert clip.slate.clip == k + 1 == clip.spec.index + 1
            assert clip.first == clip.spec.dropped
            assert 0 < clip.kept <= clip.spec.frames - clip.first
            assert clip.key == clip.spec.key
            assert clip.spec.previous == (got.clips[k - 1].key if k and isinstance(chain, VidRD) else None)
        for clip in got.clips[:-1]:
            assert clip.kept == clip.spec.frames - clip.first  # only the last is cut short


@settings(max_examples=40, deadline=None)
@given(shot_lists)
def test_the_film_is_as_long_as_its_parts(
    tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, Any]]
) -> None:
    shots = described(parts)
    made = planned(tmp_path_factory.mktemp("p"), film(shots))
    cursor = 0
    for asked, got in zip(shots, made.shots, strict=True):
        cursor += asked.get("title", {}).get("frames", 0)
        cursor -= asked.get("transition", {}).get("frames", 0)
        assert got.start == cursor
        cursor += asked["frames"]
    assert made.frames == cursor


@pytest.mark.parametrize(
    ("order", "frames", "kept"),
    [
        ("forward", 8, [8]),
        ("forward", 9, [8, 1]),
        ("forward", 28, [8, 4, 4, 4, 4, 4]),
        ("forward", 30, [8, 4, 4, 4, 4, 4, 2]),
        ("reverse", 28, [8, 8, 8, 4]),
        ("reverse", 3, [3]),
    ],
)
def test_chains_by_hand(order: str, frames: int, kept: list[int], tmp_path: Path) -> None:
    recipe = {"chain": {"order": order, "overlap": 4}}
    made = planned(tmp_path, film([shot("a", frames=frames, clip_frames=8, recipe=recipe)]))
    assert [c.kept for c in made.clips] == kept


# ---- lengths ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.fractions(Fraction(1), Fraction(60), max_denominator=1001), st.integers(1, 4000))
def test_seconds_become_the_nearest_whole_frames(
    tmp_path_factory: pytest.TempPathFactory, fps: Fraction, hundredths: int
) -> None:
    seconds = hundredths / 100
    exact = Fraction(hundredths, 100) * fps
    if exact < Fraction(1, 2):
        return
    data = film([shot("a", seconds=seconds)])
    data["film"] = data["film"] | {"fps": f"{fps.numerator}/{fps.denominator}"}
    made = planned(tmp_path_factory.mktemp("p"), data)
    assert abs(made.shots[0].frames - exact) <= Fraction(1, 2)
    assert (made.shots[0].snapped is None) == (exact.denominator == 1)


def test_what_was_changed_is_said(tmp_path: Path) -> None:
    parts = {"transition": {"kind": "fade", "seconds": 0.3}, "title": {"text": "x", "seconds": 1.01}}
    made = planned(tmp_path, film([shot("a", seconds=2.3, clip_frames=4, **parts)]))
    assert made.shots[0].snapped == (
        "2.3 s is 18.4 frames at 8 fps: made 18; fade: 0.3 s is 2.4 frames at 8 fps: made 2; "
        "title: 1.01 s is 8.08 frames at 8 fps: made 8; "
        "the chain's overlap 4 leaves no new frames in clips of 4 latent frames: made 2"
    )


# ---- beats and words ----------------------------------------------------------------------------


def test_a_clip_is_made_under_the_beat_in_force_at_its_first_kept_frame(tmp_path: Path) -> None:
    beats = [{"at": 1, "prompt": "a blue boat"}, {"at_frame": 12, "prompt": "a green boat"}]
    made = planned(tmp_path, film([shot("a", prompt="a red boat", frames=20, clip_frames=8, beats=beats)]))
    assert [c.spec.prompt for c in made.clips] == ["a red boat", "a blue boat", "a green boat", "a green boat"]
    assert made.warnings == ()


def test_a_beat_without_a_clip_is_told(tmp_path: Path) -> None:
    beats = [{"at_frame": 9, "prompt": "a blue boat"}, {"at_frame": 11, "prompt": "a green boat"}]
    made = planned(tmp_path, film([shot("a", frames=16, clip_frames=8, beats=beats)]))
    assert made.warnings == (
        "shot 'a': beat 1 ('a blue boat', from frame 9) gets no clip; clips begin at frames 0, 8, 12",
    )


def test_words_that_the_model_does_not_know_are_told_once(tmp_path: Path) -> None:
    shots = [shot(f"s{i}", prompt="a red dragon over the sea") for i in range(5)]
    (warning,) = planned(tmp_path, film([*shots, shot("t", prompt="a castle")])).warnings
    assert warning.startswith(
        "the pocket model does not know: 'dragon' (shots s0, s1, s2 and 2 more); 'castle' (shot t). It knows: "
    )
    assert "boat" in warning


def test_words_that_the_model_does_not_read_are_told(tmp_path: Path) -> None:
    shots = [shot("a", prompt="a red boat " * 7 + "moving"), shot("b", prompt="a red boat " * 8)]
    made = planned(tmp_path, film(shots))
    assert made.warnings == ("the pocket model reads only the first 22 words of a prompt (shot b)",)


def test_a_size_that_the_model_was_not_made_for_is_told(tmp_path: Path) -> None:
    data = film([shot("a")])
    data["film"] = data["film"] | {"size": [96, 64]}
    assert planned(tmp_path, data).warnings == (
        "size 96x64 is not what pocket was made for (64x64): expect weaker pictures",
    )


# ---- identity -----------------------------------------------------------------------------------

BASE = [shot("a", frames=20, clip_frames=8), shot("b", frames=20, clip_frames=8), shot("c")]


def keys(made: Plan) -> dict[str, list[str]]:
    return {s.id: [c.key for c in s.clips] for s in made.shots}


def edited(index: int, **fields: Any) -> list[dict[str, Any]]:
    return [s | fields if i == index else s for i, s in enumerate(BASE)]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a blue boat"},
        {"negative_prompt": "snow"},
        {"seed": 5},
        {"clip_frames": 9},
        {"sampler": {"steps": 9}},
        {"recipe": "published/vidrd"},
        {"recipe": {"guidance": {"scale": 2}}},
        {"model": {"id": "pocket", "dtype": "float16"}},
    ],
)
def test_an_edit_of_a_shot_changes_all_of_its_keys_and_no_others(fields: dict[str, Any], tmp_path: Path) -> None:
    before, after = keys(planned(tmp_path, film(BASE))), keys(planned(tmp_path, film(edited(1, **fields))))
    assert (before["a"], before["c"]) == (after["a"], after["c"])
    assert not set(before["b"]) & set(after["b"])


@pytest.mark.parametrize(
    "fields",
    [
        {"notes": "look here"},
        {"title": "Hello"},
        {"transition": "fade"},
        {"audio": ["audio/harbour.wav"]},
        {"recipe": {"chain": {"overlap": 4}}},
    ],
)
def test_what_decides_no_pixels_changes_no_key(fields: dict[str, Any], tmp_path: Path, sound: Path) -> None:
    assert keys(planned(tmp_path, film(edited(1, **fields)))) == keys(planned(tmp_path, film(BASE)))


def test_the_films_other_fields_change_no_key(tmp_path: Path, sound: Path) -> None:
    other = film(BASE, bed="audio/harbour.wav", deliver={"size": [512, 512]}, notes="x")
    other["film"] = other["film"] | {"id": "g", "title": "G"}
    assert keys(planned(tmp_path, other)) == keys(planned(tmp_path, film(BASE)))


def test_a_longer_shot_keeps_the_clips_that_it_had(tmp_path: Path) -> None:
    before, after = keys(planned(tmp_path, film(BASE))), keys(planned(tmp_path, film(edited(1, frames=40))))
    assert after["b"][: len(before["b"])] == before["b"]
    assert len(after["b"]) > len(before["b"])


def test_a_late_beat_leaves_the_clips_before_it(tmp_path: Path) -> None:
    beat = {"beats": [{"at_frame": 12, "prompt": "a blue boat"}]}
    before, after = keys(planned(tmp_path, film(BASE))), keys(planned(tmp_path, film(edited(1, **beat))))
    assert [x == y for x, y in zip(before["b"], after["b"], strict=True)] == [True, True, False, False]


def test_moving_a_shot_changes_no_key(tmp_path: Path) -> None:
    assert keys(planned(tmp_path, film(BASE[::-1]))) == keys(planned(tmp_path, film(BASE)))


def test_seeds_derive_from_film_and_shot(tmp_path: Path) -> None:
    made = planned(tmp_path, film(BASE))
    seeds = {s.id: s.clips[0].spec.seed for s in made.shots}
    assert seeds == {id: derived_seed(3, id) for id in "abc"}
    assert len(set(seeds.values())) == 3
    assert derived_seed(1909, "morning") == 6360928701455192881  # pinned: a film must not change with a version
    assert all(0 <= derived_seed(film_seed, "a") < 2**63 for film_seed in range(200))


def test_yaml_and_json_give_the_same_plan_and_twice_the_same_bytes(tmp_path: Path) -> None:
    data = film([shot("a", seconds=2.5, beats=[{"at": 1, "prompt": "a blue boat"}], title="x")])
    as_json, as_yaml = planned(tmp_path, data), planned(tmp_path, data, "film.yaml")
    commented = tmp_path / "block.yaml"
    commented.write_text(
        "# a comment\nschema: longtake.storyboard.v1\nfilm: {seed: 3, size: 64x64, fps: 8.0, id: f}\nshots:\n"
        "- title: {text: x, seconds: 2}\n  beats: [{prompt: a blue boat, at: 1.0}]\n  seconds: 2.50\n"
        "  prompt: >\n    a red boat moving left\n    over the sea by day\n  id: a\n"
    )
    as_block = plan(load(commented)[0])
    assert as_json == as_yaml == as_block
    assert as_json.to_json() == as_yaml.to_json() == as_block.to_json() == planned(tmp_path, data).to_json()


def by_noise(model: str) -> dict:
    """A shot whose guided steps are counted by their noise, so that the price hangs on the model's schedule."""
    recipe = {"videoguide": {"until": 0.8, "tau": 2}, "chain": {"kind": "none"}}
    return shot(model, model=model, clip_frames={"pocket": 8, "pocket-dit": 9}[model], recipe=recipe)


def test_the_plan_is_the_same_in_every_process_and_loads_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "film.json"
    board = film([*BASE, by_noise("pocket"), by_noise("pocket-dit")])
    path.write_text(json.dumps(board))
    code = (
        "import sys; from director.storyboard import load; from director.plan import plan;"
        f"print(plan(load({str(path)!r})[0]).to_json());"
        "heavy = {'torch', 'diffusers', 'transformers', 'ray', 'moviepy'} & set(sys.modules); assert not heavy, heavy"
    )
    texts = []
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(MAIN)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
    assert texts[0] == texts[1] == planned(tmp_path, board).to_json() + "\n"
    guided = [dict(clip.bill)["videoguide"] for clip in planned(tmp_path, board).clips if len(clip.bill) > 1]
    assert len(set(guided)) == 2
    assert all(guided)


def test_where_the_file_lies_is_not_in_the_plan(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    here, there = planned(tmp_path, film(BASE)), planned(tmp_path / "deep", film(BASE))
    assert here.to_json() == there.to_json()
    assert here == there
    assert here.base == tmp_path


# ---- speed --------------------------------------------------------------------------------------


def board_of(shots: int, frames: int, path: Path) -> Path:
    head = (
        "schema: longtake.storyboard.v1\nfilm: {id: big, fps: 8, size: [64, 64]}\ndefaults: {clip_frames: 8}\nshots:\n"
    )
    one = "  - id: s{i}\n    prompt: a red boat moving left over the sea by day\n    frames: {frames}\n"
    path.write_text(head + "".join(one.format(i=i, frames=frames) for i in range(shots)))
    return path


def calls_to_plan(path: Path, clips: int) -> int:
    """Calls of functions while planning: the same on every machine, however busy."""
    profile = cProfile.Profile()
    found = profile.runcall(lambda: plan(load(path)[0]))
    assert len(found.clips) == clips
    return sum(entry.callcount for entry in profile.getstats())


def test_planning_grows_with_the_clips_and_not_faster(tmp_path: Path) -> None:
    calls_to_plan(board_of(10, 8, tmp_path / "warm.yaml"), 10)
    for name, frames, clips in (("chains", 44, 10), ("shots", 8, 1)):
        small = calls_to_plan(board_of(300 // clips, frames, tmp_path / f"small-{name}.yaml"), 300)
        large = calls_to_plan(board_of(1_200 // clips, frames, tmp_path / f"large-{name}.yaml"), 1_200)
        assert 2 < large / small < 4.1  # four times the clips, where squares would be sixteen
