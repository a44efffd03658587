"""`--on ray` from the command line: the same film, also when a camera is killed in the middle."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.commandline import Longtake, decoded

LONG = ("render", "small.yaml", "--progress", "plain")


def camera_pids(parent: int) -> list[int]:
    """Processes of this run's camera actors, told by the name that Ray gives a worker."""
    import psutil

    names = [(p.pid, " ".join(p.cmdline())) for p in psutil.Process(parent).children(recursive=True)]
    return [pid for pid, name in names if "RayCamera" in name and "shoot" in name]


def test_ray_makes_the_same_film_although_a_camera_is_killed(longtake: Longtake, small, tmp_path):
    (tmp_path / "here").mkdir()
    longtake("render", "small.yaml", "--films", "here/films", "--data", "here/data")
    process = longtake.start(*LONG, "--on", "ray", "--cameras", "2")
    lines, killed = [], None
    for line in process.stderr:
        lines.append(line)
        if "small/dawn/1" in line and "rendering on" in line and killed is None:
            while not (pids := camera_pids(process.pid)):
                assert process.poll() is None, lines
            os.kill(killed := pids[0], signal.SIGKILL)
    assert process.wait(timeout=120) == 0, lines
    assert killed
    assert any("WorkerDied" in line for line in lines)
    assert "Traceback" not in "".join(lines)
    assert decoded(tmp_path / "films/small.mp4") == decoded(tmp_path / "here/films/small.mp4")
    (film,) = json.loads(longtake("status", "--json").stdout)["films"]
    assert film["state"] == "done"


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


def test_a_cluster_that_runs_already(longtake: Longtake, small, tmp_path):
    longtake.environment["RAY_AUTH_MODE"] = "token"
    with cluster(tmp_path, longtake.environment) as address:
        time.sleep(3)  # the raylet joins after the head's port is open
        longtake.environment["RAY_ADDRESS"] = address
        done = longtake("render", "small.yaml", "--on", "ray", "--progress", "plain")
    assert "rendering on camera-1" in done.stderr
    assert decoded(tmp_path / "films/small.mp4")
