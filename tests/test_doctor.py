"""`longtake doctor`: what this machine has, and what is wrong with it."""

import json

from tests.commandline import Longtake


def test_doctor_finds_what_a_render_needs(longtake: Longtake):
    document = json.loads(longtake("doctor", "--json").stdout)
    found = {finding["what"]: finding for finding in document["findings"]}
    needed = ("memory", "accelerator", "ffmpeg", "encoders", "database", "ray", "pocket model", "model cache")
    assert set(needed) <= set(found)
    assert all(finding["state"] in ("ok", "note") for finding in found.values())
    assert "ffmpeg version" in found["ffmpeg"]["says"]
    assert "sha256:" in found["pocket model"]["says"]


def test_doctor_says_whether_a_model_fits(longtake: Longtake):
    document = json.loads(longtake("doctor", "--model", "pocket", "--json").stdout)
    says = next(finding["says"] for finding in document["findings"] if finding["what"] == "model pocket")
    assert "7 million weights: 0.03 GiB in float32, 0.01 GiB in bfloat16" in says
    assert says.endswith("It fits")
    missing = json.loads(longtake("doctor", "--model", "nowhere/at-all", "--json", code=1).stdout)
    assert "nowhere/at-all" in missing["findings"][-1]["says"]


def test_doctor_says_what_is_broken(longtake: Longtake):
    (longtake.folder / ".longtake").mkdir()
    (longtake.folder / ".longtake/ledger.sqlite").write_text("not a database, " * 100)
    longtake.environment["IMAGEIO_FFMPEG_EXE"] = "/nowhere/ffmpeg"
    document = json.loads(longtake("doctor", "--json", code=1).stdout)
    bad = {finding["what"] for finding in document["findings"] if finding["state"] == "bad"}
    assert bad == {"ffmpeg", "database"}
