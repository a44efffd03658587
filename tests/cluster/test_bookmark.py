"""Checkpoints of half-made clips: which one is gone on from, which are left alone, and when one is written."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest
import torch

from cluster.bookmark import Bookmark, Every
from shots.checkpoint import Checkpoint
from storage.checkpoints import Checkpoints
from storage.files import Files
from storage.remote import RemoteFiles
from tests.storage.lines import Line, line

__all__ = ["line"]


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


def mark(root: Path, *keys: str, by: str = "longtake 1", every: Every = Every()) -> Bookmark:
    return Bookmark(Checkpoints(root), keys, by, every)


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


def test_a_checkpoint_of_a_larger_group_stays_for_the_clips_that_come_after(tmp_path: Path) -> None:
    mark(tmp_path, "a", "b", "c").keep(lambda: made(("a", "b", "c")))
    first, last = mark(tmp_path, "a"), mark(tmp_path, "b", "c")
    assert first.find()
    first.close()
    assert last.find()
    last.close()
    assert Checkpoints(tmp_path).newest() == []


def test_when_one_is_due(tmp_path: Path) -> None:
    assert not mark(tmp_path, "a", every=Every(30)).due(done=False)
    assert mark(tmp_path, "a", every=Every(30)).due(done=True), "before decoding, always"
    assert mark(tmp_path, "a", every=Every(1e-9)).due(done=False)
    assert not mark(tmp_path, "a", every=Every(0)).due(done=True), "0 keeps none"


def test_checkpoints_may_be_counted_in_steps(tmp_path: Path) -> None:
    bookmark = mark(tmp_path, "a", every=Every.parse("3 steps"))
    assert [bookmark.due(done=False) for _ in range(3)] == [False, False, True]
    assert bookmark.behind
    bookmark.keep(lambda: made(("a",)))
    assert not bookmark.behind, "no step would be made twice"
    assert [bookmark.due(done=False) for _ in range(3)] == [False, False, True]
    assert bookmark.due(done=True)


@pytest.mark.parametrize(
    ("text", "every"),
    [("30", Every(30)), ("0.5", Every(0.5)), ("0", Every(0)), ("20s", Every(20)), ("1 step", Every(0, 1))],
)
def test_how_often_is_said_in_seconds_or_steps(text: str, every: Every) -> None:
    assert Every.parse(text) == every


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5 steps", "8 clips", "1e3"])
def test_other_words_for_how_often_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither seconds nor steps"):
        Every.parse(text)


def test_a_disk_that_will_not_have_it_costs_no_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        mark(tmp_path, "a").keep(lambda: made(("a",)))
    assert "no checkpoint could be written" in caplog.text
    assert mark(tmp_path, "a").find() is None


def test_what_is_removed_is_gone_and_what_is_not_there_is_no_matter(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    old, new = store.put("old", b"x"), store.put("new", b"y")
    os.utime(old, (1, 1))
    assert store.newest() == [new, old]
    assert store.remove([old, tmp_path / "gone already"]) == {old: 1}
    assert store.newest() == [new]
    half, other = store.folder / "new.4711.partial", store.folder / "newer.4711.partial"
    half.touch(), other.touch()
    store.drop("new")
    assert list(store.folder.iterdir()) == [other], "what was killed while it wrote one has left a half"


def stored(files: Files, by: str = "longtake 1", step: int = 3) -> tuple[str, str]:
    """Drafts of two clips, as they lie in the store."""
    a, b = (files.put_bytes(made((key,), step).to_bytes(by), ".safetensors") for key in ("draft a", "draft b"))
    return a, b


def test_a_job_goes_on_from_drafts_or_from_its_own_checkpoint_whichever_is_further(tmp_path: Path) -> None:
    files = Files(tmp_path)
    drafts = stored(files)
    begun = mark(tmp_path, "a", "b").start(files, drafts)
    assert begun is not None
    assert (begun.keys, begun.step) == (("a", "b"), 3)
    mark(tmp_path, "a", "b").keep(lambda: made(("a", "b"), 2))
    further = mark(tmp_path, "a", "b").start(files, drafts)
    assert further is not None
    assert further.step == 3
    mark(tmp_path, "a", "b").keep(lambda: made(("a", "b"), 4))
    own = mark(tmp_path, "a", "b").start(files, drafts)
    assert own is not None
    assert own.step == 4


def test_drafts_that_cannot_be_used_are_left_alone_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = Files(tmp_path)
    assert mark(tmp_path, "a", "b").start(files, stored(files, by="longtake 2")) is None
    assert "made by longtake 2, this is longtake 1" in caplog.text
    first, second = stored(files)
    torn = files.path(second)
    torn.chmod(0o644)
    torn.write_bytes(torn.read_bytes()[:-1])
    assert mark(tmp_path, "a", "b").start(files, (first, second)) is None
    assert f"{second} is damaged" in caplog.text.replace("/", " ")
    assert mark(tmp_path, "a", "b").start(files, (first, stored(files, step=4)[1])) is None
    assert "steps 3, 4" in caplog.text


LONG = tuple(hashlib.sha256(name.encode()).hexdigest() for name in "abc")
"""Keys such as clips have."""


def far(url: str, folder: Path) -> RemoteFiles:
    """The store elsewhere as the machine of that folder sees it; it asks again for half a second."""
    return RemoteFiles(url, folder, 0.5)


def kept(files: RemoteFiles, keys: tuple[str, ...], step: int, by: str = "longtake 1") -> None:
    Bookmark(files.checkpoints, keys, by).keep(lambda: made(keys, step))
    assert files.checkpoints.flush(60)


def test_another_machine_goes_on_from_the_store_whole_and_in_part(
    line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(far(line, tmp_path / "a"), LONG, 3)
    b = far(line, tmp_path / "b")
    with caplog.at_level(logging.INFO):
        whole = Bookmark(b.checkpoints, LONG, "longtake 1").find()
    assert caplog.messages[-1] == "going on from step 3 of a checkpoint in the store"
    assert whole is not None
    assert all(torch.equal(whole.tensors[name], t) for name, t in made(LONG).tensors.items())
    last = Bookmark(b.checkpoints, LONG[1:], "longtake 1")
    part = last.find()
    assert part is not None
    assert part.tensors["nfe"].tolist() == [11, 12]
    Bookmark(b.checkpoints, LONG[:1], "longtake 1").close()
    assert Bookmark(b.checkpoints, LONG, "longtake 1").find() is not None, "others may go on from it yet"
    last.close()
    assert Bookmark(b.checkpoints, LONG, "longtake 1").find() is None, "its last clip is stored, wherever it was begun"


def test_what_lies_here_is_taken_unless_the_store_has_one_that_is_further(line: str, tmp_path: Path) -> None:
    a, b = far(line, tmp_path / "a"), far(line, tmp_path / "b")
    kept(a, LONG, 5)
    Line.dead = True
    Bookmark(a.checkpoints, LONG, "longtake 1").keep(lambda: made(LONG, 6))
    a.checkpoints.close()
    assert steps(a) == 6, "the store is away, but this disk is not"
    Line.dead = False
    assert (steps(a), steps(b)) == (6, 5)
    kept(b, LONG, 9)
    assert (steps(a), steps(b)) == (9, 9)


def test_those_in_the_store_that_cannot_be_used_are_left_alone_and_said(
    line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(far(line, tmp_path / "a"), LONG[:1], 2)
    kept(far(line, tmp_path / "other"), LONG[:2], 8, by="longtake 2")
    kept(far(line, tmp_path / "torn"), LONG, 7)
    torn = Line.store[Line.sent[-1]]
    torn.truncate(len(torn.getvalue()) - 9)
    b = far(line, tmp_path / "b")
    found = Bookmark(b.checkpoints, LONG[:1], "longtake 1").find()
    assert found is not None
    assert found.step == 2, "the furthest that can be used"
    assert "made by longtake 2, this is longtake 1" in caplog.text
    assert "is torn or was altered" in caplog.text


def test_a_store_that_is_away_costs_no_clip(line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = far(line, tmp_path)
    Line.dead = True
    bookmark = Bookmark(files.checkpoints, LONG, "longtake 1")
    assert bookmark.find() is None
    assert "checkpoints of other machines are not looked for: The store line://far/films has not" in caplog.text
    bookmark.keep(lambda: made(LONG, 4))
    assert len(files.checkpoints.newest()) == 1
    Line.dead = False
    assert files.checkpoints.flush(60)
    assert steps(far(line, tmp_path / "b")) == 4


def steps(files: RemoteFiles) -> int:
    found = Bookmark(files.checkpoints, LONG, "longtake 1").find()
    return found.step if found else -1
