"""Checkpoints of half-made clips: which one is gone on from, which are left alone, and when one is written."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from cluster.bookmark import Bookmark
from shots.checkpoint import Checkpoint
from storage.checkpoints import Checkpoints


def made(keys: tuple[str, ...], step: int = 3) -> Checkpoint:
    k = len(keys)
    rows = torch.arange(k, dtype=torch.float32)
    tensors = {
        "i": torch.tensor(step),
        "x": rows.view(k, 1, 1, 1, 1).expand(k, 2, 3, 2, 2).clone(),
        "usable": torch.tensor([], dtype=torch.bool),
        "copies": rows.view(k, 1, 1, 1, 1, 1).expand(k, step, 2, 1, 2, 2).clone(),
        "nfe": torch.arange(k) + 10,
    }
    return Checkpoint(keys, tensors)


def mark(root: Path, *keys: str, by: str = "longtake 1", every: float = 30.0) -> Bookmark:
    return Bookmark(root, keys, by, every)


def test_what_was_kept_is_found_again_whole_and_in_part(tmp_path: Path) -> None:
    assert mark(tmp_path, "a", "b", "c").find() is None
    mark(tmp_path, "a", "b", "c").keep(lambda: made(("a", "b", "c")))
    whole = mark(tmp_path, "a", "b", "c").find()
    assert whole is not None
    assert (whole.keys, whole.step) == (("a", "b", "c"), 3)
    part = mark(tmp_path, "b", "c").find()
    assert part is not None
    assert part.keys == ("b", "c")
    assert part.tensors["x"][:, 0, 0, 0, 0].tolist() == [1.0, 2.0]
    assert part.tensors["copies"].shape[0] == 2
    assert part.tensors["nfe"].tolist() == [11, 12]
    assert mark(tmp_path, "c", "d").find() is None
    assert mark(tmp_path, "c", "b").find() is None


def test_the_newest_one_wins(tmp_path: Path) -> None:
    mark(tmp_path, "a", "b").keep(lambda: made(("a", "b"), 2))
    mark(tmp_path, "a").keep(lambda: made(("a",), 5))
    old, new = Checkpoints(tmp_path).newest()[1], Checkpoints(tmp_path).newest()[0]
    os.utime(old, (1, 1))
    assert new != old
    found = mark(tmp_path, "a").find()
    assert found is not None
    assert found.step == 5


def test_another_maker_s_is_left_alone_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark(tmp_path, "a", by="longtake 1").keep(lambda: made(("a",)))
    with caplog.at_level(logging.WARNING):
        assert mark(tmp_path, "a", by="longtake 2").find() is None
    assert "longtake 1" in caplog.text
    assert "longtake 2" in caplog.text
    assert mark(tmp_path, "a", by="longtake 1").find() is not None


def test_a_torn_one_is_left_alone_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark(tmp_path, "a").keep(lambda: made(("a",)))
    (path,) = Checkpoints(tmp_path).newest()
    path.write_bytes(path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert mark(tmp_path, "a").find() is None
    assert "not used" in caplog.text


def test_done_work_leaves_nothing_behind(tmp_path: Path) -> None:
    one = mark(tmp_path, "a")
    one.keep(lambda: made(("a",)))
    one.close()
    assert Checkpoints(tmp_path).newest() == []
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_when_one_is_due(tmp_path: Path) -> None:
    assert not mark(tmp_path, "a", every=30).due(done=False)
    assert mark(tmp_path, "a", every=30).due(done=True), "before decoding, always"
    assert mark(tmp_path, "a", every=1e-9).due(done=False)
    assert not mark(tmp_path, "a", every=0).due(done=True), "0 keeps none"


def test_a_disk_that_will_not_have_it_costs_no_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        mark(tmp_path, "a").keep(lambda: made(("a",)))
    assert "no checkpoint could be written" in caplog.text
    assert mark(tmp_path, "a").find() is None


def test_old_ones_are_swept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    old, new = store.put("old", b"x"), store.put("new", b"y")
    os.utime(old, (1, 1))
    assert store.sweep() == [old]
    assert store.newest() == [new]
