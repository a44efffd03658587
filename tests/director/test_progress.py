"""The display: what it shows, and that it never ends a run."""

import io
import os
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cluster.job import Failure, Worker
from director.observer import FilmResult
from director.planned import Plan
from director.progress import Careful, Quiet, display
from director.segments import Segment
from director.streams import screen
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler

WORKER = Worker("local", "here", 1, "cpu", "0")
SPEC = ClipSpec(ModelRef("pocket", "sha256:0", "animatediff"), 64, 64, 8, "p", "", 7, 0, Sampler(steps=4), Recipe())
PLAN = Plan("harbour", "Harbour [/b]", Fraction(8), (64, 64), 0, (), (), 16)
SEGMENT = Segment("harbour", "dawn", 1, (SPEC, SPEC), ("k1", "k2"), None)
TAKE = SimpleNamespace(frames=8)


def run(show: Quiet) -> None:
    """A film of two clips that fails once, is rendered, and is cut."""
    show.film_begins(PLAN, 2, 1)
    show.job_waits(SEGMENT)
    show.job_begins(SEGMENT, WORKER)
    show.job_loads(SEGMENT, "pocket")
    show.job_steps(SEGMENT, 2, 4)
    show.job_failed(SEGMENT, Failure("BadFootage", "[/b] nan"), 1, False)
    show.job_begins(SEGMENT, WORKER)
    for step in range(5):
        show.job_steps(SEGMENT, step, 4)
    for index in range(2):
        show.clip_done(SEGMENT, index, TAKE)
    show.job_done(SEGMENT, 1.0)
    show.film_cuts(PLAN)
    show.film_ends(FilmResult(PLAN, "done", 2, 1))
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


class Terminal:
    """A live display on a terminal that keeps what it is sent."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        console = Console(file=self.out, force_terminal=True, width=140, color_system=None)
        self.show = display("auto", console)

    def now(self) -> str:
        """What the display shows at this moment, without the terminal's codes."""
        self.out.seek(0)
        self.out.truncate()
        self.show._show._progress.refresh()
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
    shown = terminal.now()
    assert "step 2/4" in shown
    assert re.search(r"\d+\.\d\d frames/s", shown)
    assert re.search(r"\d:\d\d", shown)  # time left
    film = terminal.show._show._films["harbour"]
    assert film.frames == pytest.approx(8)  # half the steps of two clips of eight frames
    show.clip_done(SEGMENT, 0, TAKE)
    assert "2/3 clips" in terminal.now()
    show.close()


def test_a_failure_takes_its_progress_back() -> None:
    terminal = Terminal()
    show = terminal.show
    show.film_begins(PLAN, 2, 0)
    show.job_waits(SEGMENT)
    show.job_begins(SEGMENT, WORKER)
    show.job_steps(SEGMENT, 3, 4)
    bars = terminal.show._show._progress.tasks
    assert (bars[0].completed, bars[0].total) == (6, 8)
    show.job_failed(SEGMENT, Failure("BadFootage", "[/b] nan"), 1, False)
    assert bars[0].completed == 0
    assert len(terminal.show._show._progress.tasks) == 1
    assert "BadFootage: [/b] nan" in terminal.out.getvalue()
    assert terminal.show._show._films["harbour"].frames == 0
    show.close()


def test_the_whole_run_on_a_terminal() -> None:
    terminal = Terminal()
    run(terminal.show)
    assert "cutting" not in terminal.out.getvalue().rsplit("\n", 1)[-1]


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


def test_a_display_with_a_mistake_in_it_is_left_out() -> None:
    class Mistaken(Quiet):
        told = 0

        def job_steps(self, segment: Segment, step: int, steps: int) -> None:
            self.told += 1
            raise KeyError(segment.name)

    mistaken = Mistaken()
    run(Careful(mistaken))
    assert mistaken.told == 1


def test_a_screen_behind_a_closed_pipe(capfd) -> None:
    """`longtake plan | head`: a real process whose reader is gone comes to its own end and exit code."""
    import subprocess
    import sys

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
