"""Takes whose files are in a store, as a camera would leave them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from storage.files import Files
from storage.ledger import Ledger
from storage.rows import SlateRow, Take
from storage.states import ProductionState
from tests.storage.examples import start_harbour, take_row


def shoot(ledger: Ledger, files: Files, production: int, key: str, worker: str = "w") -> Take:
    """Render a clip: files first, then the row. The bytes follow from the key, as pixels do."""
    (attempt,) = ledger.begin_attempts(production, [key], "cpu", worker)
    video, latents, tail = (files.put_bytes(f"{kind} of {key}".encode() * 50, ".bin") for kind in "vlt")
    return ledger.finish_attempt(attempt, take_row(key, video=video, latents=latents, tail=tail))


def produce(ledger: Ledger, files: Files, slates: list[SlateRow], film: str = "harbour", **more: Any) -> int:
    """A whole production: takes, prints, and the film's record."""
    start = start_harbour if film == "harbour" else _start(film)
    production = start(ledger, slates, **more)
    takes = [ledger.take(row.key) or shoot(ledger, files, production, row.key) for row in slates]
    for take in takes:
        ledger.record_print(take.video, "h264", files.put_bytes(f"print of {take.video}".encode(), ".mp4"), 80)
    ledger.record_film(production, f"films/{film}.mp4", film, 8, Fraction(8), "{}", "{}")
    ledger.end_production(production, ProductionState.DONE)
    return production


def _start(film: str) -> Any:
    def start(ledger: Ledger, slates: list[SlateRow], **more: Any) -> int:
        return ledger.start_production(film, film, f"{film}.yaml", "sha256:2", "{}", slates, **more)

    return start
