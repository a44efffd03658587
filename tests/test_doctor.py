"""`longtake doctor`: what this machine has, and what is wrong with it."""

import json

import pytest

from director.doctor import verdict
from shots.footprint import Footprint, footprint
from shots.loading import Loading
from shots.models import describe
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
    assert "7 million weights: 0.03 GiB in float32, 0.01 GiB in bfloat16 (unet 4, motion_adapter 2, vae 1" in says
    assert says.endswith("It fits")
    missing = json.loads(longtake("doctor", "--model", "nowhere/at-all", "--json", code=1).stdout)
    assert "nowhere/at-all" in missing["findings"][-1]["says"]


LTX_2B = Footprint(
    {"transformer": 1_900_000_000, "text_encoder": 4_700_000_000, "vae": 840_000_000},
    ("transformer",),
    ("text_encoder",),
    131_000_000,
    {},
)
GIB = 2**30


@pytest.mark.parametrize(
    ("free", "spare", "advice"),
    [
        (48, 64, "It fits"),
        (24, 64, "{id: m, dtype: bfloat16}`"),
        (16, 64, "{id: m, dtype: bfloat16, offload: model}`; slower"),
        (8, 64, "{id: m, offload: sequential}`; slower"),
        (8, 16, "{id: m, dtype: bfloat16, offload: sequential}`; slower"),
        (8, 8, "does not fit"),  # nor do the weights into the memory beside it
        (8, 0, "does not fit"),  # a processor has no memory beside it
        (0.5, 64, "does not fit"),
    ],
)
def test_what_leaves_the_device_so_that_a_model_fits(free: float, spare: float, advice: str):
    state, says = verdict("m", LTX_2B, free * GIB, spare * GIB)
    assert advice in says
    assert state == ("bad" if "does not" in advice else "ok" if advice == "It fits" else "note")


def test_the_weights_of_each_part_are_read_from_their_headers():
    card = describe("pocket", loading=Loading())
    found = footprint(card)
    assert found.parts["text_encoder"] < found.parts["vae"] < found.parts["unet"]
    assert (set(found.networks), found.readers) == ({"unet", "motion_adapter"}, ("text_encoder",))
    needs = [found.needed(rung, "float32") for rung in (0, 2, 3, 4)]
    assert needs == sorted(needs, reverse=True)
    assert found.needed(0, "bfloat16") == needs[0] / 2


def test_doctor_says_what_is_broken(longtake: Longtake):
    (longtake.folder / ".longtake").mkdir()
    (longtake.folder / ".longtake/ledger.sqlite").write_text("not a database, " * 100)
    longtake.environment["IMAGEIO_FFMPEG_EXE"] = "/nowhere/ffmpeg"
    document = json.loads(longtake("doctor", "--json", code=1).stdout)
    bad = {finding["what"] for finding in document["findings"] if finding["state"] == "bad"}
    assert bad == {"ffmpeg", "database"}
