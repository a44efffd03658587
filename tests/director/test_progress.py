"""The display: what it shows, and that it never ends a run."""

import io
import json
import os
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cluster.job import Failure, Worker
from director.observer import FilmResult, Observers, Quiet
from director.planned import Plan
from director.progress import Live, display
from director.segments import Segment
from director.streams import screen
from director.tally import Tally
from shots.spec import Anchor, ClipSpec, ModelRef, Recipe, Sampler

WORKER = Worker("local", "here", 1, "cpu", "0")
SPEC = ClipSpec(ModelRef("pocket", "sha256:0", "animatediff"), 64, 64, 8, "p", "", 7, 0, Sampler(steps=4), Recipe())
PLAN = Plan("harbour", "Harbour [/b]", Fraction(8), (64, 64), 0, (), (), 16)
SEGMENT = Segment("harbour", "dawn", 1, (SPEC, SPEC), ("k1", "k2"), None)
TAKE = SimpleNamespace(frames=8, seconds={"total": 1.5})
FAILURE = Failure("BadFootage", "[/b] nan")


def run(show: Quiet) -> None:
    """A film of two clips that fails once, is rendered, and is cut."""
    show.film_begins(PLAN, 2, 1)
    show.job_waits(SEGMENT)
    show.job_begins(SEGMENT, WORKER)
    show.job_loads(SEGMENT, "pocket")
    show.job_steps(SEGMENT, 2, 4)
    show.job_failed(SEGMENT, FAILURE, 1, False)
    show.job_begins(SEGMENT, WORKER)
    for step in range(5):
        show.job_steps(SEGMENT, step, 4)
    for index in range(2):
        show.clip_done(SEGMENT, index, TAKE)
    show.job_done(SEGMENT, 1.0)
    show.film_cuts(PLAN)
    show.film_ends(FilmResult(PLAN, "done", 2, 1, ["films/harbour.mp4"]))
    show.close()


def test_lines() -> None:
    out = io.StringIO()
    run(display("plain", Console(file=out, width=200)))
    assert out.getvalue().splitlines() == [
        "harbour: 2 clips to render, 1 from the store",
        "harbour/dawn/1-2: rendering on local (here)",
        "harbour/dawn/1-2: try 1 failed, trying again: BadFootage: [/b] nan",
        "harbour/dawn/1-2: rendering on local (here)",
        "harbour/dawn/1: done, 8 frames",
        "harbour/dawn/2: done, 8 frames",
        "harbour: cutting 16 frames",
    ]


def test_a_line_names_the_take() -> None:
    out = io.StringIO()
    show = display("plain", Console(file=out, width=200))
    show.film_begins(PLAN, 1, 1)
    show.clip_done(replace(SEGMENT, take=2), 1, TAKE)
    assert out.getvalue().splitlines() == [
        "harbour: 1 clip to render, 1 from the store",
        "harbour/dawn (take 2)/2: done, 8 frames",
    ]


class Terminal:
    """A live display on a terminal that keeps what it is sent, and a clock that is put by hand."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.time = 1000.0
        self.tally = Tally(lambda: self.time)
        console = Console(file=self.out, force_terminal=True, width=140, color_system=None)
        self.live = Live(console, self.tally)
        self.show = Observers([self.tally, self.live])

    def now(self) -> str:
        """What the display shows at this moment, without the terminal's codes."""
        self.out.seek(0)
        self.out.truncate()
        self.live._progress.refresh()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.out.getvalue())


def test_live_shows_steps_clips_rate_and_time_left() -> None:
    terminal = Terminal()
    show = terminal.show
    show.film_begins(PLAN, 2, 1)
    show.job_waits(SEGMENT)
    assert "1/3 clips" in terminal.now()
    show.job_begins(SEGMENT, WORKER)
    assert "dawn/1-2 on local" in terminal.now()
    show.job_loads(SEGMENT, "pocket")
    assert "loading pocket" in terminal.now()
    for step in (0, 1, 2):
        show.job_steps(SEGMENT, step, 4)
        terminal.time += 3
    show.job_steps(SEGMENT, 3, 4)
    shown = terminal.now()
    assert "step 3/4" in shown
    assert "1.33 frames/s" in shown  # three quarters of two clips of eight frames in nine seconds
    assert "about 3.0 s left" in shown  # a step is left, and each took three seconds
    show.job_steps(SEGMENT, 4, 4)
    assert "storing" in terminal.now()
    show.clip_done(SEGMENT, 0, TAKE)
    assert "2/3 clips" in terminal.now()
    show.close()


def test_a_failure_takes_its_progress_back() -> None:
    terminal = Terminal()
    show, tally = terminal.show, terminal.tally
    show.film_begins(PLAN, 2, 0)
    show.job_waits(SEGMENT)
    show.job_begins(SEGMENT, WORKER)
    show.job_steps(SEGMENT, 3, 4)
    assert tally.percent() == 75
    show.job_failed(SEGMENT, FAILURE, 1, False)
    assert tally.percent() == 0
    assert len(terminal.live._progress.tasks) == 1
    assert "BadFootage: [/b] nan" in terminal.out.getvalue()
    show.close()


def test_what_a_checkpoint_kept_was_not_lost() -> None:
    tally = Tally()
    tally.film_begins(PLAN, 2, 0)
    tally.job_waits(SEGMENT)
    tally.job_begins(SEGMENT, WORKER)
    tally.job_steps(SEGMENT, 3, 4)
    tally.job_failed(SEGMENT, FAILURE, 1, False)
    assert tally.lost == {}  # nobody knows yet
    tally.job_begins(SEGMENT, WORKER)
    tally.job_steps(SEGMENT, 0, 4)
    tally.job_steps(SEGMENT, 3, 4)  # it goes on after step 2: one step of two clips was done for nothing
    assert tally.lost == {"harbour": 0.5}
    tally.job_steps(SEGMENT, 4, 4)
    tally.job_failed(SEGMENT, FAILURE, 2, True)
    assert tally.lost == {"harbour": 2.5}
    assert (tally.films["harbour"].held, tally.films["harbour"].left) == (2, {})


def test_a_camera_that_died_is_not_counted_until_it_is_heard_of_again() -> None:
    tally = Tally()
    tally.film_begins(PLAN, 2, 0)
    tally.job_waits(SEGMENT)
    tally.job_begins(SEGMENT, WORKER)
    tally.job_failed(SEGMENT, Failure("WorkerDied", "gone", worker=True), 1, False)
    assert (tally.cameras, tally.films["harbour"].waiting) == ({}, {"k1", "k2"})
    tally.job_begins(SEGMENT, WORKER)
    tally.job_leaves(SEGMENT, "its node is drained")
    assert (tally.cameras, tally.films["harbour"].waiting) == ({}, {"k1", "k2"})
    tally.job_begins(SEGMENT, WORKER)
    tally.job_leaves(SEGMENT, "")
    assert [camera.job for camera in tally.cameras.values()] == [None]


def test_clips_that_are_denoised_one_after_another() -> None:
    """Their steps begin anew with each clip, and a clip may be stored later than the next one has begun."""
    from dataclasses import replace

    anchored = replace(SPEC, recipe=replace(SPEC.recipe, chain=Anchor()))
    segment = Segment("harbour", "dawn", 1, (anchored, anchored), ("k1", "k2"), None)
    tally = Tally()
    tally.film_begins(PLAN, 2, 0)
    tally.job_waits(segment)
    tally.job_begins(segment, WORKER)
    seen = []
    for step in (0, 1, 2, 3, 4, 1, 2):
        tally.job_steps(segment, step, 4)
        seen.append(tally.percent())
    tally.clip_done(segment, 0, TAKE)
    seen.append(tally.percent())
    assert seen == [0, 12.5, 25, 37.5, 50, 62.5, 75, 75]


def test_a_clip_that_two_films_share_counts_for_both() -> None:
    from director.planned import PlannedClip, PlannedShot, Slate

    clips = tuple(PlannedClip(Slate("other", "a", n + 1), SPEC, f"k{n + 1}", 0, 8, 8) for n in range(2))
    other = Plan("other", "", Fraction(8), (64, 64), 0, (PlannedShot("a", clips, 16),), (), 16)
    tally = Tally()
    tally.film_begins(PLAN, 2, 0)
    tally.film_begins(other, 2, 0)
    tally.job_waits(SEGMENT)
    tally.job_begins(SEGMENT, WORKER)
    tally.clip_done(SEGMENT, 0, TAKE)
    assert (tally.films["harbour"].done, tally.films["other"].done) == (1, 1)


def test_nothing_is_foretold_before_anything_is_known() -> None:
    tally = Tally()
    tally.film_begins(PLAN, 2, 0)
    assert tally.forecast().p50 is None
    tally.job_waits(SEGMENT)
    assert tally.forecast().p50 is None
    assert tally.rate() is None


def test_the_whole_run_on_a_terminal() -> None:
    terminal = Terminal()
    run(terminal.show)
    assert "cutting" not in terminal.out.getvalue().rsplit("\n", 1)[-1]
    assert terminal.tally.percent() == 100


def test_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    run(display("json", Console(file=io.StringIO())))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["schema"] for line in lines} == {"longtake.progress.v1"}
    assert [line["event"] for line in lines] == [
        "film_begun", "chain_begun", "model_loading", "step", "chain_failed", "chain_begun", "step", "step",
        "clip_done", "clip_done", "chain_done", "film_cutting", "film_ended", "run_ended",
    ]  # fmt: skip
    assert [line["percent"] for line in lines][-2:] == [100, 100]
    assert lines[3]["percent"] == 66.7  # one of three clips, and half the steps of two
    assert lines[4] | {"time": ""} == {
        "schema": "longtake.progress.v1", "event": "chain_failed", "time": "", "film": "harbour", "shot": "dawn",
        "first": 1, "last": 2, "error": "BadFootage", "message": "[/b] nan", "tries": 1, "held": False,
        "percent": 33.3, "frames_per_second": None, "eta_p50": None, "eta_p90": None,
    }  # fmt: skip
    assert lines[-1]["states"] == {"harbour": "done"}


def test_openjd_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    show = display("openjd", Console(file=io.StringIO()))
    run(show)
    lines = out.getvalue().splitlines()
    found = [re.fullmatch(r"openjd_(progress|status|fail): (.+)", line) for line in lines]
    assert all(found)
    percents = [float(match[2]) for match in found if match and match[1] == "progress"]
    assert (percents[0], percents[-1]) == (33.3, 100)
    assert all(0 <= percent <= 100 for percent in percents)
    assert "openjd_fail" not in out.getvalue()
    show = display("openjd", Console(file=io.StringIO()))
    show.film_begins(PLAN, 2, 1)
    show.film_ends(FilmResult(PLAN, "partial", 0, 1, [], "shot dawn: password=secret99\nBadFootage"))
    show.run_stops("told to stop")
    fails = [line for line in out.getvalue().splitlines() if line.startswith("openjd_fail")]
    assert fails == [
        "openjd_fail: harbour: partial: shot dawn: password=*** BadFootage",
        "openjd_fail: stopped: told to stop",
    ]


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_a_closed_pipe_ends_the_display_and_not_the_run(kind: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    before = os.fstat(1).st_ino
    with os.fdopen(writer, "w", buffering=1) as pipe:
        run(display(kind, Console(file=pipe, force_terminal=kind == "live")))
        assert os.fstat(pipe.fileno()).st_rdev == os.stat(os.devnull).st_rdev  # what is still held back goes nowhere
    assert os.fstat(1).st_ino == before  # and standard output is what it was


def test_a_full_disk_under_the_log_does_not_end_the_run() -> None:
    with open("/dev/full", "w", buffering=1) as full:
        run(display("plain", Console(file=full)))


def test_a_stream_closed_in_this_process_does_not_end_the_run() -> None:
    out = io.StringIO()
    show = display("plain", Console(file=out))
    out.close()
    run(show)


def test_an_observer_with_a_mistake_in_it_is_left_out_and_the_others_hear_on() -> None:
    class Mistaken(Quiet):
        told = closed = 0

        def job_steps(self, segment: Segment, step: int, steps: int) -> None:
            self.told += 1
            raise KeyError(segment.name)

        def close(self) -> None:
            self.closed += 1

    mistaken, tally = Mistaken(), Tally()
    run(Observers([mistaken, tally]))
    assert (mistaken.told, mistaken.closed) == (1, 1)
    assert tally.films["harbour"].state == "done"


def test_a_screen_behind_a_closed_pipe(capfd) -> None:
    """`longtake plan | head`: a real process whose reader is gone comes to its own end and exit code."""
    import subprocess

    code = (
        "import sys\n"
        "from director.complain import guarded\n"
        "from director.streams import screen\n"
        "def command():\n"
        "    for n in range(500): screen().print('a line of text')\n"
        "    print('more'); sys.stderr.write('the end\\n'); raise SystemExit(3)\n"
        "sys.exit(guarded(command))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"the end\n"
        assert process.wait(60) == 3
    assert screen().is_terminal is False


def test_what_is_logged_stands_above_a_live_display() -> None:
    """A warning in the middle of a render: on a terminal it must not be written into the bars."""
    import subprocess

    code = (
        "import logging, sys\n"
        "from rich.console import Console\n"
        "from director import cli\n"
        "from director.progress import display\n"
        "from tests.director.test_progress import PLAN\n"
        "cli._log_to_stderr(False)\n"
        "show = display('live', Console(stderr=True, force_terminal=True, width=80, color_system=None))\n"
        "show.film_begins(PLAN, 2, 1)\n"
        "logging.getLogger('longtake.x').warning('password=sesame99 is wrong')\n"
        "show.close()\n"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr)
    assert re.search(r"(^|[\r\n])WARNING password=\*\*\* is wrong", written)
