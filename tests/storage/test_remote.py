"""The store at an fsspec URL: memory, another folder, and S3 where its packages are installed."""

from __future__ import annotations

import os
import pickle
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from storage.errors import (
    FileDamaged,
    FileMissing,
    FilesError,
    StoreUnknown,
    StoreUnreachable,
    StoreUnwritable,
)
from storage.files import Files
from storage.remote import RemoteFiles, open_files
from tests.storage.examples import alter, key_of


class Moody(MemoryFileSystem):  # type: ignore[misc]
    """A place in memory that now and then does not answer, sends half a file, or lets nobody write."""

    protocol = "moody"
    silent = 0
    halves = 0
    forbidden = False
    asked = 0

    def _mood(self) -> None:
        Moody.asked += 1
        if Moody.silent:
            Moody.silent -= 1
            raise ConnectionResetError("the line is dead")

    def put_file(self, lpath: str, rpath: str, **more: Any) -> None:
        self._mood()
        if Moody.forbidden:
            raise PermissionError("not for you")
        if Moody.halves:
            Moody.halves -= 1
            self.pipe_file(rpath, Path(lpath).read_bytes()[:-1])
            return
        super().put_file(lpath, rpath, **more)

    def get_file(self, rpath: str, lpath: str, **more: Any) -> None:
        self._mood()
        super().get_file(rpath, lpath, **more)


fsspec.register_implementation("moody", Moody, clobber=True)


@pytest.fixture
def moody() -> Iterator[str]:
    Moody.silent = Moody.halves = Moody.asked = 0
    Moody.forbidden = False
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield "moody://store"
    MemoryFileSystem.store.clear()


@pytest.fixture(params=["memory", "folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteFiles:
    """An empty store elsewhere, in each of the places."""
    if request.param == "s3":
        url = request.getfixturevalue("s3_bucket") + "/films"
    else:
        url = {"memory": f"memory://{key_of(tmp_path)}/films", "folder": f"file://{tmp_path}/far/tmp/films"}[
            request.param
        ]
    return RemoteFiles(url, tmp_path / "here")


def elsewhere(remote: RemoteFiles, folder: Path) -> RemoteFiles:
    """The same store as another machine sees it."""
    return RemoteFiles(remote.url, folder)


def spoil(remote: RemoteFiles, id: str, data: bytes) -> None:
    """Write over a file in the store elsewhere."""
    remote._far.open()[0].pipe_file(remote._there(id), data)


def test_what_one_machine_stores_another_has(remote: RemoteFiles, tmp_path: Path) -> None:
    assert list(remote.ids()) == []
    id = remote.put_bytes(b"a red boat", ".mkv")
    source = tmp_path / "clip.mkv"
    source.write_bytes(b"frames" * 10_000)
    second = remote.put_file(source)
    assert not source.exists()
    other = elsewhere(remote, tmp_path / "there")
    assert (other.exists(id), other.size(id), other.size(second)) == (True, 10, 60_000)
    path = other.open_verified(second)
    assert path.read_bytes() == b"frames" * 10_000
    assert path.is_relative_to(tmp_path / "there")
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list(other.ids()) == sorted([id, second])
    gone = "sha256-" + "0" * 64
    assert other.present([id, second, gone]) == {id, second}
    assert other.remove(id)
    assert not other.remove(id)
    assert not remote.exists(id)
    assert pickle.loads(pickle.dumps(other)).open_verified(second) == path


def test_what_is_not_there_is_missing_by_its_address(remote: RemoteFiles) -> None:
    id = "sha256-" + "0" * 64
    assert (remote.exists(id), remote.verify(id), remote.set_aside(id), remote.mend(id)) == (False, False, None, False)
    for act in (remote.open_verified, remote.path, remote.size):
        with pytest.raises(FileMissing, match="render the film again") as missing:
            act(id)
        assert missing.value.shown == remote.place(id) == f"{remote.url}/00/{id}"
        assert missing.value.path == remote.root / "00" / id


def test_what_was_altered_elsewhere_is_found_and_mended_from_the_copy_here(remote: RemoteFiles, tmp_path: Path) -> None:
    id = remote.put_bytes(b"a red boat")
    spoil(remote, id, b"a rod boat")
    other = elsewhere(remote, tmp_path / "there")
    with pytest.raises(FileDamaged) as damaged:
        other.open_verified(id)
    assert damaged.value.shown in str(damaged.value)
    assert (damaged.value.expected, damaged.value.found) == (key_of("a red boat"), key_of("a rod boat"))
    assert list(other.root.glob("??/sha256-*")) == [], "what is not whole is not kept"
    assert not remote.verify(id)
    assert not other.mend(id)
    assert remote.mend(id)
    assert other.open_verified(id).read_bytes() == b"a red boat"


def test_a_copy_here_that_was_altered_is_fetched_again(remote: RemoteFiles) -> None:
    id = remote.put_bytes(b"a red boat")
    alter(Files(remote.root), id, b"a rod boat")
    assert remote.open_verified(id).read_bytes() == b"a red boat"


def test_a_damaged_file_is_set_aside_and_a_new_one_takes_its_place(remote: RemoteFiles) -> None:
    id = remote.put_bytes(b"a red boat")
    spoil(remote, id, b"a rod boat")
    aside = remote.set_aside(id)
    assert aside is not None
    assert aside.name == id
    assert not remote.exists(id)
    assert list(remote.ids()) == []
    assert remote.put_bytes(b"a red boat") == id
    assert remote.verify(id)


def test_what_was_half_sent_a_day_ago_is_swept(tmp_path: Path) -> None:
    remote = RemoteFiles(f"file://{tmp_path}/far", tmp_path / "here")
    remote.put_bytes(b"a")
    fs, base = remote._far.open()
    now = int(time.time())
    for age in (10, 2 * 24 * 3600):
        fs.pipe_file(f"{base}/tmp/{now - age}-half", b"x")
    assert remote.sweep() == 1
    assert len(fs.find(f"{base}/tmp")) == 1
    assert len(list(remote.ids())) == 1


def test_a_store_that_does_not_answer_is_asked_again(moody: str, tmp_path: Path) -> None:
    remote = RemoteFiles(moody, tmp_path / "here", patience=30)
    Moody.silent = 2
    id = remote.put_bytes(b"a red boat")
    assert Moody.asked == 3
    Moody.silent = 1
    assert elsewhere(remote, tmp_path / "there").open_verified(id).read_bytes() == b"a red boat"


def test_a_file_that_arrived_cut_short_is_sent_again(moody: str, tmp_path: Path) -> None:
    Moody.halves = 1
    remote = RemoteFiles(moody, tmp_path / "here")
    assert remote.size(remote.put_bytes(b"a red boat")) == 10
    assert Moody.asked == 2


def test_a_store_that_stays_away_is_named_and_what_is_here_stays(moody: str, tmp_path: Path) -> None:
    remote = RemoteFiles(moody, tmp_path / "here", patience=0.5)
    Moody.silent = 1000
    with pytest.raises(StoreUnreachable, match=r"moody://store has not answered for 0 s: the line is dead\. Check"):
        remote.put_bytes(b"a red boat")
    Moody.silent = 0
    assert list(remote.ids()) == []
    id = remote.put_bytes(b"a red boat")
    assert remote.verify(id)


def test_a_store_that_may_not_be_written_says_so_at_once(moody: str, tmp_path: Path) -> None:
    Moody.forbidden = True
    with pytest.raises(StoreUnwritable, match=r"not for you\. Check the credentials"):
        RemoteFiles(moody, tmp_path / "here").put_bytes(b"a red boat")
    assert Moody.asked == 1


def test_a_bucket_that_does_not_exist(s3_bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnwritable, match="Check that the bucket or the folder above it exists"):
        RemoteFiles(f"{s3_bucket}-gone/films", tmp_path / "here").put_bytes(b"a red boat")


def test_a_full_disk_elsewhere(tmp_path: Path, small_disk: Any) -> None:
    remote = RemoteFiles(f"file://{small_disk('1m')}/films", tmp_path / "here")
    small = remote.put_bytes(b"a" * 1000)
    with pytest.raises(FilesError, match="Make room there"):
        remote.put_bytes(b"a" * 2_000_000)
    assert list(remote.ids()) == [small]


def test_a_forked_child_opens_the_store_again(tmp_path: Path) -> None:
    remote = RemoteFiles(f"file://{tmp_path}/far", tmp_path / "here")
    id = remote.put_bytes(b"a")
    child = os.fork()
    if child == 0:
        os._exit(0 if remote.exists(id) and remote.put_bytes(b"b") in set(remote.ids()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(remote.ids())) == 2


def test_an_address_says_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    assert type(open_files(tmp_path / "files")) is type(open_files(f"file://{tmp_path}/files")) is Files
    assert open_files(f"file://{tmp_path}/files").root == tmp_path / "files"
    far = open_files("memory://bucket/films")
    assert isinstance(far, RemoteFiles)
    assert far.root.parent == tmp_path / "cache"
    assert far.root != open_files("memory://bucket/others").root
    with pytest.raises(StoreUnknown, match=r"nowhere://x.*Protocol not known.*Allowed are a folder"):
        open_files("nowhere://x")


def test_no_secret_of_an_address_is_shown(tmp_path: Path) -> None:
    remote = RemoteFiles("memory://ann:swordfish@host/films?key=swordfish", tmp_path)
    assert remote.shown == "memory://***@host/films"
    with pytest.raises(FileMissing) as missing:
        remote.open_verified("sha256-" + "0" * 64)
    assert "swordfish" not in str(missing.value) + repr(remote)
