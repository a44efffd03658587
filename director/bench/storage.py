"""The ledger and the file store alone: what a clip costs there, how it grows, and files against `sha256sum`; and what
checkpoints cost a render.

With LONGTAKE_BENCH_POSTGRES_URL, the address of an empty database that may be filled, the ledger is measured there too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from storage import gc
from storage.checkpoints import Checkpoints
from storage.files import Files
from storage.ledger import Ledger
from storage.remote_checkpoints import RemoteCheckpoints
from storage.rows import SlateRow, TakeRow

from . import Result, Row
from .planning import idle_render, record_at_once

MIB = 2**20


def measure(quick: bool) -> Result:
    """Everything in a temporary folder, on the disk that temporary folders lie on."""
    rows: list[Row] = []
    sizes = (500, 2000, 8000) if quick else (1000, 10_000, 100_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows += _files(folder, 64 if quick else 512)
        rows += _checkpoints(folder, 24 if quick else 80)
        bare = _bare(folder)
        grown = {}
        for size in sizes:
            with Ledger.open(folder / f"{size}.sqlite") as ledger:
                grown[size] = _ledger(ledger, size)
        rows += _ledger_rows("SQLite", grown, bare)
        rows.append(_idle("SQLite", 500 if quick else 10_000, None))
    if url := os.environ.get("LONGTAKE_BENCH_POSTGRES_URL"):
        with Ledger.open(url) as ledger:
            rows += _ledger_rows("Postgres", {size: _ledger(ledger, size) for size in sizes}, None)
        rows.append(_idle("Postgres", 500 if quick else 10_000, url))
    return Result("storage", rows, ["medians; files are in the disk's cache for all, as they are after rendering"])


def _idle(kind: str, clips: int, db: str | None) -> Row:
    seconds = idle_render(clips, db)
    return Row(f"{kind}: render with nothing to do, {clips} clips", f"{seconds:.2f} s", "", "< 10 s", seconds < 10)


def _files(folder: Path, mebibytes: int) -> list[Row]:
    source = folder / "source.bin"
    block = hashlib.sha256(b"longtake").digest() * (MIB // 32)
    with source.open("wb") as stream:
        for _ in range(mebibytes):
            stream.write(block)
        os.fsync(stream.fileno())
    files = Files(folder / "files")
    rival = _best(lambda: subprocess.run(["sha256sum", source], check=True, capture_output=True))
    id = files.put_file(source, ".bin", keep=True)
    put = _best(lambda: files.put_file(_moved(files, id, folder), ".bin"))
    verify = _best(lambda: files.fresh().open_verified(id))
    again = _best(lambda: files.open_verified(id))
    files.close()
    rows = []
    for what, seconds in (("put", put), ("verify at the first reading", verify)):
        value = f"{mebibytes / seconds:.0f} MiB/s"
        ratio = rival / seconds
        known = f"sha256sum {mebibytes / rival:.0f} MiB/s; ours is {ratio:.2f} times as fast"
        rows.append(Row(f"{what}, {mebibytes} MiB", value, known, ">= 0.5 times as fast", ratio >= 0.5))
    return [*rows, Row("open a file that was read before", f"{again * 1e6:.0f} us", "", "report")]


def _checkpoints(folder: Path, steps: int) -> list[Row]:
    """Sampling two clips of the pocket model with a checkpoint as often as `Bookmark` allows, against none at all.

    Asked every 0 seconds, a bookmark puts one off only while writing costs more than its share; the default of every
    30 seconds writes fewer. Elsewhere: a folder behind fsspec, to which they are sent beside the sampling.
    """
    from cluster.bookmark import SHARE, Bookmark, Every
    from shots.models import describe
    from shots.shoot import Checkpoint, load, shoot

    from .lockstep import chain

    model = load(describe("pocket"), device="cpu")
    specs = chain(2, steps)
    keys = tuple(spec.key for spec in specs)
    here, there = Checkpoints(folder / "bench"), RemoteCheckpoints(folder / "cache", f"local://{folder}/far", 0.0)
    taken: dict[str, list[float]] = {"none": [], "here": [], "elsewhere": []}
    kept, spent = dict.fromkeys(taken, 0), dict.fromkeys(taken, 0.0)
    for where in (*taken, *taken):
        every = Every(0 if where == "none" else 1e-9)
        bookmark = Bookmark(there if where == "elsewhere" else here, keys, "bench", every)

        def on_state(step: int, make: Callable[[], Checkpoint], bookmark: Bookmark = bookmark, at: str = where) -> None:
            if bookmark.due(False):
                began = time.perf_counter()
                bookmark.keep(make)
                kept[at], spent[at] = kept[at] + 1, spent[at] + time.perf_counter() - began

        began = time.perf_counter()
        list(shoot(specs, model, on_state=on_state))
        taken[where].append(time.perf_counter() - began)
        there.flush(60)
    model.close()
    rows = []
    for where, what in (
        ("here", "checkpoints as often as allowed"),
        ("elsewhere", "the same, sent to a store elsewhere"),
    ):
        share = spent[where] / sum(taken[where])
        each = spent[where] / max(1, kept[where])
        value = f"{share:.1%} of the time, {kept[where] / 2:.0f} written, {each * 1e3:.1f} ms each"
        rival = f"{min(taken[where]) / min(taken['none']) - 1:+.1%} against a run without"
        rows.append(Row(f"{what}, {steps} steps of 2 clips", value, rival, "< 2 %", share < SHARE))
    return rows


def _moved(files: Files, id: str, folder: Path) -> Path:
    """The stored file as one that was just rendered, on the same disk: put is then hash, flush and rename."""
    path = folder / "rendered.bin"
    shutil.move(files.path(id), path)
    return path


def _best(call: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _bare(folder: Path) -> float:
    """Seconds of one row written by bare sqlite3, flushed: no ledger in SQLite can record a take in less."""
    bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE rows (row TEXT)")
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO rows VALUES (?)", ("x" * 1000,))
        bare.execute("COMMIT")
        taken.append(time.perf_counter() - began)
    bare.close()
    return median(taken)


def _ledger(ledger: Ledger, size: int) -> dict[str, float]:
    """Seconds: `start` a production of `size` clips, `write` one clip (begin and finish), `work` what of it this
    process computed, `ask` for everything that a survey wants, `sweep` for what nothing needs."""
    film = f"large {size}"
    spec = json.dumps({"prompt": "a red boat floating over the sea by day", "settings": list(range(100))})
    slates = [SlateRow(f"s{n // 10:05d}", n % 10 + 1, _key(film, n), spec) for n in range(size)]
    keys = [row.key for row in slates]
    began = time.perf_counter()
    production = ledger.start_production(film, film, "large.yaml", "", "{}", slates)
    start = time.perf_counter() - began
    record_at_once(ledger, production, [_row(key) for key in keys[100:]])
    writes, works = [], []
    for key in keys[:100]:
        began, worked = time.perf_counter(), time.process_time()
        (attempt,) = ledger.begin_attempts(production, [key], "cpu", "bench")
        ledger.finish_attempt(attempt, _row(key))
        writes.append(time.perf_counter() - began)
        works.append(time.process_time() - worked)
    ask = _best(lambda: (ledger.takes(keys), ledger.latest_slates(film), ledger.failures(keys[:100])), 3)
    with tempfile.TemporaryDirectory() as folder:
        empty = Files(Path(folder))
        sweep = _best(lambda: gc.plan(ledger, empty), 1)
    return {"start": start, "write": median(writes), "work": median(works), "ask": ask, "sweep": sweep}


def _key(film: str, number: int) -> str:
    return hashlib.sha256(f"{film} {number}".encode()).hexdigest()


def _row(key: str) -> TakeRow:
    video, latents, tail = (f"sha256-{_key(key, n)}.mkv" for n in range(3))
    environment = {"torch": "2", "host": "bench", "python": "3"}
    return TakeRow(key, video, latents, tail, 16, 256, 256, key, 50, {"total": 1.0}, 17, "bench", environment, "bench")


def _ledger_rows(kind: str, grown: dict[int, dict[str, float]], bare: float | None) -> list[Row]:
    """bare: seconds of one row by a bare driver, for the kind of database that has a goal."""
    rows = []
    for size, found in grown.items():
        value = f"{found['write'] * 1e3:.2f} ms, {found['work'] * 1e3:.2f} ms of it computing"
        what = f"{kind}, {size} clips: record a clip (begin and finish)"
        if bare is None:
            rows.append(Row(what, value, "", "report"))
        else:
            rival = f"one row by bare sqlite3: {bare * 1e3:.2f} ms"
            rows.append(Row(what, value, rival, "< 5 ms", found["write"] < 5e-3))
    first, *_, last = grown
    for name, what in (
        ("start", "start a production"),
        ("ask", "all that a survey asks"),
        ("sweep", "all that nothing needs"),
    ):
        each = ", ".join(f"{found[name]:.2f} s" for found in grown.values())
        share = (grown[last][name] / last) / (grown[first][name] / first)
        label = f"{kind}: {what}, {', '.join(map(str, grown))} clips"
        rows.append(Row(label, each, f"a clip costs {share:.2f} times", "<= 1 times", share <= 1.1))
    return rows
