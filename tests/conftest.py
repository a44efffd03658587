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


def _group(file: str) -> str:
    """A file's tests stay together, for the sake of its fixtures, and those that start Ray clusters stay with each
    other, since two at a time are too much for a small machine."""
    return "ray" if file.endswith(ON_RAY) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that two processes end at about the same time: Ray, whole commands, then the rooms."""
    end_to_end = Path(__file__).parent
    items.sort(key=lambda item: (_group(item.path.as_posix()) != "ray", item.path.parent != end_to_end))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """pytest-xdist by our groups. Not by its `--dist loadgroup`: with pytest 9.2 that silently groups nothing."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


@pytest.fixture
def longtake(tmp_path: Path) -> Longtake:
    return Longtake(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path
