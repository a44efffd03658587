"""As a new user would: edit a shot, plan, render, why, takes, pick, pin, diff, reproduce, each in its own process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commandline import Longtake, decoded, edit

BOARD = """\
schema: longtake.storyboard.v1
film: {id: small, title: Small, fps: 8, size: [64, 64], seed: 7}
defaults:
  sampler: {steps: 3}
  clip_frames: 8
  recipe: {chain: {beta: 0}}
shots:
  - id: dawn
    prompt: a red boat floating over the sea by day
    frames: 16
    beats:
      - {at_frame: 8, prompt: a red boat floating at sunset}
  - id: night
    prompt: a yellow moon floating in the night sky
    frames: 8
"""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "small.yaml").write_text(BOARD)
    Longtake(folder)("render", "small.yaml", "--progress", "plain")
    return folder


@pytest.fixture
def film(rendered, tmp_path) -> Longtake:
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    return Longtake(tmp_path)


def rendered_again(film: Longtake, *options: str, code: int = 0) -> int:
    (only,) = json.loads(film("render", "small.yaml", "--json", *options, code=code).stdout)["films"]
    return only["rendered"]


def test_a_clip_that_leaves_the_same_tail_is_the_only_one_rendered(film):
    """With beta 0 a tail is the first noise alone, and that does not hang on the prompt."""
    before = {clip["slate"]: clip["key"] for clip in plan(film)}
    edit(film, "prompt: a red boat floating over", "prompt: a blue boat floating over")
    assert [clip["state"] for clip in plan(film)] == ["render", "render", "render", "cached"]
    assert "dawn/2-3: clip 1 of this chain changed" in film("plan", "small.yaml").stdout
    assert rendered_again(film) == 1
    after = {clip["slate"]: clip["key"] for clip in plan(film)}
    assert [slate for slate in before if before[slate] != after[slate]] == ["dawn/1"]
    assert film("plan", "small.yaml", "--check").returncode == 0
    assert rendered_again(film) == 0
    found = json.loads(film("lineage", "small", "--json").stdout)
    assert [other["prompt"] for other in found["others"]] == ["a red boat floating over the sea by day"]


def plan(film: Longtake) -> list[dict]:
    (only,) = json.loads(film("plan", "small.yaml", "--json").stdout)["films"]
    return only["clips"]


def test_why_pins_stale_clips_and_selections(film):
    before = decoded(film.folder / "films/small.mp4")
    edit(film, "a yellow moon", "a red moon")
    assert 'prompt changed: "a yellow moon floating' in film("why", "night").stdout
    assert "night/1" in film("plan", "small.yaml", "--stale").stdout
    assert "nothing to render" in film("plan", "small.yaml", "--accept-stale", "night").stdout
    film("pin", "night")
    assert "night/1: pinned: take 4" in film("plan", "small.yaml").stdout
    assert "night/1 is pinned" in film("status").stdout
    assert rendered_again(film) == 0
    assert decoded(film.folder / "films/small.mp4") == before
    assert "stands here by choice: pinned" in film("lineage", "small").stdout
    assert "stands here by choice: pinned" in film("lineage", "small:night/1").stdout
    film("unpin", "night")
    assert rendered_again(film, "--until", "dawn", code=3) == 0
    assert rendered_again(film, "--shot", "night/1") == 1
    assert decoded(film.folder / "films/small.mp4") != before
    assert "prompt changed" in film("diff", "small@2", "small").stdout


def test_a_retake_is_rendered_and_the_first_take_can_be_picked_again(film):
    before = decoded(film.folder / "films/small.mp4")
    film("retake", "night")
    assert rendered_again(film) == 1
    assert decoded(film.folder / "films/small.mp4") != before
    assert "take 2" in film("takes", "night").stdout
    assert (film.folder / "films/small.takes.png").is_file()
    film("pick", "night", "1")
    assert rendered_again(film) == 0
    assert decoded(film.folder / "films/small.mp4") == before


def test_a_take_is_made_again_from_its_file_alone(film, tmp_path_factory):
    (third,) = [path for path in (film.folder / ".longtake/files").glob("??/*.mkv") if clip(film, path) == "dawn/3"]
    alone = Longtake(tmp_path_factory.mktemp("alone"))
    shutil.copy(third, alone.folder / "take.mkv")
    found = json.loads(alone("reproduce", "take.mkv", "--json").stdout)
    assert (found["result"], found["clips"][0]["otherwise"]) == ("bitwise", [])
    assert not (alone.folder / ".longtake").exists()
    shutil.copy(film.folder / "films/small.mp4", alone.folder / "film.mp4")
    found = json.loads(alone("reproduce", "film.mp4", "--json").stdout)
    assert [one["result"] for one in found["clips"]] == ["bitwise"] * 4


def clip(film: Longtake, path: Path) -> str:
    slate = json.loads(film("lineage", str(path), "--json").stdout)["slate"]
    return f"{slate['shot']}/{slate['clip']}"


def test_pictures_that_were_changed_are_told_from_those_that_were_made(film):
    from shots.frames import probe, read_take, write_take

    path = next(p for p in (film.folder / ".longtake/files").glob("??/*.mkv") if clip(film, p) == "night/1")
    frames, tags = read_take(path), {"longtake": probe(path).tags["longtake"]}
    nearly = frames.copy()
    nearly[0, 0, 0, 0] ^= 1
    write_take(film.folder / "nearly.mkv", nearly, tags)
    write_take(film.folder / "not.mkv", 255 - frames, tags)
    bitwise = film("reproduce", "nearly.mkv")  # the record's own digest is met
    assert "the file has been changed" in bitwise.stdout
    assert "the file has been changed" in film("reproduce", "not.mkv").stdout
    record = json.loads(tags["longtake"])
    record["frames_digest"] = "0" * 64
    for name, pictures, code, result in (("nearly", nearly, 0, "rounding"), ("not", 255 - frames, 1, "different")):
        write_take(film.folder / f"{name}.mkv", pictures, {"longtake": json.dumps(record)})
        found = json.loads(film("reproduce", f"{name}.mkv", "--json", code=code).stdout)
        assert found["result"] == result
    hidden = json.loads(film("lineage", "not.mkv", "--json", "--redact", "prompts").stdout)
    write_take(film.folder / "hidden.mkv", frames, {"longtake": json.dumps(hidden)})
    assert "redacted" in film("reproduce", "hidden.mkv", code=2).stderr
    record["spec"]["seed"] += 1
    write_take(film.folder / "forged.mkv", frames, {"longtake": json.dumps(record)})
    assert "its record has been changed" in film("reproduce", "forged.mkv", code=2).stderr
    assert "no file" in film("reproduce", "nothing.mkv", code=2).stderr
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2 : len(broken) // 2 + 40] = bytes(40)
    (film.folder / "broken.mkv").write_bytes(broken)
    told = film("reproduce", "broken.mkv", code=1).stderr
    assert "damaged" in told
    assert "chain" not in told  # nothing was rendered for it


def test_housekeeping(film, tmp_path_factory):
    edit(film, "a yellow moon", "a golden moon")
    rendered_again(film)
    assert "longtake gc --yes" in film("gc").stdout
    film("gc", "--yes")
    film("verify", "--repair")
    there = Longtake(tmp_path_factory.mktemp("there"))
    film("export", "small", str(there.folder / "carried"))
    told = there("import", "carried").stdout
    assert "longtake render carried/storyboard/small.yaml" in told
    assert "nothing to render" in there("plan", "carried/storyboard/small.yaml").stdout
    film("move", str(there.folder / "store"), "--remove")
    assert rendered_again(film) == 0
    film("verify")
