"""A real Ray cluster of several nodes on this machine: a raylet each, GPUs that are only counted."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import Config
from ray.cluster_utils import Cluster

PREEMPTION = 2
"""Ray's word for a spot machine that is taken away."""
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all nodes on loopback
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"],  # see conftest.py
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}


class Nodes:
    """The cluster. The head holds no camera; `add` starts nodes that do."""

    def __init__(self, environment: dict[str, str], folder: str) -> None:
        self.environment = environment
        self._folder = folder
        head = {"num_cpus": 0, "include_dashboard": False, "node_name": "head", "temp_dir": folder}
        head["gcs_server_port"] = _free_port()  # Ray's own choice is the same for every cluster of a machine
        self._cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)
        self.address: str = self._cluster.address

    def add(self, name: str, gpus: int = 1, cpus: int = 1, **more: Any) -> Any:
        """Start a node and wait until it is there. What it fetches from a store elsewhere is on a disk of its own."""
        own = {"LONGTAKE_CACHE": str(self.disk(name))}
        more["env_vars"] = own | more.get("env_vars", {})
        return self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, node_name=name, **more)

    def disk(self, name: str) -> Path:
        """What a node keeps for itself."""
        return Path(self._folder, name)

    def raylet(self, node: Any) -> int:
        """The process that the node's workers are children of."""
        return node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid

    def kill(self, node: Any) -> None:
        """The machine is gone: all its processes at once, with what they held in memory."""
        self._cluster.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """The head and, with it, the cluster's memory."""
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    def drain(self, node: Any, seconds: float = 120) -> None:
        """A spot machine is told that it will be taken away."""
        client = ray._raylet.GcsClient(address=self.address)
        deadline = int((time.time() + seconds) * 1000)
        accepted, why = client.drain_node(node.node_id, PREEMPTION, "spot", deadline)
        assert accepted, why

    def close(self) -> None:
        """End every process of it."""
        self._cluster.shutdown()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def nodes() -> Iterator[Nodes]:
    """A cluster with a head alone. Nothing of it is left afterwards, on disk neither."""
    before = dict(os.environ)
    environment = dict(ENVIRONMENT)
    os.environ.update(environment)
    ray_constants.ENABLE_RAY_CLUSTER = False
    Config.initialize("")
    folder = tempfile.mkdtemp(prefix="rc")  # short: sockets live below it
    try:
        cluster = Nodes(environment, folder)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.close()
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = True
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
