"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.commandline import SMALL, Longtake

pytest_plugins = ["tests.postgres"]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Ray reads its token once a process: all clusters that a process of these tests starts have the same.
os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(16)
# Two intra-op threads that wait for each other on a busy machine are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")


ON_RAY = (
    "test_ray.py",
    "test_growth.py",
    "test_nodes.py",
    "test_submit.py",
    "cluster/test_relay.py",
    "test_executors.py",
    "test_metrics.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For pytest-xdist's `--dist loadgroup`: a file's tests stay together, for the sake of its fixtures, and those that
    start Ray clusters stay with each other, since two at a time are too much for a small machine."""
    for item in items:
        path = item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group("ray" if path.endswith(ON_RAY) else path))


@pytest.fixture
def longtake(tmp_path: Path) -> Longtake:
    return Longtake(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path
