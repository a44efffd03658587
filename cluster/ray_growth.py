"""Nodes that an autoscaler can bring: how a run asks for them, and what it hears.

A wish is a placement group of one camera that waits for its place, which is what Ray's autoscalers (the cluster
launcher's and KubeRay's, of both versions) count as demand. It belongs to the process that made it: whatever becomes of
that process, Ray takes its wishes away, and wishes of several runs add up. `ray.autoscaler.sdk.request_resources` has
one place for a whole cluster, where one run writes over another, and keeps what a killed process has asked for until
somebody asks for less.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

log = logging.getLogger("longtake.ray")
MOST = 100
"""Wishes at a time: an autoscaler starts some nodes, then looks again."""
ANSWER_SECONDS = 15.0
"""Seconds in which an autoscaler, which looks every five, has begun to do something about a wish that it can fulfil."""
SPARE_SECONDS = 60.0
"""Seconds that a camera may have nothing to do where its node goes away, and costs nothing, when it is let go."""
_STATUS = b"__autoscaling_status"
_NO_TYPE = "node_"
"""How the monitor of a cluster without an autoscaler calls the nodes that it sees."""


@dataclass(frozen=True)
class Outlook:
    """What an autoscaler says. there: there is one, as far as anybody can tell. coming: nodes are on their way.
    hopeless: what is wished and it has looked at, and it has no kind of node for."""

    there: bool = False
    coming: bool = False
    hopeless: tuple[dict[str, float], ...] = ()


def outlook() -> Outlook:
    """What the cluster's autoscaler does now. Two questions to the head, about a millisecond each."""
    gcs: Any = ray._private.worker.global_worker.gcs_client
    told = gcs.internal_kv_get(_STATUS)
    if told:
        return _first_version(json.loads(told))
    return _second_version(GetClusterStatusReply.FromString(gcs.get_cluster_status()).autoscaling_state)


def bundle(gpus: float) -> dict[str, float]:
    """What a camera takes of its node."""
    return {"CPU": 1.0} | ({"GPU": float(gpus)} if gpus else {})


class Wishes:
    """Cameras for which there is no room, each as a wish for a node. Without an autoscaler nothing is wished."""

    def __init__(self, gpus: float) -> None:
        self._bundle = bundle(gpus)
        self._groups: list[PlacementGroup] = []
        self.heard = outlook().there

    def __str__(self) -> str:
        return " and ".join(f"{amount:g} {name}" for name, amount in self._bundle.items())

    def __len__(self) -> int:
        return len(self._groups)

    def want(self, cameras: int) -> None:
        """Wish for room for so many cameras, no more and no less."""
        self.heard = self.heard or (cameras > 0 and outlook().there)
        if not self.heard:
            return
        for group in self._groups[cameras:]:
            remove_placement_group(group)
        del self._groups[cameras:]
        while len(self._groups) < min(cameras, MOST):
            self._groups.append(placement_group([self._bundle]))

    def granted(self) -> list[str]:
        """The nodes where room was made, once for each camera; the wishes for them are over."""
        nodes = []
        for group in list(self._groups):
            about = placement_group_table(group)
            if about.get("state") == "CREATED":
                nodes += list(about["bundles_to_node_id"].values())
                self._groups.remove(group)
                remove_placement_group(group)
        return nodes

    def coming(self) -> bool:
        """Something is wished, and nodes are on their way."""
        return bool(self._groups) and outlook().coming

    def answered(self) -> bool:
        """Wait until the autoscaler has begun to do something about one wish; False when it does nothing."""
        self.want(max(1, len(self)))
        limit = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < limit:
            if self.granted():
                return True
            seen = outlook()
            if seen.coming or self._bundle in seen.hopeless:
                return seen.coming
            time.sleep(0.5)
        return False


def _first_version(status: dict[str, Any]) -> Outlook:
    report = status.get("autoscaler_report") or {}
    coming = bool(report.get("pending_launches") or report.get("pending_nodes"))
    kinds = [kind for kind in report.get("active_nodes") or () if not kind.startswith(_NO_TYPE)]
    return Outlook(bool(kinds) or coming, coming)


def _second_version(state: Any) -> Outlook:
    hopeless = [
        dict(each.resources_bundle) for gang in state.infeasible_gang_resource_requests for each in gang.requests
    ]
    coming = bool(state.pending_instance_requests or state.pending_instances)
    return Outlook(state.autoscaler_state_version > 0, coming, tuple(hopeless))


def grown(asked: float | None, cores: bool) -> float | None:
    """The GPUs of a camera for which the autoscaler starts nodes, found out by asking for one; None when it starts
    none, or is not there. asked: as the user said. cores: there is room for cameras on CPU cores."""
    if not outlook().there:
        return None
    usual = (1.0,) if cores else (1.0, 0.0)
    for gpus in usual if asked is None else (asked,):
        wishes = Wishes(gpus)
        try:
            log.warning("the cluster's autoscaler is asked for a camera of %s", wishes)
            if wishes.answered():
                return gpus
        finally:
            wishes.want(0)
    return None
