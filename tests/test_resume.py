"""Resume inside a clip: a render that is killed in the middle of the sampling goes on where its checkpoint was."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from shots.checkpoint import Checkpoint
from tests.commandline import SMALL, Longtake, decoded

STEPS = 80
ONE = SMALL[: SMALL.index("  - id: night")].replace("steps: 4", f"steps: {STEPS}").replace("frames: 26", "frames: 12")
RENDER = ("-v", "render", "small.yaml", "--progress", "none", "--checkpoint-every", "0.3")
WENT_ON = re.compile(r"going on from step (\d+)")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.yaml").write_text(ONE)
    Longtake(folder)(*RENDER)
    return decoded(folder / "films/small.mp4")


def checkpoint(folder: Path, least: int) -> Checkpoint:
    """The render's checkpoint as soon as it is of `least` steps or more."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in folder.rglob("checkpoints/**/*.safetensors"):
            with contextlib.suppress(FileNotFoundError):  # a newer one has just taken its place
                found = Checkpoint.from_bytes(path.read_bytes())
                if found.step >= least:
                    return found
        time.sleep(0.02)
    raise AssertionError("no checkpoint was written in time")


@pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="the long form: LONGTAKE_LONG=1; see the last test")
def test_after_kill_9_it_goes_on_from_its_checkpoint(longtake: Longtake, small: Path, undisturbed: str) -> None:
    small.write_text(ONE)
    process = longtake.start(*RENDER, start_new_session=True)
    seen = checkpoint(small.parent, 20)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (small.parent / "films/small.mp4").exists()
    again = longtake(*RENDER)
    (step,) = WENT_ON.findall(again.stderr)
    assert seen.step <= int(step) <= STEPS
    assert decoded(small.parent / "films/small.mp4") == undisturbed


def test_a_signal_writes_a_checkpoint_at_once(longtake: Longtake, small: Path, undisturbed: str) -> None:
    small.write_text(ONE)
    slow = (*RENDER[:-1], "3600")  # the clock alone would write none before sampling is done
    process = longtake.start(*slow)
    for line in process.stderr or ():
        if "loaded pocket" in line:
            break
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    stopped = checkpoint(small.parent, 1).step
    assert stopped < STEPS
    again = longtake(*slow)
    assert WENT_ON.findall(again.stderr) == [str(stopped)]
    assert decoded(small.parent / "films/small.mp4") == undisturbed


def test_a_checkpoint_of_other_code_is_left_alone(longtake: Longtake, small: Path, undisturbed: str) -> None:
    small.write_text(ONE)
    process = longtake.start(*RENDER, start_new_session=True)
    checkpoint(small.parent, 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for path in (small.parent / ".longtake").rglob("checkpoints/*.safetensors"):
        path.write_bytes(Checkpoint.from_bytes(path.read_bytes()).to_bytes("longtake 0.0.0+another"))
    again = longtake(*RENDER)
    assert not WENT_ON.findall(again.stderr)
    assert "is not used" in again.stderr
    assert "0.0.0+another" in again.stderr
    assert decoded(small.parent / "films/small.mp4") == undisturbed


def test_what_one_machine_had_sampled_another_goes_on_with(
    longtake: Longtake, small: Path, undisturbed: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They share a database and a store that is no folder of theirs; the first one dies with its disk."""
    small.write_text(ONE)
    shared, other = tmp_path_factory.mktemp("shared"), Longtake(tmp_path_factory.mktemp("other"))
    (other.folder / "small.yaml").write_text(ONE)
    render = (*RENDER[:-1], "4 steps", "--db", f"sqlite:///{shared}/ledger.sqlite")
    for machine in (longtake, other):
        machine.environment |= {"LONGTAKE_STORE": f"local://{shared}/far", "LONGTAKE_CACHE": f"{machine.folder}/cache"}
    process = longtake.start(*render, start_new_session=True)
    seen = checkpoint(shared, 20)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    had, arrived = checkpoint(small.parent, 1).step, checkpoint(shared, 1).step
    print(f"killed with a checkpoint of step {had}, and one of step {arrived} in the store")
    shutil.rmtree(small.parent)
    assert seen.step <= arrived
    assert abs(had - arrived) <= 2 * 4, "an interval, and what was on its way, there or to the disk"
    went_on = other(*render)
    assert WENT_ON.findall(went_on.stderr) == [str(arrived)]
    assert decoded(other.folder / "films/small.mp4") == undisturbed
    assert not list(shared.rglob("checkpoints/*"))
