"""The command line as a real process, and a small film to render with it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.warm import Child, Warm

PER_TEST = {"PYTEST_CURRENT_TEST"}
ROOT = Path(__file__).parent.parent
SMALL = """\
schema: longtake.storyboard.v1
film: {id: small, title: Small, fps: 8, size: [64, 64], seed: 7}
defaults:
  model: pocket
  sampler: {steps: 4}
  clip_frames: 8
shots:
  - id: dawn
    prompt: a red boat floating over the sea by day
    frames: 26
  - id: night
    prompt: a yellow moon floating in the night sky
    frames: 8
    transition: {kind: crossfade, frames: 4}
"""


class Longtake:
    """Runs longtake in a folder, as a person would: a real process, that only has its imports behind it (`warm.py`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = ("LONGTAKE_D", "LONGTAKE_F", "RAY_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "160", "NO_COLOR": "1"}

    def start(self, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str] | Child:
        parent = _warm()
        changed = {k for k, _ in self.environment.items() ^ parent.environment.items()}
        if all(name.startswith("LONGTAKE_") for name in changed - PER_TEST):
            return parent.start(list(arguments), self.folder, self.environment, start_new_session)
        return self.cold(*arguments, start_new_session=start_new_session)  # libraries read variables when imported

    def cold(self, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
        """With an interpreter of its own."""
        command = [sys.executable, "-m", "director", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=start_new_session,
        )

    def __call__(self, *arguments: str, code: int | None = 0, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit code must be `code`, unless that is None, and there is never a traceback."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        assert code in (None, process.returncode), f"exit {process.returncode}, expected {code}\n{out}\n{err}"
        assert "Traceback" not in out + err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def loaded_by(longtake: Longtake, *arguments: str) -> tuple[set[str], str]:
    """Top-level modules that a command's process has loaded when it ends, and what it said."""
    code = (
        "import sys, json, atexit\n"
        "names = lambda: sorted({m.split('.')[0] for m in sys.modules})\n"
        "atexit.register(lambda: print('\\n@' + json.dumps(names()), file=sys.stderr))\n"
        "from director.cli import main\n"
        f"sys.argv = ['longtake', *{list(arguments)!r}]\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code]
    where = {"cwd": longtake.folder, "env": longtake.environment}
    done = subprocess.run(command, **where, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    said, _, names = done.stderr.rpartition("@")
    return set(json.loads(names)), said


def edit(film: Longtake, old: str, new: str) -> None:
    """Change the film's storyboard, small.yaml."""
    board = film.folder / "small.yaml"
    assert old in board.read_text()
    board.write_text(board.read_text().replace(old, new))


@functools.cache
def _warm() -> Warm:
    """One for this process, with the environment that nearly all commands have."""
    return Warm(Longtake(ROOT).environment)


def decoded(film: Path) -> str:
    """sha256 over the decoded frames of a film."""
    import av

    digest = hashlib.sha256()
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()
