"""The cameras of one run on a Ray cluster: hired on the nodes that have room, as many as jobs wait, and let go when
their node leaves, fails, or when another run waits for the place."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import ActorUnschedulableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from storage.errors import StorageError

from . import ray_growth, ray_nodes
from .environment import code_version
from .errors import ClusterError, ClusterMismatch, NoCamera
from .job import Failure, Job, NodeSetAside, NodeTakenBack, Worker
from .landmark import Landmark
from .ray_camera import RayCamera
from .ray_connection import LOOK
from .ray_labs import Labs
from .ray_nodes import Node
from .ray_seat import RaySeat, Terms
from .trust import ASIDE_SECONDS, Trust

log = logging.getLogger("longtake.ray")
START_SECONDS = 120.0
"""Seconds that the process of a camera may take to answer, once it has its place."""
PATIENCE = 120.0
"""Seconds that a run waits for nodes when none is left."""
IDLE_SECONDS = 5.0
"""Seconds that a camera may have nothing to do while another run waits for its place."""


class RayPool:
    """Cameras that come and go. `gone` is called with the name of each that goes; labs: encode beside those with GPUs.

    Raises:
        NoCamera: the cluster has no room for a single camera, or not for one with the GPUs that were asked for.
    """

    def __init__(self, terms: Terms, labs: Labs, gone: Callable[[str], None] = lambda name: None) -> None:
        self._terms, self._labs, self._gone = terms, labs, gone
        self._landmark = Landmark(terms.files)
        self.seats: list[RaySeat] = []
        self.trust = Trust()
        self.nodes, self.gpus = ray_nodes.settled(terms.gpus)
        self._wishes = ray_growth.Wishes(self.gpus)
        self._aside: dict[str, float] = {}  # host -> when
        self._told: set[str] = set()  # hosts that the ledger has set aside
        self._refused: dict[str, ClusterError] = {}  # node id -> why no camera can run there
        self._looked = self._asked = -IDLE_SECONDS
        self._share: int | None = None  # cameras that we may have while another run waits
        self._alone_since: float | None = None

    @property
    def looked(self) -> float:
        """When it was last seen which nodes there are, and cameras were hired for what waited then; monotonic."""
        return self._looked

    def look(self, demand: int) -> list[NodeSetAside | NodeTakenBack]:
        """See which nodes there are, let go of cameras that must leave, hire as many as there is work for.

        demand: jobs that wait or run. Looks once a second at most.

        Raises:
            NoCamera: no node is left, and none came for a while.
            ClusterMismatch: every node that there is runs other code than this process.
        """
        now = time.monotonic()
        if now - self._looked < LOOK:
            return []
        self._looked = now
        self.nodes = ray_nodes.look()
        events = self._respect_aside(now)
        self._leave()
        self._make_room(now)
        self._let_spare_go(demand, now)
        self.hire(demand)
        self._insist_on_somebody(demand, now)
        return events

    def hire(self, demand: int) -> None:
        """Open cameras until there is one for every job, or no room; for more room an autoscaler is asked."""
        limits = (demand, self._terms.cameras, self._share)
        wanted = min(each for each in limits if each is not None) - sum(not seat.leaving for seat in self.seats)
        stuck = self._stuck() if self._wishes.heard else []
        if wanted > 0 or self._wishes:
            free = ray_nodes.free(self.gpus)
            for node_id in self._wishes.granted():
                free[node_id] = free.get(node_id, 0) + 1
                if wanted <= 0 and stuck:
                    self.dismiss(stuck.pop())
                    wanted += 1
            while wanted > 0 and (node := self._best(free)) is not None:
                free[node.id] = free.get(node.id, 0) - 1
                self._open(node)
                wanted -= 1
        self._wishes.want(max(0, wanted) + len(stuck))

    def meet(self) -> None:
        """Hear the first word of cameras that were hired."""
        for seat in [seat for seat in self.seats if seat.coming is not None]:
            if ray.wait([seat.coming], timeout=0)[0]:
                try:
                    self._welcome(seat, ray.get(seat.coming))
                except RayError as error:
                    self._stillborn(seat, error)
            elif time.monotonic() - seat.since > START_SECONDS:
                if ray_nodes.placed(seat.actor):
                    self._stillborn(seat, TimeoutError(f"its process did not answer in {START_SECONDS:.0f} s"))
                else:
                    log.warning("%s waits for room on %s, which other programs use", seat.name, seat.node.host)
                    seat.since = time.monotonic()

    def dismiss(self, seat: RaySeat) -> None:
        """Let a camera go, whatever it is doing."""
        ray.kill(seat.actor)
        if seat in self.seats:
            self.seats.remove(seat)
            self._gone(seat.name)

    def failed(self, seat: RaySeat, job: Job, failure: Failure) -> list[NodeSetAside | NodeTakenBack]:
        """A job failed on a camera: does its node fail too much? The only node there is stays."""
        why = self.trust.failed(seat.node.id, job.film, job.specs[0].key, failure)
        ids = self.trust.pardoned()
        pardoned = {node.host for node in self.nodes.values() if node.id in ids} & self._aside.keys()
        for host in pardoned:
            self._take_back(host)
        events: list[NodeSetAside | NodeTakenBack] = [NodeTakenBack(host) for host in pardoned]
        if why and len(self._usable()) > 1 and seat.node.host not in self._aside:
            log.warning("%s is set aside: %s", seat.node.host, why)
            self._aside[seat.node.host] = time.monotonic()
            self._leave()
            events.append(NodeSetAside(seat.node.host, why))
        return events

    def most_memory(self) -> int:
        """Bytes of the largest device among the cameras, 0 where nobody knows."""
        return max((seat.memory for seat in self.seats), default=0)

    def close(self) -> None:
        """Let all cameras go."""
        self._wishes.want(0)
        for seat in list(self.seats):
            self.dismiss(seat)
        self._landmark.close()

    @property
    def growing(self) -> bool:
        """Are nodes on their way that an autoscaler was asked for?"""
        return self._wishes.coming()

    def _stuck(self) -> list[RaySeat]:
        """Cameras that wait for room on nodes which other programs use."""
        now = time.monotonic()
        young = [seat for seat in self.seats if seat.coming is not None and now - seat.since > IDLE_SECONDS]
        return [seat for seat in young if not ray_nodes.placed(seat.actor)]

    def _let_spare_go(self, demand: int, now: float) -> None:
        """Where an autoscaler takes nodes away that nobody uses, cameras go for which there has been no work."""
        spare = sum(not seat.leaving for seat in self.seats) - demand if self._wishes.heard else 0
        idle = [
            seat for seat in self.seats if seat.free and not seat.dark and now - seat.since > ray_growth.SPARE_SECONDS
        ]
        for seat in idle[: max(0, spare)]:
            log.warning("%s has nothing to do and lets %s go", seat.name, seat.node.host)
            self.dismiss(seat)
            if all(other.node.id != seat.node.id for other in self.seats):
                self._labs.leave(seat.node.id)

    def _best(self, free: Mapping[str, int]) -> Node | None:
        """The node for one more camera: one with room at this moment, and of those the emptiest."""
        taken: dict[str, int] = {}
        for seat in self.seats:
            taken[seat.node.id] = taken.get(seat.node.id, 0) + 1
        roomy = [node for node in self._usable() if node.room(self.gpus) > taken.get(node.id, 0)]
        share = {node.id: taken.get(node.id, 0) / node.room(self.gpus) for node in roomy}
        return min(roomy, key=lambda node: (free.get(node.id, 0) <= 0, share[node.id]), default=None)

    def _usable(self) -> list[Node]:
        """Nodes that cameras may be on. Where all are set aside, those are better than none."""
        there = [
            node
            for node in self.nodes.values()
            if not node.leaving and node.id not in self._refused and node.room(self.gpus)
        ]
        return [node for node in there if node.host not in self._aside] or there

    def _open(self, node: Node) -> None:
        names = {seat.name for seat in self.seats}
        name = next(f"camera-{n}" for n in itertools.count(1) if f"camera-{n}" not in names)
        threads = max(1, int(node.cpus) // node.room(self.gpus))
        device = self._terms.device
        if device == "auto":
            device = "cuda" if self.gpus else "cpu"
        options: dict[str, Any] = {"num_cpus": 1} | ({"num_gpus": self.gpus} if self.gpus else {})
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        # Two threads render; the others hear `stop`, neighbours in a chain, and whether it is alive.
        hired = ray.remote(RayCamera).options(max_concurrency=5, max_restarts=0, scheduling_strategy=there, **options)
        lab = self._labs.on(node.id) if self.gpus else None
        how = (self._terms.every, lab, self._terms.decode_beside)
        actor = hired.remote(self._terms.files, name, device, threads, *how)
        self.seats.append(RaySeat(name, node, actor, actor.worker.remote(self._landmark.show())))

    def _welcome(self, seat: RaySeat, worker: Worker | None) -> None:
        seat.coming, seat.since = None, time.monotonic()
        if worker is None:
            self._blind(seat)
            return
        if worker.code_version == code_version():
            seat.worker = worker
            seat.memory = int(worker.memory * min(1.0, self.gpus or 1.0))
            return
        self._refuse(
            seat,
            ClusterMismatch(
                f"{seat.name} on {seat.node.host} runs longtake {worker.code_version}, we run {code_version()}: "
                "their pixels could differ. Install the same version on every node."
            ),
        )

    def _blind(self, seat: RaySeat) -> None:
        """A camera that does not see our store: what it renders would be nowhere."""
        if not self._landmark.stands:  # somebody has removed what it was to look for
            self.dismiss(seat)
            return
        self._refuse(
            seat,
            NoCamera(
                f"{seat.node.host} does not see the store {self._terms.files} of this machine: what it renders would "
                "be lost. Nodes need one store: a folder that all of them mount at this path (--data, LONGTAKE_STORE), "
                "or a URL (longtake move s3://bucket/name)."
            ),
        )

    def _stillborn(self, seat: RaySeat, error: Exception) -> None:
        """A camera did not start. A node where that happens again and again is left alone."""
        if seat.node.id in self.nodes and not seat.leaving and not isinstance(error, ActorUnschedulableError):
            log.warning("%s did not start on %s: %s", seat.name, seat.node.host, error)
            told = Failure("NotStarted", _last_line(error), worker=True)
            missing = "ModuleNotFoundError" in str(error) or "No module named" in str(error)
            # Each on a node of its own accord: no clip is to blame.
            if self.trust.failed(seat.node.id, "", f"start on {seat.node.id}", told) or missing:
                self._refuse(
                    seat,
                    NoCamera(
                        f"no camera starts on {seat.node.host}: {told.message}. Is the same longtake installed on "
                        "every node?"
                    ),
                )
                return
        self.dismiss(seat)

    def _refuse(self, seat: RaySeat, why: ClusterError) -> None:
        log.warning("%s is not used: %s", seat.node.host, why)
        self._refused[seat.node.id] = why
        self.dismiss(seat)
        self._labs.leave(seat.node.id)
        self._leave()

    def _respect_aside(self, now: float) -> list[NodeSetAside | NodeTakenBack]:
        """Nodes that the ledger has set aside, or taken back, and those whose time is over."""
        try:
            told = set(self._terms.aside())
        except StorageError as error:
            log.warning("the ledger could not be asked about nodes: %s", error)
            told = self._told
        for host in told:
            self._aside.setdefault(host, now)
        back = (self._told - told) & self._aside.keys()  # its time is over, or somebody has said so
        self._told = told
        back |= {host for host, since in self._aside.items() if host not in told and now - since > ASIDE_SECONDS}
        for host in back:
            self._take_back(host)
        return [NodeTakenBack(host) for host in sorted(back)]

    def _take_back(self, host: str) -> None:
        log.warning("%s gets work again", host)
        del self._aside[host]
        for node in self.nodes.values():
            if node.host == host:
                self.trust.forget(node.id)

    def _leave(self) -> None:
        """Cameras on nodes that leave or are set aside write a checkpoint and go; those on dead nodes are gone."""
        usable = {node.id for node in self._usable()}
        drained = {node.id for node in self.nodes.values() if node.leaving}
        for id in drained - {seat.node.id for seat in self.seats}:
            self._labs.leave(id)  # Ray ends such a node as soon as nothing runs there
        for seat in [seat for seat in self.seats if not seat.leaving]:
            node = self.nodes.get(seat.node.id)
            if node is None:
                self._labs.leave(seat.node.id)
                if not seat.jobs:
                    self.dismiss(seat)
            elif seat.node.id not in usable:
                seat.leaving = f"{node.host} is being drained" if node.leaving else f"{node.host} is not used any more"
                log.warning("%s leaves: %s", seat.name, seat.leaving)
                if not seat.jobs:
                    self.dismiss(seat)
                else:
                    seat.actor.stop.remote()

    def _make_room(self, now: float) -> None:
        """While another run waits for a place, idle cameras go, and busy ones above our share do when they are done."""
        if now - self._asked < IDLE_SECONDS:
            return
        self._asked = now
        runs, waiting = ray_nodes.rivals(RayCamera.__name__)
        self._share = math.ceil(sum(node.room(self.gpus) for node in self._usable()) / runs) if waiting else None
        if self._share is None:
            return
        for seat in [seat for seat in self.seats if seat.free and not seat.dark and now - seat.since > IDLE_SECONDS]:
            log.warning("another run waits: %s is given back", seat.name)
            self.dismiss(seat)
        busy = [seat for seat in self.seats if seat.job is not None]
        for seat in busy[self._share :]:
            seat.lent = True

    def _insist_on_somebody(self, demand: int, now: float) -> None:
        if self.seats or not demand or self._wishes.coming():
            self._alone_since = None
            return
        self._alone_since = self._alone_since or now
        here = [self._refused[id] for id in self.nodes if id in self._refused]
        if here and not self._usable():
            raise here[0]
        if now - self._alone_since > PATIENCE:
            raise NoCamera(
                f"no camera is left, and no node came within {PATIENCE:.0f} s. See `ray status`, then run again."
            )
        if now - self._alone_since < LOOK:
            log.warning("no node of the cluster can hold a camera; waiting %.0f s for one", PATIENCE)


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
