"""Kill it at any moment, run it again: the film is the one an undisturbed run would have made."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.commandline import SMALL, Longtake, decoded

RENDER = ("render", "small.yaml", "--progress", "plain", "--lockstep", "2", "--checkpoint-every", "0.2")
KILLS = int(os.environ.get("LONGTAKE_KILLS", "4"))
"""Kills in all, every third of them on Postgres. The long form: LONGTAKE_KILLS=50."""
METHODS = """\
  recipe:
    stg: {start: 0.5}
    videoguide: {teacher: pocket-teacher, steps: 1, tau: 1}
    iv_mixed: {image: pocket-image, start: 0.25, stop: 0.5}
"""
EVERYTHING = SMALL.replace("  clip_frames: 8\n", "  clip_frames: 8\n" + METHODS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Decoded frames of an undisturbed run, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(EVERYTHING)
    longtake = Longtake(folder)
    began = time.monotonic()
    longtake(*RENDER)
    return decoded(folder / "films/small.mp4"), time.monotonic() - began


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kill", range(KILLS))
def test_kill_9_at_a_random_moment_then_render_again(kill, undisturbed, longtake: Longtake, small: Path, request):
    small.write_text(EVERYTHING)
    where = ("--db", request.getfixturevalue("postgres_url")) if kill % 3 == 2 else ()
    frames, seconds = undisturbed
    moment = random.Random(f"crash {kill}").uniform(0.3, 1.0) * seconds  # before that it is only importing
    killed = False
    while not killed:
        process = longtake.start(*RENDER, *where, start_new_session=True)
        time.sleep(moment)
        killed = process.poll() is None  # on a quicker day it may be done already: begin again, kill sooner
        if killed:
            os.killpg(process.pid, signal.SIGKILL)
        elif not where:
            shutil.rmtree(small.parent / ".longtake")
            shutil.rmtree(small.parent / "films")
        process.communicate()
        if where and not killed:
            break  # done in time; a database is not begun anew
        moment *= 0.8
    longtake("status", "--json", *where)
    longtake(*RENDER, *where)
    assert decoded(small.parent / "films/small.mp4") == frames
    assert json.loads(longtake("verify", "--json", *where).stdout)["ok"]
    assert not list((small.parent / ".longtake").rglob("checkpoints/*")), "a checkpoint is left behind"


def test_ctrl_c_exits_130_within_five_seconds_and_keeps_what_is_done(undisturbed, longtake: Longtake, small: Path):
    small.write_text(EVERYTHING)
    process = longtake.start(*RENDER)
    for line in process.stderr:
        if "done" in line:  # the first clips are in the ledger
            break
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 5
    status = json.loads(longtake("status", "--json").stdout)["films"][0]
    assert status["state"] == "interrupted"
    assert 0 < status["done"] < status["clips"]
    again = longtake(*RENDER)
    assert f"{status['done']} from the store" in again.stderr
    assert decoded(small.parent / "films/small.mp4") == undisturbed[0]


def test_sigterm_exits_75(longtake: Longtake, small: Path):
    process = longtake.start(*RENDER)
    for line in process.stderr:
        if "rendering on" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 75, err
    assert "run the same command to go on" in err
