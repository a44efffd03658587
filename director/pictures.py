"""Start images in the store, where cameras on other machines find them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from storage.files import Files
from storage.ledger import Ledger

from .package import everything
from .planned import Plan


def keep_pictures(ledger: Ledger, files: Files, plans: Iterable[Plan]) -> None:
    """Store the pictures that the plans' shots begin with, and tell the ledger that they are needed.

    One that has changed since the plan was made is left out; its clip says so when it is rendered.
    """
    for plan in plans:
        images = {clip.spec.image for clip in everything(plan) if clip.spec.image}
        kept = set()
        for image in images:
            id = f"sha256-{image.digest.removeprefix('sha256:')}"
            try:
                data = Path(image.path).read_bytes()
            except OSError:
                continue
            if id == f"sha256-{hashlib.sha256(data).hexdigest()}":
                kept.add(id if files.exists(id) else files.put_bytes(data))
        if images:
            ledger.keep_pictures(plan.film, kept)
