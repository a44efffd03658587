"""How much of a render's wall time is spent inside networks and VAE, once the model is loaded."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ..places import Places
from ..progress import Quiet
from ..segments import Segment
from ..stop import Stop
from . import Result, Row

BOARD = """\
schema: longtake.storyboard.v1
film: {{id: bench, title: Bench, fps: 8, size: [64, 64], seed: 7}}
defaults: {{model: pocket, sampler: {{steps: {steps}}}, clip_frames: 8}}
shots:
  - {{id: one, prompt: a red boat floating over the sea by day, frames: 40}}
  - {{id: two, prompt: a yellow moon rising in the night sky, frames: 24, transition: {{kind: crossfade, frames: 4}}}}
  - {{id: three, prompt: a blue ball moving left over the snow, frames: 8}}
deliver: [{{size: [512, 512]}}]
"""


class Clock(Quiet):
    """Counts busy seconds and remembers when the model was ready."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.ready: float | None = None

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        self.ready = self.ready or time.perf_counter()

    def job_done(self, segment: Segment, busy: float) -> None:
        self.busy += busy


def measure(quick: bool) -> Result:
    """One whole film through the real command's code: ledger, files, encoding and cutting are all in the wall time.

    The clock starts when the model is loaded: what comes before is start-up.
    """
    from ..session import Rendering, look

    clock = Clock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board = folder / "bench.yaml"
        board.write_text(BOARD.format(steps=8 if quick else 25))
        with look(Places(folder / "data", folder / "films"), create=True) as session, Stop() as stop:
            session.render([str(board)], Rendering(), stop, clock)
            ended = time.perf_counter()
    assert clock.ready is not None
    wall = ended - clock.ready
    share = min(clock.busy / wall, 1.0)
    rows = [Row("networks and VAE over wall time", f"{share:.3f}", f"{wall:.1f} s wall", ">= 0.85", share >= 0.85)]
    return Result("render", rows, ["pocket model, 3 shots, 72 frames of film, delivered at 512x512"])
