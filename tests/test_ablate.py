"""`longtake ablate` and `longtake models`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

from shots.frames import probe
from tests.commandline import SMALL, Longtake


def test_one_shot_with_each_method(longtake: Longtake, small: Path) -> None:
    small.write_text(SMALL.replace("steps: 4", "steps: 2"))
    found = json.loads(longtake("ablate", "small.yaml", "--shot", "dawn", "--clips", "2", "--json").stdout)
    nfe = {variant["name"]: variant["nfe"] for variant in found["variants"]}
    assert nfe["without methods"] == nfe["VidRD"] == 8
    assert nfe["STG"] == 12
    assert nfe["VideoGuide"] == 88
    assert nfe["IV-Mixed"] == 40
    assert (small.parent / found["sheet"]).read_bytes().startswith(b"\x89PNG")
    video = probe(small.parent / found["video"])
    assert video.frames == 16
    assert (video.width, video.height) == (4 * 192, 2 * (192 + 48))  # a name above each, NFE and time below


def test_a_sweep_over_one_setting(longtake: Longtake, small: Path) -> None:
    small.write_text(SMALL.replace("steps: 4", "steps: 2"))
    sweep = ("ablate", "small.yaml", "--clips", "1", "--sweep")
    found = json.loads(longtake(*sweep, "stg.scale=0,1", "--json").stdout)
    assert [(v["name"], v["nfe"]) for v in found["variants"]] == [("stg.scale 0", 4), ("stg.scale 1", 6)]
    assert "stg has no setting 'strength'" in longtake(*sweep, "stg.strength=1", code=2).stderr
    assert "did you mean 'dawn'" in longtake("ablate", "small.yaml", "--shot", "down", code=2).stderr


def test_models_says_what_each_can_do(longtake: Longtake) -> None:
    found = json.loads(longtake("models", "--json").stdout)
    here = {model["id"]: model for model in found["models"]}
    assert {"pocket", "pocket-dit", "pocket-image", "pocket-teacher"} <= set(here)
    assert here["pocket-dit"]["frames_per_latent"] == 4
    assert here["pocket-dit"]["methods"]["iv_mixed"] != "yes"
    assert here["pocket"]["methods"]["iv_mixed"] == "yes"
    assert {"ltx", "wan", "mochi"} <= {family["family"] for family in found["families"]}
