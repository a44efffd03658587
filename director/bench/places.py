"""The same film rendered in this process and on a local Ray: which is the better default on this machine?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ..places import Places
from ..progress import Quiet
from ..stop import Stop
from . import Result, Row
from .render import BOARD


def measure(quick: bool) -> Result:
    """Wall time of a whole render, start-up included: that is what a person waits for."""
    steps = 8 if quick else 25
    here, there = (_seconds(on, steps) for on in ("local", "ray"))
    rows = [
        Row(
            "--on local, whole command",
            f"{here:.1f} s",
            f"--on ray {there:.1f} s, {there / here:.2f} times as long",
            "report",
        )
    ]
    return Result("places", rows, ["start-up included; pocket model, 3 shots, 72 frames"])


def _seconds(on: str, steps: int) -> float:
    from ..session import Rendering, look

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board = folder / "bench.yaml"
        board.write_text(BOARD.format(steps=steps))
        began = time.perf_counter()
        with look(Places(folder / "data", folder / "films"), create=True) as session, Stop() as stop:
            session.render([str(board)], Rendering(on=on), stop, Quiet())
        return time.perf_counter() - began
