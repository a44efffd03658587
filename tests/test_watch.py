"""`longtake watch`, progress for programs and metrics: around a real render, and on numbers that are known."""

from __future__ import annotations

import io
import json
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from cluster.job import Worker
from director.errors import UsageError
from director.forecast import Cost, Forecast, cost_of, forecast
from director.places import Places
from director.reporter import Reporter
from director.segments import Segment
from director.session import look
from director.tally import Tally
from director.watch import Watcher, camera_seconds, picture_of
from director.watch_view import half_blocks, view
from storage.rows import Spell
from storage.states import RunState
from tests.commandline import SMALL, Longtake
from tests.director.conftest import shot
from tests.director.studio import Studio
from tests.director.test_hooks import Server


@pytest.fixture
def film_studio(tmp_path: Path) -> Iterator[Studio]:
    """A film at a real ledger and store, without a model."""
    studio = Studio(tmp_path)
    yield studio
    studio.ledger.close()


def shown(document: dict[str, Any], width: int = 160) -> str:
    console = Console(width=width, color_system=None, record=True, file=io.StringIO())
    console.print(view(document), soft_wrap=True)
    return console.export_text()


def test_a_forecast_is_bound_by_the_longest_chain_and_by_all_work() -> None:
    cost = Cost(10.0, 12.0)
    assert forecast([[(4, cost)], [(1, cost)]], 2) == Forecast(40.0, 48.0, 50.0)
    assert forecast([[(2, cost)], [(2, cost)]], 1) == Forecast(40.0, 48.0, 40.0)
    assert forecast([[(2, cost), (-0.5, cost)]], 8) == Forecast(15.0, 18.0, 15.0)
    assert forecast([], 1) == Forecast(0.0, 0.0, 0.0)
    assert forecast([[(1, cost)], [(1, None)]], 1) == Forecast()
    assert forecast([[(1, Cost(10.0))]], 1) == Forecast(10.0, None, 10.0)


def test_the_cost_of_a_clip() -> None:
    assert cost_of([]) is None
    assert cost_of([3.0, 1.0]) == Cost(2.0, None)
    assert cost_of([float(n) for n in range(1, 11)]) == Cost(5.5, 9.0)
    assert cost_of([5.0, 1.0, 2.0]) == Cost(2.0, 5.0)


def test_a_camera_that_renders_two_runs_at_once_works_once() -> None:
    spells = [
        Spell("h", "camera-1", "cpu", 0.0, 10.0),
        Spell("h", "camera-1", "cpu", 5.0, 12.0),
        Spell("h", "camera-1", "cpu", 20.0, 21.0),
        Spell("h", "camera-2", "cpu", 5.0, 12.0),
    ]
    assert camera_seconds(spells) == 20.0


def test_nothing_has_been_rendered(tmp_path: Path) -> None:
    with look(Places(tmp_path / "data", tmp_path / "films")) as session:
        document = Watcher(session).look()
    assert (document["films"], document["running"]) == ([], False)
    assert "nothing has been rendered here yet" in shown(document)


def test_a_film_under_way_is_seen_by_another_process(film_studio: Studio) -> None:
    """Two shots of two clips; one clip is done, and a camera has made three of four steps of the next."""
    board = {"sampler": {"steps": 4}, "clip_frames": 8, "recipe": {"chain": "none"}}
    plan = film_studio.plan(shot("a", frames=16), shot("b", frames=16, prompt="a yellow moon"), defaults=board)
    a1, a2, b1, b2 = plan.clips
    ledger, studio = film_studio.ledger, film_studio
    with ledger.claim_film("f") as lease:
        rows = studio.survey(plan).slate_rows()
        made = ledger.start_production("f", "F", "f.yaml", "d", plan.to_json(), rows, lease)
        first, second = ledger.begin_attempts(made, [a1.key, a2.key], "cpu", "camera-1")
        ledger.finish_attempt(first, studio._take(a1))
        tally = Tally()
        tally.film_begins(plan, 4, 0)
        segments = [
            Segment("f", name, 1, tuple(c.spec for c in pair), tuple(c.key for c in pair), None)
            for name, pair in (("a", (a1, a2)), ("b", (b1, b2)))
        ]
        for segment in segments:
            tally.job_waits(segment)
        tally.job_begins(replace(segments[0]), Worker("camera-1", "far", 7, "cpu", "0"))
        tally.clip_done(segments[0], 0, ledger.take(a1.key))
        tally.job_steps(segments[0], 3, 4)
        Reporter(ledger, tally)._tell()
        watcher = Watcher(studio.session)
        document = watcher.look()
        (film,) = document["films"]
        assert (film["state"], film["done"], film["clips"], film["percent"]) == ("rendering", 1, 4, 37.5)
        assert (film["eta_p50"], film["eta_p90"]) == (6.25, None)  # 2.5 s a clip, one measurement, 2.5 clips are left
        assert film["seconds_left"] == 6.25
        assert film["last"]["name"] == "f/a/1"
        assert [(s["shot"], s["done"], len(s["work"])) for s in film["shots"]] == [("a", 1, 1), ("b", 0, 0)]
        assert [(c["name"], c["doing"]) for c in document["cameras"]] == [("camera-1", "f/a/1-2: step 3/4")]
        text = shown(document)
        assert "clips 1-2: step 3/4 on camera-1" in text
        assert "time left: about 6.2 s\n" in text
        assert picture_of(studio.session, film).size == (64, 64)
        ledger.interrupt_attempt(second)
    document = watcher.look()  # the claim has been given back: nobody renders it any more
    (film,) = document["films"]
    assert (film["state"], film["eta_p50"], document["running"]) == ("interrupted", None, False)


def test_three_measurements_foretell_nine_times_of_ten(film_studio: Studio) -> None:
    """Three clips took 2.5, 2.5 and 5 seconds; two are left, on one camera."""
    board = {"sampler": {"steps": 4}, "clip_frames": 8, "recipe": {"chain": "none"}}
    plan = film_studio.plan(shot("a", frames=40), defaults=board)
    ledger, studio = film_studio.ledger, film_studio
    with ledger.claim_film("f") as lease:
        rows = studio.survey(plan).slate_rows()
        made = ledger.start_production("f", "F", "f.yaml", "d", plan.to_json(), rows, lease)
        numbers = ledger.begin_attempts(made, [clip.key for clip in plan.clips[:3]], "cuda:0", "camera-1")
        for number, clip, seconds in zip(numbers, plan.clips, (2.5, 2.5, 5.0), strict=False):
            take = replace(studio._take(clip), seconds={"total": seconds}, environment={"device": "cuda:0"})
            ledger.finish_attempt(number, take)
        ledger.set_aside("far", "three failures")
        document = Watcher(studio.session).look()
        (film,) = document["films"]
        assert (film["eta_p50"], film["eta_p90"], film["seconds_left"]) == (5.0, 10.0, 5.0)
        text = shown(document)
    assert "time left: about 5.0 s, nine times of ten at most 10.0 s" in text
    assert "GPU time: " in text
    assert "about 5.0 s left" in text
    assert "node far is set aside: three failures" in text


def test_a_plan_without_measurements_says_that_nothing_is_known(film_studio: Studio) -> None:
    plan = film_studio.plan(shot("a", frames=8))
    with film_studio.ledger.claim_film("f") as lease:
        rows = film_studio.survey(plan).slate_rows()
        film_studio.ledger.start_production("f", "F", "f.yaml", "d", plan.to_json(), rows, lease)
        text = shown(Watcher(film_studio.session, ["f"]).look())
    assert "time left: unknown" in text
    assert "it has not said yet what it does" in text


def test_a_run_is_watched_by_its_number(film_studio: Studio) -> None:
    ledger, package = film_studio.ledger, film_studio.files.put_bytes(b"package")
    ledger.add_run("night-1", package, ["f", "g"], {}, "job-1", "http://127.0.0.1:8265")
    watcher = Watcher(film_studio.session, ["night-1"])
    document = watcher.look()
    assert ([run["state"] for run in document["runs"]], document["films"], document["running"]) == (
        ["submitted"], [], True,
    )  # fmt: skip
    film_studio.render(film_studio.plan(shot("a", frames=8)))
    ledger.run_begins("night-1", 1)
    ledger.wish("night-1", "pause")
    document = watcher.look()
    assert [film["film"] for film in document["films"]] == ["f"]
    assert "run night-1 running f, g  (pause is asked for)" in shown(document)
    ledger.run_ends("night-1", 1, RunState.PAUSED, 75, "paused by someone")
    document = watcher.look()
    assert not document["running"]
    assert "run night-1 paused f, g" in shown(document)


def test_half_blocks_show_two_pixels_a_character() -> None:
    image = Image.new("RGB", (2, 2))
    for place, colour in (((0, 0), (255, 0, 0)), ((1, 0), (0, 255, 0)), ((0, 1), (0, 0, 255)), ((1, 1), (9, 9, 9))):
        image.putpixel(place, colour)
    text = half_blocks(image, wide=2)
    assert text.plain == "  ▀▀"
    assert [str(span.style) for span in text.spans] == ["#ff0000 on #0000ff", "#00ff00 on #090909"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Longtake, dict[str, Any]]:
    """A film of one clip, rendered with everything that watches."""
    longtake = Longtake(tmp_path_factory.mktemp("watched"))
    board = SMALL.replace("    frames: 26", "    frames: 8").replace("frames: 4}", "frames: 2}")
    (longtake.folder / "small.yaml").write_text(board)
    longtake.environment["LONGTAKE_HOOKS"] = "film_done=sh -c 'echo $LONGTAKE_FILM $LONGTAKE_FILE > told'"
    port = free_port()
    process = longtake.start("render", "small.yaml", "--progress", "json", "--metrics", str(port))
    seen: dict[str, Any] = {"lines": [], "metrics": "", "watched": None}
    for line in process.stdout:
        seen["lines"].append(json.loads(line))
        if seen["lines"][-1]["event"] == "clip_done":
            seen["metrics"] = scraped(port)
        if seen["lines"][-1]["event"] == "film_cutting":
            time.sleep(0.1)
            with look(Places(longtake.folder / ".longtake", longtake.folder / "films")) as session:
                seen["watched"] = Watcher(session).look()
    seen["errors"] = process.stderr.read()
    assert process.wait(120) == 0, seen["errors"]
    return longtake, seen


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scraped(port: int) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics") as page:
        text: str = page.read().decode()
    return text


def test_json_lines_of_a_real_render(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    _, seen = rendered
    lines = seen["lines"]
    events = [line["event"] for line in lines]
    assert events[0] == "film_begun"
    assert events[-2:] == ["film_ended", "run_ended"]
    assert events.count("clip_done") == 2
    assert {"chain_begun", "model_loading", "step", "chain_done", "film_cutting"} <= set(events)
    percents = [line["percent"] for line in lines]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    ended = lines[-2]
    assert (ended["state"], ended["rendered"], Path(ended["files"][0]).name) == ("done", 2, "small.mp4")
    assert lines[-1]["states"] == {"small": "done"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)


def test_a_hook_of_a_real_render(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    longtake, seen = rendered
    assert (longtake.folder / "told").read_text() == f"small {longtake.folder}/films/small.mp4\n", seen["errors"]


def test_metrics_of_a_real_render(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    _, seen = rendered
    text = seen["metrics"]
    assert re.search(r'^longtake_clips{film="small",state="done"} [12]\.0$', text, re.MULTILINE)
    assert re.search(r'^longtake_frames_total{model="pocket"} (8|16)\.0$', text, re.MULTILINE)
    assert re.search(r'^longtake_network_evaluations_total{model="pocket"} (8|16)\.0$', text, re.MULTILINE)
    steps = re.search(r'^longtake_step_seconds_count{model="pocket"} (\d+)\.0$', text, re.MULTILINE)
    assert int(steps[1]) >= 3
    assert float(re.search(r"^longtake_camera_busy_seconds_total{.*} (\S+)$", text, re.MULTILINE)[1]) > 0


def test_what_another_process_saw_of_it(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    longtake, seen = rendered
    (film,) = seen["watched"]["films"]
    assert (film["film"], film["done"], film["clips"]) == ("small", 2, 2)
    assert film["seconds_spent"] > 0
    assert film["running_on"]
    after = longtake("watch", "--once").stdout
    assert "small done Small  2/2 clips" in after
    assert "last: small/night/1, 8 frames" in after or "last: small/dawn/1, 8 frames" in after
    assert "\x1b" not in after
    with look(Places(longtake.folder / ".longtake", longtake.folder / "films")) as session:
        document = json.loads(json.dumps(Watcher(session, ["small"]).look()))
        assert (document["schema"], document["running"]) == ("longtake.watch.v1", False)
        with pytest.raises(UsageError, match="recorded films: small"):
            Watcher(session, ["nosuch"]).look()


def test_a_port_that_is_taken_is_told_before_anything_is_rendered(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    import socket

    longtake, _ = rendered
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = longtake("render", "small.yaml", "--metrics", port, code=2)
    assert f"--metrics {port}: Address already in use; choose another port" in refused.stderr


def test_openjd_lines_of_a_real_render(rendered: tuple[Longtake, dict[str, Any]]) -> None:
    longtake, _ = rendered
    board = longtake.folder / "small.yaml"
    board.write_text(board.read_text().replace("yellow moon", "purple star"))
    out = longtake("render", "small.yaml", "--progress", "openjd").stdout
    lines = [line for line in out.splitlines() if line.startswith("openjd_")]
    percents = [float(line.removeprefix("openjd_progress: ")) for line in lines if line.startswith("openjd_progress: ")]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (50, 100)
    assert len(percents) > 3
    assert "openjd_status: small/night/1: done" in lines
    assert not [line for line in lines if line.startswith("openjd_fail")]


def test_a_render_that_is_stopped_says_so_to_everybody(longtake: Longtake, small: Path) -> None:
    server = Server()
    longtake.environment["no_proxy"] = "*"
    process = longtake.start("render", "small.yaml", "--progress", "json", "--hook", f"run_stopped={server.url}/x")
    assert [json.loads(process.stdout.readline())["event"] for _ in range(2)] == ["film_begun", "chain_begun"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    server.server.shutdown()
    server.server.server_close()
    assert process.returncode == 75, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines][-2:] == ["run_stopped", "run_ended"]
    assert lines[-1]["states"] == {"small": "stopped"}
    assert server.events("/x") == ["run_stopped"]
    assert (server.got[0][2]["film"], server.got[0][2]["message"]) == ("small", "told to stop")
