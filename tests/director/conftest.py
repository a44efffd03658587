"""Storyboards for tests: built as data, written as YAML or JSON."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.director.studio import Studio

HEAD = {"schema": "longtake.storyboard.v1", "film": {"id": "f", "fps": 8, "size": [64, 64], "seed": 3}}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(shots=[...], film={...}, ...) -> path of a storyboard; what is not given is small and valid."""

    def make(name: str = "film.yaml", **parts: Any) -> Path:
        data = HEAD | {"defaults": {"clip_frames": 8}, "shots": [shot("a")]} | parts
        data["film"] = HEAD["film"] | parts.get("film", {})  # type: ignore[operator]
        path = tmp_path / name
        path.write_text(json.dumps(data, indent=1))  # JSON is YAML, so both readers take it
        return path

    return make


@pytest.fixture
def shot_of() -> Callable[..., dict[str, Any]]:
    return shot


def shot(id: str, **fields: Any) -> dict[str, Any]:
    length = {} if {"seconds", "frames"} & set(fields) else {"seconds": 2}
    return {"id": id, "prompt": "a red boat moving left over the sea by day"} | length | fields


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A tenth of a second of silence, at audio/harbour.wav."""
    path = tmp_path / "audio" / "harbour.wav"
    path.parent.mkdir()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    return path


@pytest.fixture
def film_studio(tmp_path: Path) -> Iterator[Studio]:
    """A film at a real ledger and store, without a model."""
    from tests.director.studio import Studio

    studio = Studio(tmp_path)
    yield studio
    studio.ledger.close()
