"""Numbers for Prometheus: what cameras count, what is served, what Ray exports, and the dashboard that shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from cluster.job import Failure, JobDone, Stepped, Worker
from cluster.metrics import METRICS, CameraMeter, ServedMeter, metered
from director.metered import Metered, Metering
from director.observer import FilmResult, Observers
from director.tally import Tally
from tests.director.test_progress import PLAN, SEGMENT, SPEC, TAKE

ROOT = Path(__file__).parent.parent.parent
SUFFIXES = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def samples(meter: ServedMeter) -> dict[str, float]:
    """What the page shows, `name{labels}` -> value."""
    from prometheus_client import generate_latest

    lines = generate_latest(meter._registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def served() -> Any:
    meter = ServedMeter(0)
    yield meter
    meter.close()


def test_a_camera_counts_steps_and_what_the_vae_took(served: ServedMeter) -> None:
    clock, heard = Clock(), []
    job: Any = SimpleNamespace(id="j", specs=(SPEC,))
    emit = metered(job, "camera-1", "far", CameraMeter(served, clock), heard.append)
    for step in (0, 1, 2, 5, 6):  # from step 2 to 5 a checkpoint was gone on from: nothing to measure
        emit(Stepped("j", step, 8))
        clock.now += 2
    emit(JobDone("j", 7.5, 20.0))
    assert len(heard) == 6
    found = samples(served)
    assert found['longtake_step_seconds_count{model="pocket"}'] == 3
    assert found['longtake_step_seconds_sum{model="pocket"}'] == 6
    assert found['longtake_camera_busy_seconds_total{camera="camera-1",host="far"}'] == 7.5


def test_a_mistake_in_counting_ends_nothing() -> None:
    heard: list[Any] = []
    job: Any = SimpleNamespace(id="j", specs=(SPEC,))
    emit = metered(job, "camera-1", "far", CameraMeter(None), heard.append)  # type: ignore[arg-type]
    emit(Stepped("j", 0, 4))
    emit(Stepped("j", 1, 4))
    assert [event.step for event in heard] == [0, 1]


def test_what_the_run_counts(served: ServedMeter) -> None:
    tally = Tally()
    watch = Observers([tally, Metered(tally, [Metering(served)])])
    watch.film_begins(PLAN, 2, 1)
    watch.job_waits(SEGMENT)
    watch.job_begins(SEGMENT, Worker("camera-1", "far", 1, "cpu", "0"))
    watch.job_steps(SEGMENT, 2, 4)
    watch.job_failed(SEGMENT, Failure("WorkerDied", "gone"), 1, False)
    found = samples(served)
    assert found['longtake_clips{film="harbour",state="waiting"}'] == found["longtake_queue_length"] == 2
    assert found['longtake_retries_total{error="WorkerDied",film="harbour"}'] == 1
    watch.node_aside("far", "three failures")
    watch.job_begins(SEGMENT, Worker("camera-2", "near", 1, "cpu", "0"))
    watch.job_steps(SEGMENT, 1, 4)  # from the beginning: half of two clips was for nothing
    watch.clip_done(SEGMENT, 0, TAKE)
    found = samples(served)
    assert found['longtake_lost_clips_total{film="harbour"}'] == 1
    assert found["longtake_nodes_aside"] == 1
    assert found['longtake_cameras{state="busy"}'] == found['longtake_cameras{state="waiting"}'] == 1
    assert found['longtake_clips{film="harbour",state="done"}'] == 2
    assert found['longtake_clips{film="harbour",state="rendering"}'] == 1
    watch.film_ends(FilmResult(PLAN, "done", 2, 1))
    found = samples(served)
    assert found['longtake_films_ended_total{state="done"}'] == 1
    assert found['longtake_film_progress{film="harbour"}'] == 1
    assert "longtake_frames_total" not in str(found)  # cameras count those themselves


def test_the_page_is_for_this_machine_alone(served: ServedMeter) -> None:
    listening = [each.laddr for each in psutil.Process().net_connections() if each.status == psutil.CONN_LISTEN]
    assert {each.ip for each in listening if each.port == served.port} == {"127.0.0.1"}


def test_every_query_of_the_dashboard_names_numbers_that_exist() -> None:
    board = json.loads((ROOT / "examples/cluster/grafana-longtake.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    assert len(queries) >= 10
    shown = {name + suffix: name for name, what in METRICS.items() for suffix in SUFFIXES[what.kind]}
    used = set()
    for query in queries:
        names = re.findall(r'__name__=~"\(ray_\)\?([a-z_]+)"', query)
        assert names, query
        assert not re.findall(r"longtake_\w+", re.sub(r'__name__=~"[^"]*"', "", query)), query
        for name in names:
            assert name in shown, query
            used.add(shown[name])
        labels = {"le"} | {label for name in names for label in METRICS[shown[name]].labels}
        grouped = re.findall(r"by \(([^)]*)\)", query)
        asked = {word.strip() for group in grouped for word in group.split(",")} | set(re.findall(r"(\w+)=~", query))
        assert asked - {"__name__"} <= labels, query
        legend_labels = set(re.findall(r"{{(\w+)}}", query))
        assert legend_labels <= labels
    assert used == set(METRICS), "every number is shown"
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in board["panels"]}) == len(places)


def test_nothing_is_imported_where_nothing_is_asked_for() -> None:
    names = "director.audience, director.cli_watch, director.watch, director.watch_view, cluster.metrics"
    code = f"import sys, {names}; print({{'ray', 'torch', 'prometheus_client'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


RAY = """
import time, urllib.request
import ray
from cluster.metrics import CameraMeter, METRICS, RayMeter
meter = RayMeter()
meter.set("longtake_queue_length", 1)  # before Ray is there: dropped
ray.init(address="local", include_dashboard=False, num_cpus=1, log_to_driver=False, configure_logging=False)
for name, what in METRICS.items():
    labels = {label: "x" for label in what.labels}
    {"gauge": meter.set, "counter": meter.add, "histogram": meter.observe}[what.kind](name, 2.0, **labels)
(node,) = ray.nodes()
page = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
text, deadline = "", time.monotonic() + 100
while text.count("# TYPE ray_longtake") < len(METRICS) and time.monotonic() < deadline:
    time.sleep(0.5)
    try:
        text = opener.open(page, timeout=5).read().decode()
    except OSError:
        continue
print("\\n".join(line for line in text.splitlines() if "longtake" in line and line[0] != "#"))
ray.shutdown()
"""


def test_ray_exports_them_under_the_names_that_the_dashboard_asks_for() -> None:
    done = subprocess.run([sys.executable, "-c", RAY], cwd=ROOT, capture_output=True, text=True, check=True)
    names = set(re.findall(r"^ray_(longtake_\w+){", done.stdout, re.MULTILINE))
    assert names == {name + suffix for name, what in METRICS.items() for suffix in SUFFIXES[what.kind]}
    assert re.search(r'^ray_longtake_clips{.*film="x".*} 2\.0$', done.stdout, re.MULTILINE)
