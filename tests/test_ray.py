"""`--on ray` from the command line: the same film, also when a camera is killed in the middle."""

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.commandline import SMALL, Longtake, decoded, loaded_by
from tests.nodes import nodes, until

RENDER = ("render", "small.yaml", "--progress", "plain", "--checkpoint-every", "0.2")
ON_RAY = (*RENDER, "--on", "ray")
SHOTS = int(os.environ.get("LONGTAKE_SOAK", "450" if os.environ.get("LONGTAKE_LONG") else "24")) // 6
"""Of six clips each, in the soak test: LONGTAKE_SOAK clips, 24 in the short form, 450 in the long one."""


def cameras(of: int | None = None) -> list[int]:
    """Processes of camera actors, told by the name that Ray gives a worker: children of a process, or all there are
    below this one."""
    found = []
    for process in psutil.Process(of).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "RayCamera" in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def attempts(longtake: Longtake) -> list[tuple[str, str]]:
    """State and error of every attempt in the ledger."""
    with contextlib.closing(sqlite3.connect(longtake.folder / ".longtake/ledger.sqlite")) as ledger:
        return ledger.execute("SELECT state, coalesce(error_type, '') FROM attempts").fetchall()


class Killer:
    """Kills a camera of a process now and then, and notes what the process holds. It goes by what is done, not by the
    clock, so that a slow machine gets as far as a quick one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._driver = psutil.Process(process.pid)
        self._random = random.Random("soak")
        self._left = 2
        self.killed = 0
        self.held: list[tuple[int, int, int]] = []  # descriptors, bytes, threads

    def hear(self, line: str) -> None:
        """A line of progress."""
        self._left -= " done" in line
        if self._left > 0:
            return
        time.sleep(self._random.uniform(0, 1))
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if found := cameras(self._driver.pid):
                os.kill(self._random.choice(found), signal.SIGKILL)
                self.killed += 1
                self._left = self._random.randint(4, 9)
                self.held.append((self._driver.num_fds(), self._driver.memory_info().rss, self._driver.num_threads()))


def soaked(shots: int) -> str:
    """A film of many cheap clips, in chains of six."""
    head, _, _ = SMALL.replace("steps: 4", "steps: 3").partition("shots:")
    shot = "  - {{id: s{0}, prompt: a red boat floating over the sea by day, frames: 26, seed: {0}}}\n"
    return head + "shots:\n" + "".join(shot.format(n) for n in range(shots))


@pytest.mark.timeout(3600)
def test_soak_with_random_kills_makes_the_same_film_and_leaves_nothing(longtake: Longtake, small, tmp_path):
    small.write_text(soaked(SHOTS))
    (tmp_path / "here").mkdir()
    longtake("render", "small.yaml", "--films", "here/films", "--data", "here/data", timeout=1800)
    process = longtake.start(*ON_RAY, "--cameras", "2")
    driver, killer = psutil.Process(process.pid), Killer(process)
    below: set[psutil.Process] = set()
    lines = []
    for line in process.stderr:
        lines.append(line)
        with contextlib.suppress(psutil.Error):
            below |= set(driver.children(recursive=True))
        killer.hear(line)
    code = process.wait(timeout=240)
    said = "".join(lines)
    assert code in (0, 3), said
    if code == 3:  # a shot whose cameras were killed six times in a row is left to the next run
        assert "the worker died" in said
        longtake(*ON_RAY, "--cameras", "2", timeout=600)
    assert killer.killed
    assert "Traceback" not in said
    assert not process.stdout.read().count("Raylet"), "Ray talks to the log, not where our documents go"
    assert decoded(tmp_path / "films/small.mp4") == decoded(tmp_path / "here/films/small.mp4")
    (film,) = json.loads(longtake("status", "--json").stdout)["films"]
    assert film["state"] == "done"
    assert json.loads(longtake("verify", "--json").stdout)["ok"]
    assert {state for state, _ in attempts(longtake)} <= {"done", "failed", "interrupted"}
    assert {error for state, error in attempts(longtake) if state == "failed"} <= {"WorkerDied"}
    until(lambda: not any(each.is_running() and each.status() != "zombie" for each in below), 30)
    assert not list((tmp_path / ".longtake").rglob("checkpoints/*"))
    # At the end it holds what it held in the middle. Without three kills there is no middle to compare with: that may
    # be so in the short form, which asks nothing then; the long one must have fifteen.
    third = len(killer.held) // 3
    assert third >= SHOTS // 15
    if third:
        middle, end = killer.held[third : 2 * third], killer.held[2 * third :]
        for before, after in zip(zip(*middle, strict=True), zip(*end, strict=True), strict=True):
            assert max(after) <= max(before) * 1.15 + (16 if max(before) < 10_000 else 64 * 2**20)


@pytest.mark.timeout(1800)
def test_driver_node_and_head_die_and_the_command_is_run_again(longtake: Longtake, small, tmp_path):
    (tmp_path / "here").mkdir()
    longtake("render", "small.yaml", "--films", "here/films", "--data", "here/data", timeout=900)
    with nodes() as cluster:
        longtake.environment |= cluster.environment | {"RAY_ADDRESS": cluster.address}
        first, second = cluster.add("one"), cluster.add("two")
        run = (*ON_RAY, "--device", "cpu", "--gpus-per-camera", "0.5", "--cameras", "auto", "--lockstep", "2")

        driver = longtake.start(*run)
        begun(driver, 1)
        driver.kill()
        driver.communicate()
        until(lambda: not cameras(), 60)

        driver = longtake.start(*run)
        lines = begun(driver, 1)
        cluster.kill(next(node for node in (first, second) if cameras(cluster.raylet(node))))
        lines += begun(driver, 1)  # what it rendered goes on elsewhere
        cluster.kill_head()
        _, rest = driver.communicate(timeout=240)
        assert driver.returncode == 1, rest
        assert "Traceback" not in "".join(lines) + rest
        assert "run the same command" in rest
    for name in (*cluster.environment, "RAY_ADDRESS"):
        del longtake.environment[name]
    done = longtake(*ON_RAY, "--cameras", "1", timeout=900)  # on a Ray of its own: the frames do not care
    assert decoded(tmp_path / "films/small.mp4") == decoded(tmp_path / "here/films/small.mp4"), done.stderr
    assert json.loads(longtake("verify", "--json").stdout)["ok"]
    assert {state for state, _ in attempts(longtake)} <= {"done", "failed", "interrupted", "lost"}


def begun(process: subprocess.Popen[str], jobs: int) -> list[str]:
    """Read what a render says until so many jobs more have begun."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        jobs -= "rendering on" in line
        if not jobs:
            return lines
    raise AssertionError(lines)


def test_no_cluster_at_the_address(longtake: Longtake, small):
    longtake.environment["RAY_ADDRESS"] = "127.0.0.1:1"
    refused = longtake("render", "small.yaml", "--on", "ray", code=1)
    assert "127.0.0.1:1" in refused.stderr
    assert "--on local" in refused.stderr


@contextlib.contextmanager
def cluster(folder: Path, environment: dict[str, str]):
    """A real Ray head of its own process tree, on a free port; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--head", "--block", f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    command = [str(Path(sys.executable).parent / "ray"), "start", *options, "--disable-usage-stats"]
    head = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and head.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        head.send_signal(signal.SIGTERM)
        head.communicate(timeout=60)


def made(films: Path, data: Path) -> dict[str, object]:
    """What a render has made, without what says when and where: frames of the film, pixels of sheets, prints' bytes."""
    found: dict[str, object] = {path.name: Image.open(path).tobytes() for path in films.glob("*.png")}
    found["prints"] = {path.name for path in (data / "files").rglob("*.mp4")}
    return found | {"film": decoded(films / "small.mp4")}


def test_a_cluster_that_runs_already_and_a_driver_that_decodes_nothing(longtake: Longtake, small, tmp_path):
    longtake.environment["RAY_AUTH_MODE"] = "token"
    board = SMALL.replace("frames: 26", "frames: 14").replace("steps: 4", "steps: 2")
    small.write_text(board)
    with cluster(tmp_path, longtake.environment) as address:
        time.sleep(3)  # the raylet joins after the head's port is open
        longtake.environment["RAY_ADDRESS"] = address
        loaded, said = loaded_by(longtake, *RENDER, "--on", "ray")
        assert "rendering on camera-1" in said
        assert not loaded & {"av", "moviepy"}, "encoding, cutting, checking and drawing are for labs"
        small.write_text(board.replace("kind: crossfade, frames: 4", "kind: crossfade, frames: 2"))
        loaded, said = loaded_by(longtake, *RENDER, "--on", "ray")
        assert "rendering on" not in said, "there is nothing to render"
        assert not loaded & {"av", "moviepy"}, "nor for a film that is only cut anew"
    longtake("render", "small.yaml", "--films", "here/films", "--data", "here/data", "--progress", "plain")
    assert made(tmp_path / "films", tmp_path / ".longtake") == made(tmp_path / "here/films", tmp_path / "here/data")
