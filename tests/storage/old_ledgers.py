"""Ledgers as earlier versions left them, as SQL text: `old/<revision>.sqlite.sql` and `old/<revision>.postgres.sql`.

Before the schema changes, `python -m tests.storage.old_ledgers` writes those of the revision that is newest until then
(with LONGTAKE_TEST_POSTGRES_URL and pg_dump for the second). A file that was written is never written again.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import SlateRow
from storage.schema import HEAD
from storage.states import ProductionState, RunState, Verdict
from tests.storage.examples import key_of, slates_of, start_harbour, take_row

FOLDER = Path(__file__).parent / "old"


def fill(ledger: Ledger) -> None:
    """Every table, every state."""
    keys = [row.key for row in slates_of(6)]
    lease = ledger.claim_film("harbour")
    first = start_harbour(ledger, slates_of(6), lease=lease)
    done, failed, stopped, damaged, twice, _running = ledger.begin_attempts(first, keys, "cuda:0", "camera ⚓")
    take = ledger.finish_attempt(done, take_row(keys[0]))
    ledger.fail_attempt(failed, "OutOfMemory", 'it\'s "full"; -- no\nmemory', "Traceback\n  ...", "last\\lines")
    ledger.interrupt_attempt(stopped, "asked to")
    ledger.finish_attempt(damaged, take_row(keys[3], tail=None))
    ledger.drop_take(keys[3], "altered")
    ledger.finish_attempt(twice, take_row(keys[4]))
    (again,) = ledger.begin_attempts(first, keys[4:5], "cpu", "w")
    ledger.finish_attempt(again, take_row(keys[4], frames_digest="other"))
    ledger.record_print(take.video, "h264", "sha256-" + "a" * 64 + ".mp4", 77)
    ledger.record_film(first, "films/harbour.mp4", "d" * 64, 99, Fraction(24000, 1001), '{"cut": 1}', '{"clips": []}')
    ledger.hold("harbour", "dawn", keys[1], "failed 3 times", "digest")
    ledger.release_holds("harbour")
    ledger.hold("harbour", "dawn", keys[2], "failed again", "digest")
    ledger.end_production(first, ProductionState.PARTIAL, "1 shot is missing")
    lease.release()
    changed = [SlateRow("dawn", 1, key_of("blue"), '{"prompt": "blue, l\'été"}', "prompt changed", take=2)]
    ledger.start_production("night", "Night ✨", "n.yaml", "sha256:2", '{"plan": 2}', changed)
    ledger.claim_film("lost").release()
    ledger.pin("night", "dawn", {1: key_of("blue")}, "the gull's right")
    ledger.judge("night", "dawn", {1: key_of("blue")}, Verdict.PICKED, "calm")
    ledger.add_retake("night", "dawn", 2**64 + 1, note="more wind")
    ledger.add_run("night-1", f"sha256-{'c' * 64}.zip", ["night"], {"lockstep": 4}, "job-1", "http://head:8265")
    ledger.run_begins("night-1", 1)
    ledger.wish("night-1", "pause")
    ledger.run_ends("night-1", 1, RunState.PAUSED, 75, "it's asked to")
    ledger.keep_pictures("night", {f"sha256-{'e' * 64}"})
    ledger.set_aside("farm3", "failed three clips")
    ledger.remember_rung("sha256:m", "cuda", "64x48x16", 2)
    ledger.report({"night": '{"step": 1}'})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger.open(path) as ledger:
            fill(ledger)
        connection = sqlite3.connect(path)
        _write("sqlite", "\n".join(connection.iterdump()))
        connection.close()
    url = os.environ.get("LONGTAKE_TEST_POSTGRES_URL")
    if url is None:
        sys.exit("LONGTAKE_TEST_POSTGRES_URL names no empty database: only the SQLite ledger was written")
    with Ledger.open(url) as ledger:
        fill(ledger)
    dump = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments", url]
    said = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    # A dump also sets the session, and newer programs add commands of psql; the rows do not depend on either.
    kept = [
        line for line in said.splitlines() if not line.startswith(("SET ", "SELECT pg_catalog.set_config", "\\", "--"))
    ]
    _write("postgres", "\n".join(line for line in kept if line))


def _write(kind: str, text: str) -> None:
    path = FOLDER / f"{HEAD}.{kind}.sql"
    FOLDER.mkdir(exist_ok=True)
    here = Owner.here()
    text = text.replace(here.machine, "a machine").replace(f"'{here.host}'", "'farm1'")
    with path.open("x") as stream:
        stream.write(text + "\n")


if __name__ == "__main__":
    main()
