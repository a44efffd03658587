"""Drafts of the first steps, as a user has them: look, pick, and the picked take goes on without doing a step twice."""

from __future__ import annotations

import json

import pytest

from tests.commandline import Longtake, decoded

BOARD = """\
schema: longtake.storyboard.v1
film: {id: small, title: Small, fps: 8, size: [64, 64], seed: 7}
defaults:
  sampler: {name: dpmpp_2m, steps: 5}
  clip_frames: 8
  recipe: {stg: on}
shots:
  - id: dawn
    prompt: a red boat floating over the sea by day
    frames: 12
"""
DRAFTS = "    takes: 2\n    draft: {stop_after: 2}\n"
RENDER = ("-v", "render", "small.yaml", "--progress", "none", "--lockstep", "1")


@pytest.mark.timeout(900)
def test_a_picked_draft_goes_on_to_the_film_of_an_undisturbed_render(longtake: Longtake, tmp_path_factory) -> None:
    board = longtake.folder / "small.yaml"
    board.write_text(BOARD + DRAFTS)
    longtake(*RENDER)
    drafts = decoded(longtake.folder / "films/small.mp4")
    longtake("gc", "--yes")
    (shot,) = json.loads(longtake("pick", "dawn", "2", "--json").stdout)["shots"]
    assert [(take["stop_after"], take["steps"], take["done"]) for take in shot["takes"]] == [(2, 5, 2), (None, 5, 0)]
    (planned,) = json.loads(longtake("plan", "small.yaml", "--json").stdout)["films"]
    whole = sum(clip["nfe"] for clip in planned["plan"]["shots"][0]["clips"])
    assert planned["nfe"] == whole * 3 // 5  # cfg and stg: three evaluations at every step
    assert all("goes on from where its draft has stopped" in clip["why"] for clip in planned["clips"][:2])
    told = longtake(*RENDER).stderr
    assert told.count("going on from step 2 of the drafts of 1 clips") == 2
    assert decoded(longtake.folder / "films/small.mp4") != drafts

    alone = Longtake(tmp_path_factory.mktemp("alone"))
    (alone.folder / "small.yaml").write_text(BOARD + f"    seed: {shot['takes'][1]['seed']}\n")
    alone(*RENDER)
    assert decoded(longtake.folder / "films/small.mp4") == decoded(alone.folder / "films/small.mp4")
    counted = [clip["nfe"] for clip in json.loads(alone("lineage", "small", "--json").stdout)["clips"]]
    assert [clip["nfe"] for clip in json.loads(longtake("lineage", "small", "--json").stdout)["clips"]] == counted
