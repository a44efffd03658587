"""On a cluster that has an autoscaler and no worker: nodes come when there is work, and go when there is none.

The autoscaler is Ray's own, of both versions, with the provider that Ray tests it with.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
import ray

from cluster import ray_growth, ray_nodes
from cluster.errors import NoCamera
from cluster.ray_labs import Labs
from cluster.ray_pool import RayPool
from cluster.ray_seat import Terms
from storage.files import Files
from tests.commandline import Longtake, decoded
from tests.growing import growing, looking_on, workers
from tests.nodes import until
from tests.test_ray import ON_RAY, begun

pytestmark = pytest.mark.timeout(600)
LONG = pytest.mark.skipif(not os.environ.get("LONGTAKE_LONG"), reason="takes minutes: set LONGTAKE_LONG=1")
GPU = {"CPU": 1, "GPU": 1}


def seated(pool: RayPool, demand: int, cameras: int) -> None:
    """Look until so many cameras are there."""

    def look() -> bool:
        pool.look(demand)
        pool.meet()
        return sum(seat.free for seat in pool.seats) == cameras

    until(look, 120)


def test_a_pool_begins_on_a_cluster_without_a_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with growing(True, GPU) as (address, environment), looking_on(address, environment):
        assert not workers()
        files = str(tmp_path / "files")
        labs = Labs(files)
        assert labs.each(Files.exists, ["sha256-" + "0" * 64]) == [False]
        assert not workers(), "cheap work asks for no node"
        pool = RayPool(Terms(files, cameras=1, device="cpu"), labs)
        assert pool.gpus == 1.0, "it was asked whether GPUs can come"
        seated(pool, 5, 1)
        assert workers() == 1
        assert not len(pool._wishes), "all that --cameras allows are there"


@LONG
@pytest.mark.parametrize("second", [True, False], ids=["second", "first"])
def test_a_pool_grows_with_the_work_and_shrinks_with_it(second: bool, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_growth, "SPARE_SECONDS", 3.0)
    monkeypatch.setattr(ray_nodes, "SETTLE_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    with growing(second, GPU) as (address, environment), looking_on(address, environment):
        files = str(tmp_path / "files")
        labs = Labs(files)
        with pytest.raises(NoCamera, match=r"asks for 4 GPUs.* starts no node for such a camera"):
            RayPool(Terms(files, gpus=4.0, device="cpu"), labs)
        pool = RayPool(Terms(files, device="cpu"), labs)
        seated(pool, 5, 2)
        assert workers() == 2, "max_workers"
        assert len(pool._wishes) == 3
        until(lambda: pool.look(1) or len(pool.seats) == 1)
        assert not len(pool._wishes)
        until(lambda: workers() == 1)
        pool.close()
        labs.close()
        until(lambda: workers() == 0)


@LONG
@pytest.mark.parametrize("second", [True, False], ids=["second", "first"])
def test_a_film_is_rendered_by_nodes_that_come_for_it_and_a_killed_run_asks_for_nothing(
    second: bool, longtake: Longtake, small, tmp_path
):
    (tmp_path / "here").mkdir()
    longtake("render", "small.yaml", "--films", "here/films", "--data", "here/data", timeout=900)
    with growing(second, GPU) as (address, environment):
        longtake.environment |= environment | {"RAY_ADDRESS": address}
        run = (*ON_RAY, "--device", "cpu", "--lockstep", "2")
        driver = longtake.start(*run)
        begun(driver, 1)
        with looking_on(address, environment):
            assert workers()
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
            until(lambda: workers() == 0, 120)
            time.sleep(5)
            assert workers() == 0, "nobody asks for nodes any more"
            assert not [each for each in ray.util.placement_group_table().values() if each["state"] != "REMOVED"]
        longtake(*run, timeout=900)
    assert decoded(tmp_path / "films/small.mp4") == decoded(tmp_path / "here/films/small.mp4")
