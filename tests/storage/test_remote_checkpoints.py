"""Checkpoints in a store elsewhere: they come there whole, beside the work, and any machine finds the furthest."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path

import fsspec
import pytest

from storage import elsewhere, errands, gc
from storage.errands import Errands
from storage.errors import FilesError
from storage.ledger import Ledger
from storage.remote import RemoteFiles
from storage.remote_checkpoints import RemoteCheckpoints
from storage.states import ProductionState
from tests.storage.examples import key_of, slates_of, start_harbour
from tests.storage.lines import Line, line
from tests.storage.stored import shoot

__all__ = ["line"]
A, B, C = (key_of(name) for name in "abc")


def packed(*keys: str, more: bytes = b"tensors") -> bytes:
    """What looks like a checkpoint of these clips."""
    header = json.dumps({"__metadata__": {"longtake": json.dumps(["Checkpoint", 1, keys, "longtake 1"])}}).encode()
    return len(header).to_bytes(8, "little") + header + more


def there(checkpoints: RemoteCheckpoints) -> dict[str, list[int]]:
    """Steps of what lies in the store, by name."""
    found: dict[str, list[int]] = {}
    for one in checkpoints._listed().values():
        found.setdefault(one.name, []).append(one.step)
    return found


def heard(checkpoints: RemoteCheckpoints, *keys: str, beyond: int = -1) -> list[tuple[str, bytes]]:
    return [(name, read()) for name, read in checkpoints.elsewhere(keys, beyond)]


@pytest.fixture(params=["memory", "folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store in each of the places."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3_bucket")) + "/films"
    places = {"memory": f"memory://{key_of(tmp_path)}/films", "folder": f"file://{tmp_path}/far/tmp/films"}
    return places[request.param]


def test_what_one_machine_keeps_another_finds_and_removes(url: str, tmp_path: Path) -> None:
    one, other = (RemoteFiles(url, tmp_path / name).checkpoints for name in ("one", "other"))
    assert isinstance(one, RemoteCheckpoints)
    assert isinstance(other, RemoteCheckpoints)
    assert heard(other, A) == []
    one.put("ab", packed(A, B), 4)
    one.put("c", packed(C), 9)
    assert one.flush(60)
    assert (heard(other, B), heard(other, C)) == ([("ab", packed(A, B))], [("c", packed(C))])
    assert (heard(other, key_of("another")), heard(other, A, beyond=4)) == ([], [])
    one.put("ab", packed(A, B, more=b"later"), 12)
    other.put("b", packed(B), 7)
    assert one.flush(60)
    assert other.flush(60)
    assert there(other) == {"ab": [12], "b": [7], "c": [9]}, "the older one went when the newer one had come"
    assert heard(other, B, beyond=3) == [("ab", packed(A, B, more=b"later")), ("b", packed(B))], "the furthest first"
    other.drop("ab")
    assert other.flush(60)
    assert there(one) == {"b": [7], "c": [9]}
    assert len(one.newest()) == 2, "what lies on another machine's disk stays there"
    other.drop("ab")
    assert other.flush(60)
    assert not other.busy


def test_what_is_cut_short_or_altered_is_never_taken_for_whole(line: str, tmp_path: Path) -> None:
    kept = RemoteCheckpoints(tmp_path, line, 0.0)
    Line.cut = 40
    kept.put("a", packed(A), 1)
    assert not kept.flush(0.5), "it tries until the line is whole again"
    fs, base = kept._far.open()
    assert Line.tries > 1
    assert fs.find(base) == [], "nothing half sent stays"
    Line.cut = 0
    assert kept.flush(60)
    ((name, read),) = kept.elsewhere([A], -1)
    (place,) = Line.sent
    for spoilt in (packed(A)[:-1], packed(A, more=b"tensorz"), packed(A)[:30]):
        Line.store[place].seek(0)
        Line.store[place].truncate()
        Line.store[place].write(spoilt)
        with pytest.raises(FilesError, match=r"line://far/films/checkpoints/a/000001-.*torn or was altered"):
            read()
    assert name == "a"
    fs.rm_file(place)
    with pytest.raises(FileNotFoundError):
        read()


def test_a_send_that_lost_bytes_without_a_word_is_no_file(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far = elsewhere.Elsewhere(line, 0.0)
    with pytest.raises(OSError, match="3 of 4 bytes arrived"):
        far.send(f"{far.base}/whole", 4, lambda fs, to: fs.pipe_file(to, b"thr"))
    assert not far.open()[0].exists(f"{far.base}/whole")


def test_nobody_waits_for_the_line_and_the_newest_wins(line: str, tmp_path: Path) -> None:
    kept = RemoteCheckpoints(tmp_path, line, 0.0)
    Line.free.clear()
    kept.put("a", packed(A), 1)
    while not Line.tries:
        time.sleep(0.01)
    for step in (2, 3, 4):
        kept.put("a", packed(A, more=b"%d" % step), step)
        assert [path.read_bytes() for path in kept.newest()] == [packed(A, more=b"%d" % step)], "here it is at once"
    assert (kept.busy, Line.sent) == (True, [])
    Line.free.set()
    assert kept.flush(60)
    assert [int(path.rsplit("/", 1)[1][:6]) for path in Line.sent] == [1, 4]
    assert there(kept) == {"a": [4]}


def test_what_is_dropped_while_it_is_sent_leaves_nothing(line: str, tmp_path: Path) -> None:
    kept = RemoteCheckpoints(tmp_path, line, 0.0)
    Line.free.clear()
    kept.put("a", packed(A), 1)
    while not Line.tries:
        time.sleep(0.01)
    kept.put("a", packed(A), 2)
    kept.drop("a")
    assert kept.newest() == []
    Line.free.set()
    assert kept.flush(60)
    assert there(kept) == {}
    assert len(Line.sent) == 1, "the second was not sent any more"


def test_a_store_that_is_away_is_told_of_once_and_gets_the_newest_when_it_is_back(
    line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = RemoteCheckpoints(tmp_path, line, 0.0)
    Line.dead = True
    for step in (1, 2, 3):
        tries = Line.tries
        kept.put("a", packed(A, more=b"%d" % step), step)
        while Line.tries < tries + 2:
            assert not kept.flush(0.05)
    assert [path.read_bytes() for path in kept.newest()] == [packed(A, more=b"3")]
    away = [each.getMessage() for each in caplog.records if "do not reach" in each.getMessage()]
    assert away == [
        "checkpoints do not reach the store line://far/films: the line is dead; they are kept on this machine, and "
        "work goes on"
    ]
    with pytest.raises(FilesError, match="has not answered"):
        heard(kept, A)
    Line.dead = False
    with caplog.at_level(logging.WARNING):
        assert kept.flush(60)
    assert "takes checkpoints again" in caplog.text
    assert there(kept) == {"a": [3]}
    assert len(Line.sent) == 1


def test_gc_knows_those_that_lie_elsewhere(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/far"
    rows = slates_of(2)
    one, other = (RemoteFiles(url, tmp_path / name) for name in ("one", "other"))
    one.checkpoints.put("done", packed(rows[0].key), 3)
    one.checkpoints.put("waiting", packed(rows[1].key), 3)
    assert one.checkpoints.flush(60)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        production = start_harbour(ledger, rows)
        shoot(ledger, one, production, rows[0].key)
        ledger.end_production(production, ProductionState.INTERRUPTED)
        assert gc.plan(ledger, other).checkpoints == {}, "they are young"
        planned = gc.plan(ledger, other, grace=-60)
        (doomed,) = planned.checkpoints
        assert str(doomed).startswith(f"{url}/checkpoints/done/000003-")
        assert planned.checkpoints[doomed] == len(packed(rows[0].key))
        assert gc.sweep(ledger, other, planned).checkpoints == planned.checkpoints
        assert [name for name, _ in other.checkpoints.elsewhere([row.key for row in rows], -1)] == ["waiting"]
    assert len(one.checkpoints.newest()) == 2


def test_the_line_rests_but_for_what_is_eager_and_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "SHARE", 1e-9)
    done: list[str] = []
    line = Errands(lambda error: done.append(str(error)), lambda: None)
    line.put("a", lambda: (time.sleep(0.01), done.append("first")))
    while "first" not in done:
        time.sleep(0.01)
    line.put("a", lambda: done.append("second"))
    line.put("b", lambda: done.append("eager"), eager=True)
    while "eager" not in done:
        time.sleep(0.01)
    assert (done, line.busy) == (["first", "eager"], True)
    assert line.flush(60)
    assert done == ["first", "eager", "second"]
    assert not line.busy
    line.put("a", lambda: done.append("never"))
    line.clear()
    assert line.flush(60)
    assert done == ["first", "eager", "second"]


def test_the_thread_ends_with_its_work(line: str, tmp_path: Path) -> None:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "longtake-errands"]

    before = set(ours())
    files = RemoteFiles(line, tmp_path)
    files.close()
    assert set(ours()) <= before, "where no checkpoint is kept there is none"
    files.checkpoints.put("a", packed(A), 1)
    assert files.checkpoints.flush(60)
    for thread in set(ours()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_what_others_have_put_beside_them_is_left_alone(tmp_path: Path) -> None:
    url = f"memory://{key_of(tmp_path)}/films"
    kept = RemoteCheckpoints(tmp_path, url, 0.0)
    fs: fsspec.AbstractFileSystem = kept._far.open()[0]
    for name in ("notes.txt", "a/notes.txt", f"a/000009-{key_of('x')}.part", f"a/000009-{key_of('empty')}.safetensors"):
        fs.pipe_file(f"{kept._base}/{name}", b"")
    kept.put("a", packed(A), 3)
    assert kept.flush(60)
    assert heard(kept, A) == [("a", packed(A))]
    assert kept.held().keys() == {kept.newest()[0], *(kept._address(place) for place in kept._listed())}
