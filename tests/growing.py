"""A real Ray cluster with a real autoscaler, which starts nodes on this machine: Ray's own provider for its tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import Config
from ray.exceptions import RayError

from tests.nodes import ENVIRONMENT, _free_port, until

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD = f"{0:056x}".replace("0", "f", 51)
"""The id that the provider takes the head's to be."""


def growing_config(port: int, workers: dict[str, float], most: int) -> dict[str, Any]:
    """As for `ray up`: a head for no camera, and no worker yet. Who has nothing to do for three seconds goes."""
    lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    lists += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")
    provider = {"type": "external", "module": PROVIDER, "use_node_id_as_ip": True, "disable_node_updaters": True}
    provider |= {"gcs_address": f"127.0.0.1:{port}", "head_node_id": HEAD, "launch_multiple": True}
    kinds = {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "worker": {
            "resources": workers | {"object_store_memory": 80_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": most,
        },
    }
    return {
        "cluster_name": "growing",
        "max_workers": most,
        "idle_timeout_minutes": 0.05,
        "provider": provider,
        "available_node_types": kinds | {"ray.head.default": kinds["head"]},
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        **{name: [] for name in lists},
    }


@contextmanager
def growing(second: bool, workers: dict[str, float], most: int = 2) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a head whose autoscaler may start so many workers, and the environment to reach it with.

    second: with the second version of the autoscaler, which `ray up` and KubeRay use of late.
    """
    folder = Path(tempfile.mkdtemp(prefix="rg"))  # short: sockets live below it
    port = _free_port()
    (folder / "config.json").write_text(json.dumps(growing_config(port, workers, most)))
    environment = os.environ | ENVIRONMENT | {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    if second:
        environment |= {"RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": HEAD}
        environment |= {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}", "--disable-usage-stats"]
    command += ["--object-store-memory=80000000", f"--autoscaling-config={folder / 'config.json'}"]
    with (folder / "start.log").open("w") as log:
        head = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: _listens(port) or head.poll() is not None)
        assert head.poll() is None, (folder / "start.log").read_text()
        yield f"127.0.0.1:{port}", dict(ENVIRONMENT)
    finally:
        family = psutil.Process(head.pid).children(recursive=True) if head.poll() is None else []
        head.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(timeout=45)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def looking_on(address: str, environment: dict[str, str]) -> Iterator[None]:
    """This process on the cluster, as `Connection` would be."""
    before = dict(os.environ)
    os.environ.update(environment)
    ray_constants.ENABLE_RAY_CLUSTER = False
    Config.initialize("")
    try:
        until(lambda: _joined(address))
        yield
    finally:
        ray.shutdown()
        ray_constants.ENABLE_RAY_CLUSTER = True
        os.environ.clear()
        os.environ.update(before)


def workers() -> int:
    """Nodes beside the head that are there now."""
    return sum(node["Alive"] for node in ray.nodes()) - 1


def _joined(address: str) -> bool:
    try:
        ray.init(address=address, namespace="longtake", log_to_driver=False, configure_logging=False)
    except (ConnectionError, RayError, RuntimeError, ValueError):
        return False
    return True


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
