"""Jobs of a Ray cluster, by the address of its dashboard: hand over, ask, read what they print, stop.

A cluster that does not answer, a job that it does not know, and a job that has ended are three different things.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import ray
from ray.dashboard.utils import get_address_for_submission_client
from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from .errors import ClusterUnreachable, JobRefused
from .secrets import hidden

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # it tells of every closed connection
atexit.unregister(ray.shutdown)  # asking begins nothing that must be ended, and this would load half of Ray at the end
USUAL = "http://127.0.0.1:8265"
PATIENCE = (4.0, 60.0)
"""Seconds to reach the dashboard, and to wait for its answer; Ray itself would wait for ever."""
WARM_UP = 60.0
"""Seconds for which a head that answered may take no jobs yet: it was just started, or it is busy."""
_ADDRESSES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """What the cluster says of a job. `absent`: it knows none of that name, which says nothing about its work."""

    state: Literal["pending", "running", "ended", "absent"]
    message: str = ""
    exit_code: int | None = None


class Jobs:
    """The jobs of the cluster at `address` (http://head:8265; also host:port, ray:// and `auto`, which Ray looks up).

    Without one it is RAY_API_SERVER_ADDRESS, else RAY_ADDRESS, else this machine's usual port.

    Raises:
        ClusterUnreachable: nothing answers there, or it lets nobody in without a token.
    """

    def __init__(self, address: str | None = None) -> None:
        told = address or next((os.environ[name] for name in _ADDRESSES if os.environ.get(name)), USUAL)
        self.address = self._asked(lambda: _dashboard(told), told)
        self._client = self._asked(lambda: _Client(self.address), self.address)

    def submit(self, id: str, entrypoint: str, environment: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Hand over a job. `entrypoint` is a line for a shell: quote what goes into it.

        Raises ClusterUnreachable, JobRefused.
        """
        given = {"entrypoint": entrypoint, "submission_id": id, "metadata": dict(metadata)}
        given["runtime_env"] = {"env_vars": dict(environment)} if environment else {}
        deadline = time.monotonic() + WARM_UP
        cut_off = False
        while True:
            try:
                self._asked(lambda: self._client.submit_job(**given))
                return
            except ClusterUnreachable:
                if time.monotonic() > deadline:
                    raise
                cut_off = True
            except RuntimeError as error:
                if cut_off and "already exists" in str(error):
                    return  # the answer was lost, the job was not
                if "try again later" not in str(error) or time.monotonic() > deadline:
                    raise JobRefused(
                        f"the Ray cluster at {self.address} refused the job: {_line(error)}{_hint(str(error))}"
                    ) from None
            time.sleep(0.5)

    def find(self, id: str) -> Job:
        """How a job stands. Raises ClusterUnreachable."""
        answer = self._asked(lambda: self._client.ask(f"/api/jobs/{id}"))
        if answer.status_code == 404:
            return Job("absent")
        if answer.status_code != 200:
            raise self._unreachable(f"it answers with {answer.status_code}")
        about = answer.json()
        states: dict[str, Literal["pending", "running"]] = {"PENDING": "pending", "RUNNING": "running"}
        return Job(states.get(about["status"], "ended"), about.get("message") or "", about.get("driver_exit_code"))

    def stop(self, id: str) -> bool:
        """End a job: SIGTERM, and SIGKILL three seconds later. False when it was not running."""
        try:
            return bool(self._asked(lambda: self._client.stop_job(id)))
        except RuntimeError:
            return False  # not known, or over

    def logs(self, id: str) -> str:
        """All that a job has printed so far. Raises JobRefused when the cluster has no job of that name."""
        try:
            return str(self._asked(lambda: self._client.get_job_logs(id)))
        except RuntimeError as error:
            raise JobRefused(f"the Ray cluster at {self.address} has no log of {id}: {_line(error)}") from None

    def follow(self, id: str) -> Iterator[str]:
        """What a job prints, as it comes, until it ends. Raises ClusterUnreachable, JobRefused."""
        loop = asyncio.new_event_loop()
        pieces = self._client.tail_job_logs(id)
        try:
            while True:
                try:
                    yield self._asked(lambda: loop.run_until_complete(anext(pieces)))
                except StopAsyncIteration:
                    return
                except RuntimeError as error:
                    raise JobRefused(f"the log of {id} ended early: {_line(error)}") from None
        finally:
            left = asyncio.all_tasks(loop)  # a signal may have ended the wait for the next piece
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(pieces.aclose())
            loop.close()

    def _asked(self, call: Callable[[], T], address: str = "") -> T:
        """Errors of the network and of the door become one of ours."""
        try:
            return call()
        except (OSError, RayError, ValueError) as error:  # requests' own errors are OSErrors
            raise self._unreachable(_line(error), address) from None

    def _unreachable(self, why: str, address: str = "") -> ClusterUnreachable:
        return ClusterUnreachable(
            f"no Ray dashboard answers at {hidden(address or self.address)!r}: {why}. Check --address or RAY_ADDRESS "
            "(the head's dashboard, usually port 8265), RAY_AUTH_MODE=token where the cluster asks for a token, and "
            "that the head runs (`ray start --head`, on a machine with `ray[default]`)."
        )


class _Client(JobSubmissionClient):  # type: ignore[misc]  # ray is not typed
    """Ray's client, which gives up when nobody answers."""

    def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
        return super()._do_request(method, endpoint, **({"timeout": PATIENCE} | more))

    def ask(self, path: str) -> Any:
        """The answer to a GET, whatever its status."""
        return self._do_request("GET", path)


def _dashboard(address: str) -> str:
    """The dashboard's URL. Ray puts the variable before what it is told, so the variable says it, too."""
    from .ray_connection import knock

    if "://" not in address or address.startswith("ray://"):
        knock(address)
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    found = get_address_for_submission_client(address).rstrip("/")
    os.environ["RAY_API_SERVER_ADDRESS"] = found
    return str(found)


def _hint(told: str) -> str:
    """What is behind a refusal that does not say so."""
    if "No available agent" not in told:
        return ""
    return (
        " Its nodes' job agents do not run: see dashboard_agent.log on the head. Of two Rays on one machine each needs "
        "a --dashboard-agent-listen-port of its own."
    )


def _line(error: BaseException) -> str:
    return hidden(" ".join(str(error).split()))[:500] or type(error).__name__
