"""Kill it at any moment, run it again: the film is the one an undisturbed run would have made."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.commandline import Longtake, decoded

PLAINLY = ("render", "small.yaml", "--progress", "plain", "--lockstep", "2", "--checkpoint-every", "0.2")
RENDER = (*PLAINLY, "--decode-beside", "on")
KILLS = int(os.environ.get("LONGTAKE_KILLS", "0"))
"""Kills on each database. 0: the short form, two on SQLite and one on Postgres. The long form: LONGTAKE_KILLS=50."""
EACH = 5
"""Kills of one production in the long form, before it is left to come to its end."""
EVERYTHING = """\
schema: longtake.storyboard.v1
film: {id: small, title: Small, fps: 8, size: [64, 64], seed: 7}
defaults:
  clip_frames: 8
  sampler: {name: dpmpp_2m, steps: 4}
  recipe:
    guidance: {rescale: 0.5}
    prior: {kind: pyoco, mode: progressive, alpha: 0.3}
    chain: {kind: vidrd, beta: 0.75, schedule: staged}
    stg: {start: 0.5}
    videoguide: {teacher: pocket-teacher, steps: 1, tau: 1}
    iv_mixed: {image: pocket-image, start: 0.25, stop: 0.5}
shots:
  - id: dawn
    prompt: a red boat floating over the sea by day
    frames: 16
    beats:
      - {at_frame: 12, prompt: a red boat floating over the sea at sunset}
  - id: noon
    prompt: a yellow boat moving right over the sea by day
    frames: 12
    recipe: {prior: freenoise, chain: windows}
    transition: {kind: fade, frames: 4}
  - id: night
    prompt: a yellow moon floating in the night sky
    frames: 8
    takes: 2
    transition: {kind: crossfade, frames: 4}
"""
"""All methods at once, over a chain of two groups and over windows, and a shot of two takes."""


def _rounds() -> list[tuple[str, int, int]]:
    """(database, number, kills) of each production that is killed."""
    if not KILLS:
        return [("sqlite", 0, 2), ("postgres", 0, 1)]
    firsts = range(0, KILLS, EACH)
    return [(kind, n, min(EACH, KILLS - first)) for kind in ("sqlite", "postgres") for n, first in enumerate(firsts)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Decoded frames of an undisturbed run, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(EVERYTHING)
    longtake = Longtake(folder)
    began = time.monotonic()
    longtake(*PLAINLY)
    return decoded(folder / "films/small.mp4"), time.monotonic() - began


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "number", "kills"), _rounds())
def test_kill_9_at_random_moments_then_render_again(
    kind, number, kills, undisturbed, longtake: Longtake, small: Path, request
):
    small.write_text(EVERYTHING)
    where = ("--db", request.getfixturevalue("postgres_url")) if kind == "postgres" else ()
    frames, seconds = undisturbed
    moments = random.Random(f"crash {kind} {number}")
    latest = 1.0
    while kills:
        process = longtake.start(*RENDER, *where, start_new_session=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.02, latest) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills -= 1
            _, err = process.communicate()
            print(f"{kind} {number}: killed after: {err.strip().rsplit(chr(10), 1)[-1]}")
            longtake("status", "--json", *where)
            continue
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert decoded(small.parent / "films/small.mp4") == frames
        shutil.rmtree(small.parent / ".longtake")  # on Postgres the ledger goes on promising these files
        shutil.rmtree(small.parent / "films")
        latest = max(0.4, latest * 0.9)
    longtake(*RENDER, *where, timeout=1200)
    assert decoded(small.parent / "films/small.mp4") == frames
    assert json.loads(longtake("verify", "--json", *where).stdout)["ok"]
    assert not list((small.parent / ".longtake").rglob("checkpoints/*")), "a checkpoint is left behind"


def test_ctrl_c_exits_130_soon_and_keeps_what_is_done(undisturbed, longtake: Longtake, small: Path):
    small.write_text(EVERYTHING)
    process = longtake.start(*RENDER)
    for line in process.stderr:
        if "done" in line:  # the first clips are in the ledger
            break
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 15  # soon: a busy machine takes its time
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
