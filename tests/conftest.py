"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commandline import SMALL, Longtake

pytest_plugins = ["tests.postgres"]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Two intra-op threads that wait for each other on a busy machine are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def longtake(tmp_path: Path) -> Longtake:
    return Longtake(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path
