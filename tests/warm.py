"""Real processes without the wait: longtake forked from a parent that has already imported torch and diffusers.

Importing them costs six seconds of a core, which is most of what a small command takes. A forked process is a real one:
it has its own pid, can be killed, leaves files and exit codes. What it does not show is the start itself, so tests of
that (what is imported when, a library that is broken) use `Longtake.cold`, and a command with variables that libraries
read when they are imported gets an interpreter of its own by itself.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = ("director", "cluster", "shots", "shots/backbones", "storage")
THEIRS = (
    "torch",
    "av",
    "moviepy",
    "accelerate",
    "alembic.command",
    "alembic.config",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
)


class Warm:
    """One such parent; it ends with the process that made it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(self, arguments: list[str], folder: Path, environment: dict[str, str], session: bool) -> Child:
        """A process that runs `longtake *arguments` in `folder`; in a session of its own if asked."""
        order = {"arguments": arguments, "folder": str(folder), "environment": environment, "session": session}
        out, err, told = os.pipe(), os.pipe(), os.pipe()
        rights = array.array("i", [out[1], err[1], told[1]])
        with self._lock:
            self._socket.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            text = json.dumps(order).encode()
            self._socket.sendall(len(text).to_bytes(4, "big") + text)
        for end in rights:
            os.close(end)
        return Child(["longtake", *arguments], out[0], err[0], told[0])


class Child:
    """What `subprocess.Popen` offers and tests use, for a process that somebody else has forked."""

    def __init__(self, args: list[str], out: int, err: int, told: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._line())

    def _line(self) -> bytes:
        line = self._told.readline()
        assert line, "the warm parent of the tests' processes has died"
        return line

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = int(self._line())
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        texts = ["", ""]

        def read(place: int, stream: io.TextIOBase) -> None:
            with contextlib.suppress(ValueError):  # closed: the test has ended
                texts[place] = stream.read()

        readers = [
            threading.Thread(target=read, args=pair, daemon=True) for pair in enumerate((self.stdout, self.stderr))
        ]
        until = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0, "".join(texts))
        self.wait(timeout)
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


# ---- the parent's side --------------------------------------------------------------------------


def serve(channel: socket.socket) -> None:
    """Fork a process for each order, and say how each ended."""
    running: dict[int, tuple[int, int]] = {}  # pidfd -> (pid, where its end is told)
    while True:
        for ready in select.select([channel, *running], [], [])[0]:
            if ready is channel:
                order, descriptors = _receive(channel)
                if order is None:
                    return
                pid = os.fork()
                if pid == 0:
                    channel.close()
                    for pidfd, (_, told) in running.items():
                        os.close(pidfd), os.close(told)
                    os.close(descriptors[2])
                    _become(order, descriptors)
                os.write(descriptors[2], b"%d\n" % pid)
                os.close(descriptors[0]), os.close(descriptors[1])
                running[os.pidfd_open(pid)] = pid, descriptors[2]
            else:
                pid, told = running.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(told, b"%d\n" % code)
                os.close(ready), os.close(told)


def _receive(channel: socket.socket) -> tuple[dict | None, list[int]]:
    first, descriptors, _, _ = socket.recv_fds(channel, 1, 3)
    if not first:
        return None, []
    length = int.from_bytes(_exactly(channel, 4), "big")
    return json.loads(_exactly(channel, length)), list(descriptors)


def _exactly(channel: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        read += channel.recv(count - len(read))
    return read


def _become(order: dict, descriptors: list[int]) -> None:
    """In the forked process: longtake's own beginning, as `python -m director` has it."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if order["session"]:
            os.setsid()
        os.dup2(descriptors[0], 1), os.dup2(descriptors[1], 2)
        os.close(descriptors[0]), os.close(descriptors[1])
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        time.tzset()
        sys.argv = ["longtake", *order["arguments"]]
        from director.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def warm_up() -> None:
    """Import what commands import; nothing is run, so that no state of one command reaches another."""
    from diffusers import AnimateDiffPipeline, LTXPipeline  # noqa: F401
    from transformers import AutoTokenizer, CLIPTextModel, CLIPTokenizer  # noqa: F401

    for room in OURS:
        for found in pkgutil.iter_modules([str(ROOT / room)], room.replace("/", ".") + "."):
            if ".ray_" not in found.name and not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in THEIRS:
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not be forked"
    gc.freeze()  # or a collection in a child copies the pages of everything that is shared


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm_up()
    serve(socket.socket(fileno=int(sys.argv[1])))
