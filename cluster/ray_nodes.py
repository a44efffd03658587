"""The nodes of a Ray cluster as a pool of cameras sees them: what they offer, which of them are about to leave."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import state

from .errors import NoCamera
from .ray_growth import grown, outlook

SETTLE_SECONDS = 10.0
_NO_GROWTH = (
    " It has an autoscaler, which starts no node for such a camera: is there a kind of worker that has as much, and is "
    "its max_workers above what runs? See `ray status`."
)


@dataclass(frozen=True)
class Node:
    """One machine. id: Ray's, new whenever Ray is started there. host: the name that people know it by: what
    `ray start --node-name` said, else its host name. leaving: it is being drained (its spot machine is taken away, or
    somebody runs `ray drain-node`): what runs there may end, nothing new may begin."""

    id: str
    host: str
    cpus: float
    gpus: float
    leaving: bool = False

    def room(self, gpus: float) -> int:
        """How many cameras it holds that take so many GPUs and a CPU core each."""
        cores = int(self.cpus + 1e-6)
        return min(cores, int(self.gpus / gpus + 1e-6)) if gpus else cores


def look() -> dict[str, Node]:
    """All nodes that are alive, by id. One question to the head, about a millisecond."""
    leaving = state.get_draining_nodes()
    return {
        each["NodeID"]: Node(
            each["NodeID"],
            _name(each),
            each["Resources"].get("CPU", 0.0),
            each["Resources"].get("GPU", 0.0),
            each["NodeID"] in leaving,
        )
        for each in ray.nodes()
        if each["Alive"]
    }


def free(gpus: float) -> dict[str, int]:
    """Node id -> cameras that it could start at this moment beside everything that runs there, of all runs."""
    offers = state.available_resources_per_node()
    return {id: Node(id, "", has.get("CPU", 0.0), has.get("GPU", 0.0)).room(gpus) for id, has in offers.items()}


def settled(gpus: float | None) -> tuple[dict[str, Node], float]:
    """The nodes, and the GPUs of a camera. A cluster that has just been started gets some seconds for its first node;
    one with an autoscaler may have none yet, and is asked whether it can get some.

    Raises:
        NoCamera: no node can hold a camera, or none has the GPUs that were asked for, and none will come.
    """
    limit = time.monotonic() + SETTLE_SECONDS
    while True:
        nodes = look()
        each, why = _room(gpus, nodes)
        if each or (each is not None and gpus is not None):
            return nodes, each
        coming = grown(gpus, cores=each is not None)
        if coming is not None:
            return nodes, coming
        if each is not None:
            return nodes, each
        if time.monotonic() > limit:
            raise NoCamera(f"{why}{_NO_GROWTH if outlook().there else ''}")
        time.sleep(0.5)


def _room(gpus: float | None, nodes: dict[str, Node]) -> tuple[float | None, str]:
    """The GPUs of a camera for which there is room, else None and why not."""
    try:
        each = gpus_per_camera(gpus, nodes)
    except NoCamera as error:
        return None, str(error)
    if any(node.room(each) for node in nodes.values()):
        return each, ""
    return None, (
        f"the cluster offers {ray.cluster_resources()}: a camera needs a CPU core, and the GPUs that it is to have. "
        "Add a node and try again."
    )


def gpus_per_camera(asked: float | None, nodes: dict[str, Node]) -> float:
    """GPUs that a camera takes: as asked; else one where there are any, else none.

    Raises:
        NoCamera: GPUs were asked for, and no node has as many.
    """
    most = max((node.gpus for node in nodes.values()), default=0.0)
    if asked is None:
        return 1.0 if most >= 1 else 0.0
    if asked > most:
        have = ", ".join(f"{node.host}: {node.gpus:g}" for node in nodes.values()) or "no node at all"
        raise NoCamera(
            f"a camera asks for {asked:g} GPUs, and no node of the cluster has as many ({have}). "
            "Start nodes with GPUs, or use --gpus-per-camera 0 to render on CPU cores."
        )
    return asked


def rivals(kind: str) -> tuple[int, bool]:
    """Programs on this cluster that have actors of a kind or wait for some, this one among them; and whether one of the
    others waits."""
    ours = ray.get_runtime_context().get_job_id()
    alive, waiting = _programs(kind, "ALIVE"), _programs(kind, "PENDING_CREATION")
    return len(alive | waiting | {ours}), bool(waiting - {ours})


def _programs(kind: str, doing: str) -> set[str]:
    actors = state.actor_table(None, None, doing).values()
    return {actor["JobID"] for actor in actors if actor["ActorClassName"] == kind}


def placed(actor: Any) -> bool:
    """Has an actor been given its place, so that only its process has to start?"""
    told = state.actor_table(actor._actor_id.hex(), None, None)
    return bool(told.get("Pid"))


def _name(told: dict[str, Any]) -> str:
    named = told.get("NodeName")
    return str(named) if named and named != told["NodeManagerAddress"] else str(told["NodeManagerHostname"])
