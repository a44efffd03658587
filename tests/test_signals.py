"""Ctrl-C and SIGTERM at every stage: while a model loads, between steps, during the cut; here and on Ray."""

import signal
import time

import pytest

from tests.commandline import SMALL, Longtake

STAGES = {"load": "rendering on", "step": "done,", "cut": "cutting"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)], ids=["int", "term"])
def test_a_signal_ends_a_local_render_in_time(longtake: Longtake, small, stage, number, code):
    # Large deliveries in three codecs make a cut that takes its time.
    small.write_text(SMALL + "deliver: [{size: [1920, 1920]}, {size: [1920, 1920], codec: prores}]\n")
    process = longtake.start("render", "small.yaml", "--progress", "plain", "--lockstep", "2", "--decode-beside", "on")
    for line in process.stderr:
        if STAGES[stage] in line:
            break
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert time.monotonic() - began < 15  # soon: a busy machine takes its time
    assert "Traceback" not in err
    assert "run the same command to go on" in err
    assert not (small.parent / "films/small.mp4").exists()
    longtake("status")
    longtake("verify")


def test_sigterm_on_ray(longtake: Longtake, small):
    process = longtake.start("render", "small.yaml", "--progress", "plain", "--on", "ray", "--cameras", "1")
    for line in process.stderr:
        if "rendering on" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    assert '"interrupted"' in longtake("status", "--json").stdout
