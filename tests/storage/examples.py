"""Clips, takes and productions to put into a ledger, and harm to do to files."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import Any

from storage.files import Files
from storage.ledger import Ledger
from storage.rows import SlateRow, TakeRow


def key_of(name: object) -> str:
    """A clip's key, as if `name` were its spec."""
    return sha256(str(name).encode()).hexdigest()


def slates_of(count: int, shot: str = "dawn") -> list[SlateRow]:
    """A shot of `count` clips."""
    return [
        SlateRow(shot, i, key_of((shot, i)), json.dumps({"clip": i, "of": shot}), "new") for i in range(1, count + 1)
    ]


def take_row(key: str, **changed: Any) -> TakeRow:
    """A take of the clip `key`."""
    given = {
        "key": key,
        "video": f"sha256-{key_of(key + 'video')}.mkv",
        "latents": f"sha256-{key_of(key + 'latents')}.safetensors",
        "tail": f"sha256-{key_of(key + 'tail')}.safetensors",
        "frames": 16,
        "width": 64,
        "height": 48,
        "frames_digest": key_of(key + "frames"),
        "nfe": 50,
        "seconds": {"network": 1.5, "total": 2.0},
        "bytes": 12345,
        "code_version": "0.1.0",
        "environment": {"torch": "2.13", "cores": 2},
        "model_digest": "sha256:pocket",
    }
    return TakeRow(**(given | changed))


def start_harbour(ledger: Ledger, slates: list[SlateRow], **more: Any) -> int:
    """A production of the film "harbour"."""
    return ledger.start_production("harbour", "The harbour", "harbour.yaml", "sha256:1", "{}", slates, **more)


def alter(files: Files, id: str, data: bytes, keep_times: bool = False) -> None:
    """Write over a stored file, as a broken disk or a careless hand would."""
    path = files.path(id)
    times = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    if keep_times:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
