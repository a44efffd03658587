"""Other processes, for tests that need real ones: `python worker.py COMMAND ARGUMENTS`.

Each says `ready`, waits for a line, does its work and prints what came of it, as JSON, a line each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from random import Random

from storage.errors import FilmBusy
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import TakeRow


def say(thing: object) -> None:
    print(json.dumps(thing), flush=True)


def wait() -> None:
    say("ready")
    sys.stdin.readline()


def open_ledger(url: str) -> None:
    wait()
    with Ledger.open(url) as ledger:
        say(len(ledger.films()))


def claim(url: str, film: str) -> None:
    """Claim the film and hold on to it until told to let go."""
    with Ledger.open(url) as ledger:
        wait()
        try:
            lease = ledger.claim_film(film)
        except FilmBusy as error:
            say({"busy": error.pid})
            return
        say({"claimed": lease.fence})
        sys.stdin.readline()
        lease.release()
        say("released")


def work(url: str, production: str, worker: str, keys: str) -> None:
    """Render all clips; what is made differs from worker to worker, so that one can see whose was taken."""
    names = json.loads(keys)
    with Ledger.open(url) as ledger:
        wait()
        for attempt, key in zip(ledger.begin_attempts(int(production), names, "cpu", worker), names, strict=True):
            made = TakeRow(key, f"video of {worker}", "l", None, 8, 16, 16, worker, 1, {}, 1, "1")
            say({"key": key, "attempt": attempt, "take": ledger.finish_attempt(attempt, made).attempt})


def work_until_killed(url: str, film: str, root: str) -> None:
    """Claim the film and render its clips one after another, file first, then the row."""
    files = Files(root)
    with Ledger.open(url) as ledger:
        wait()
        lease = ledger.claim_film(film)
        wanted = [key for key, _ in ledger.latest_slates(film).values()]
        slates = ledger.slates(ledger.productions(film)[0].id)
        production = ledger.start_production(film, "t", "p", "d", "{}", slates, lease)
        while True:
            done = ledger.takes(wanted)
            for key in [k for k in wanted if k not in done]:
                (attempt,) = ledger.begin_attempts(production, [key], "cpu", "w")
                video = files.put_bytes(key.encode() * 2000, ".mkv")
                ledger.finish_attempt(attempt, TakeRow(key, video, video, None, 8, 16, 16, key, 1, {}, 1, "1"))
                say(key)
            if not [k for k in wanted if k not in done]:
                return


def render_shared(url: str, production: str, root: str, worker: str) -> None:
    """Render the clips of a production together with others, a few at a time, until none is left."""
    files = Files(root)
    with Ledger.open(url) as ledger:
        keys = [row.key for row in ledger.slates(int(production))]
        Random(worker).shuffle(keys)
        wait()
        while True:
            claims = ledger.claim_clips(keys, most=5)
            mine = [claim.key for claim in claims]
            for key, attempt in zip(mine, ledger.begin_attempts(int(production), mine, "cpu", worker), strict=True):
                video = files.put_bytes(key.encode(), ".mkv")
                ledger.finish_attempt(attempt, TakeRow(key, video, video, None, 8, 16, 16, key, 1, {}, 1, "1"))
            ledger.release_clips(claims)
            keys = [key for key in keys if key not in mine]
            if not claims:
                done = ledger.takes(keys)
                keys = [key for key in keys if key not in done]
                if not keys:
                    return
                time.sleep(0.02)


def put_until_killed(root: str, source: str) -> None:
    """Store ever other bytes, and say what was stored."""
    files = Files(root)
    wait()
    number = 0
    while True:
        number += 1
        path = Path(source) / f"{os.getpid()}-{number}.bin"
        path.write_bytes(f"{os.getpid()} {number} ".encode() * 20000)
        say(files.put_file(path))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
