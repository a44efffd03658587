"""In and out of a Ray cluster: one that runs already, or one of our own on this machine."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.exceptions import RayError

from .errors import ClusterMismatch, ClusterUnreachable

log = logging.getLogger("longtake.ray")
KNOCK_SECONDS = 4.0
LOOK = 1.0
"""Seconds between two looks at the head, and at the nodes."""
DEAD_SECONDS, SILENT_SECONDS = 4.0, 45.0
"""How long the head may be away before the run ends: when its machine says that nobody listens, and when the network
says nothing."""
_ON_NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for systems where a cluster is one machine, and so listens on loopback alone. Ray on Linux listens on
all interfaces without it, also when nobody else is meant."""


class Connection:
    """This process on a Ray cluster: the one at `address`, or one started here and stopped at `close`, which only this
    machine reaches (unless RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=1 asks for the network).

    Raises:
        ClusterUnreachable: no Ray at the address, or none can be started here.
        ClusterMismatch: the cluster runs another version of Ray or of Python.
    """

    def __init__(self, address: str | None) -> None:
        self._away_since: float | None = None
        self.lost = False
        self._next = 0.0
        self._alone = False
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # those of calls whose answer nobody waits for
        # Ray prints what happens to its own processes on standard output, where our documents go.
        ray_worker.print_to_stdstream = _to_log
        if address:
            knock(address)
        else:
            self._on_loopback()
        quiet = {"namespace": "longtake", "log_to_driver": False, "configure_logging": False}
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(address="local", include_dashboard=False, **quiet)
        except (ConnectionError, RayError, ValueError, RuntimeError, OSError) as error:
            self._back_on_network()
            raise refused(address, error) from None
        self._head = str(ray.get_runtime_context().gcs_address)
        self._session = None if address else Path(ray_worker._global_node.get_session_dir_path())

    def alive(self) -> bool:
        """Does the head answer? Asked once a second at most. False for a moment is no reason to end.

        Raises:
            ClusterUnreachable: it has not for a while.
        """
        if time.monotonic() < self._next:
            return self._away_since is None
        self._next = time.monotonic() + LOOK
        try:
            knock(self._head, 1.0)
            self._away_since = None
        except ClusterUnreachable as error:
            log.warning("the head of the Ray cluster at %s does not answer", self._head)
            self._away_since = self._away_since or time.monotonic()
            dead = isinstance(error.__cause__, ConnectionRefusedError)
            if time.monotonic() - self._away_since >= (DEAD_SECONDS if dead else SILENT_SECONDS):
                self.lost = True
                raise gone(f"its head at {self._head} does not answer") from None
        return self._away_since is None

    def close(self) -> None:
        """Leave the cluster; one of our own ends, and nothing of it is left on the disk."""
        if ray.is_initialized():
            ray.shutdown()
        self._back_on_network()
        if self._session:
            shutil.rmtree(self._session, ignore_errors=True)

    def _on_loopback(self) -> None:
        if _ON_NETWORK in os.environ:
            return
        self._alone = True
        os.environ[_ON_NETWORK] = "0"  # for the processes that Ray starts
        ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read it already

    def _back_on_network(self) -> None:
        if self._alone:
            del os.environ[_ON_NETWORK]
            ray_constants.ENABLE_RAY_CLUSTER = True
            self._alone = False


def knock(address: str, seconds: float = KNOCK_SECONDS) -> None:
    """Find out quickly that nobody listens at `host:port`: Ray itself tries for minutes.

    Raises:
        ClusterUnreachable: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # `auto` and other words are Ray's to understand
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"no Ray cluster answers at {address!r}", error) from error


def gone(why: object) -> ClusterUnreachable:
    """The error of a cluster that was there."""
    return ClusterUnreachable(
        f"the Ray cluster went away: {why}. Finished clips are kept, half-made ones go on from their checkpoints: "
        "start the cluster again if it is yours, then run the same command."
    )


def refused(address: str | None, error: Exception) -> Exception:
    """What it means that Ray would not let us in."""
    if "ersion mismatch" in str(error):
        told = " ".join(str(error).split())
        return ClusterMismatch(f"{told}. Install the same versions of Ray and Python here and on every node.")
    where = f"no Ray cluster answers at {address!r}" if address else "a local Ray could not be started"
    return _unreachable(where, error)


def _unreachable(what: str, error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"{what}: {error}. Check RAY_ADDRESS (and RAY_AUTH_MODE=token, when the cluster asks for a token), "
        "start a cluster with `ray start --head`, or use `--on local`."
    )


def _to_log(told: dict[str, Any], ignore_prefix: bool = False) -> None:
    for line in told.get("lines", ()):
        log.info("%s: %s", told.get("pid"), line)
