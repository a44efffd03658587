"""The store of files: whole or absent, never changed, found out when altered."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import FileDamaged, FileIdInvalid, FileMissing, FilesError, StoreFull, StoreUnwritable
from storage.files import Files
from tests.storage.disks import SmallDisks
from tests.storage.examples import alter
from tests.storage.processes import REPOSITORY, Worker


def left_in(files: Files) -> list[Path]:
    """What lies in the temporary folder, but for this process's own place."""
    own = files._scratch._own
    return [p for p in (files.root / "tmp").rglob("*") if own is None or p.with_suffix("") != own[2]]


def test_a_file_is_named_by_its_bytes_and_cannot_be_written(files: Files) -> None:
    id = files.put_bytes(b"a red boat", ".mkv")
    assert id == f"sha256-{hashlib.sha256(b'a red boat').hexdigest()}.mkv"
    assert files.path(id) == files.root / id[7:9] / id
    assert files.open_verified(id).read_bytes() == b"a red boat"
    assert stat.S_IMODE(files.path(id).stat().st_mode) == 0o444
    assert (files.exists(id), files.size(id), files.verify(id), list(files.ids())) == (True, 10, True, [id])
    assert left_in(files) == []


def test_a_store_that_was_only_asked_makes_nothing(files: Files) -> None:
    id = "sha256-" + "0" * 64
    assert (files.exists(id), files.verify(id), list(files.ids()), files.remove(id)) == (False, False, [], False)
    with pytest.raises(FileMissing, match="render the film again") as missing:
        files.open_verified(id)
    assert (missing.value.id, missing.value.path) == (id, files.root / "00" / id)
    assert files.sweep() == 0
    assert not files.root.exists()


def test_a_file_moves_into_the_store_or_is_kept(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "clip.MKV"
    path.write_bytes(b"frames")
    id = files.put_file(path, keep=True)
    assert path.read_bytes() == b"frames"
    assert stat.S_IMODE(path.stat().st_mode) != 0o444
    assert files.put_file(path) == id
    assert not path.exists()
    assert id.endswith(".mkv")
    assert list(files.ids()) == [id]


def test_a_file_comes_in_from_another_disk(files: Files, small_disk: SmallDisks) -> None:
    source = small_disk("1m") / "clip.mkv"
    source.write_bytes(b"frames" * 1000)
    id = files.put_file(source)
    assert not source.exists()
    assert files.open_verified(id).read_bytes() == b"frames" * 1000
    assert left_in(files) == []


def test_scratch_is_gone_at_the_end_and_a_file_in_it_can_be_stored(files: Files) -> None:
    with files.scratch() as folder:
        (folder / "a.bin").write_bytes(b"a")
        (folder / "b.bin").write_bytes(b"b")
        id = files.put_file(folder / "a.bin")
    assert not folder.exists()
    assert files.open_verified(id).read_bytes() == b"a"
    files.close()
    assert list((files.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("keep_times", [False, True])
@pytest.mark.parametrize("data", [b"", b"a red bo", b"a red boat and more", b"a rod boat"])
def test_an_altered_file_is_found_reported_and_healed(files: Files, data: bytes, keep_times: bool) -> None:
    id = files.put_bytes(b"a red boat")
    alter(files, id, data, keep_times)
    fresh = Files(files.root)  # as the next process sees it
    with pytest.raises(FileDamaged, match="is damaged") as damaged:
        fresh.open_verified(id)
    assert (damaged.value.id, damaged.value.path) == (id, files.path(id))
    assert damaged.value.expected == hashlib.sha256(b"a red boat").hexdigest()
    assert damaged.value.found == hashlib.sha256(data).hexdigest()
    assert fresh.verify(id) is files.verify(id) is False
    assert files.put_bytes(b"a red boat") == id
    assert fresh.open_verified(id).read_bytes() == b"a red boat"


def test_a_file_altered_after_its_first_reading_is_found_by_the_next(files: Files) -> None:
    id = files.put_bytes(b"a red boat")
    files.open_verified(id)
    alter(files, id, b"a rod boat")
    with pytest.raises(FileDamaged):
        files.open_verified(id)


def test_bytes_are_read_for_verification_once(files: Files, tmp_path: Path) -> None:
    """With the times kept, a second look in the same process sees no change: so it did not read."""
    id = files.put_bytes(b"a red boat")
    files.open_verified(id)
    alter(files, id, b"a rod boat", keep_times=True)
    files.open_verified(id)
    assert not files.verify(id)


def test_what_cannot_be_read_is_damaged(files: Files) -> None:
    """A folder in the file's place stands for a disk that reports an error."""
    id = files.put_bytes(b"a red boat")
    place = files.path(id)
    place.unlink()
    place.mkdir()
    with pytest.raises(FileDamaged, match=r"not to be had \(Is a directory\)"):
        files.open_verified(id)
    assert not files.verify(id)


@pytest.mark.parametrize("id", ["", "sha256-12", "sha256-" + "0" * 64 + "/../../x", "../x", "sha256-" + "G" * 64])
def test_names_that_are_none_are_refused(files: Files, id: str) -> None:
    for act in (files.path, files.exists, files.remove, files.open_verified):
        with pytest.raises(FileIdInvalid, match="does not name a stored file"):
            act(id)


@pytest.mark.parametrize("suffix", ["mkv", ".", "./../x", ".a b", ".mkv\n"])
def test_suffixes_that_are_none_are_refused(files: Files, suffix: str) -> None:
    with pytest.raises(FileIdInvalid, match="suffix"):
        files.put_bytes(b"", suffix)
    assert list(files.ids()) == left_in(files) == []


def test_a_source_that_is_not_there(files: Files, tmp_path: Path) -> None:
    with pytest.raises(FilesError, match=r"Cannot store .*nothing.mkv in .*No such file"):
        files.put_file(tmp_path / "nothing.mkv")


def test_a_full_disk_loses_nothing_and_leaves_nothing(small_disk: SmallDisks, tmp_path: Path) -> None:
    files = Files(small_disk("1m") / "files")
    id = files.put_bytes(b"a" * 500_000)
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(600_000))
    with pytest.raises(StoreFull, match=r"No space left on device\. Make room"):
        files.put_bytes(os.urandom(600_000))
    with pytest.raises(StoreFull):
        files.put_file(source)
    assert source.exists()
    assert list(files.ids()) == [id]
    assert files.verify(id)
    assert left_in(files) == []
    assert files.put_bytes(b"b" * 100_000)


def test_a_file_larger_than_allowed_is_a_full_store(tmp_path: Path) -> None:
    """The same without a disk of our own: a limit on the size of files."""
    program = (
        "import resource, signal, sys; from storage.files import Files; from storage.errors import StoreFull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: Files(sys.argv[1]).put_bytes(b'a' * 2000)\n"
        "except StoreFull as error: print(error)"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", program, str(tmp_path / "files")]
    said = subprocess.run(command, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=True)
    assert "Make room" in said.stdout
    assert list(Files(tmp_path / "files").ids()) == []


def test_a_read_only_disk_can_be_read_and_says_so_when_written(small_disk: SmallDisks) -> None:
    disk = small_disk("1m")
    with_file = Files(disk / "files")
    id = with_file.put_bytes(b"a red boat")
    with_file.close()
    small_disk.read_only(disk)
    files = Files(disk / "files")
    assert files.open_verified(id).read_bytes() == b"a red boat"
    for act in (lambda: files.put_bytes(b"other"), lambda: files.remove(id), files.scratch().__enter__):
        with pytest.raises(StoreUnwritable, match=r"Read-only file system\. Make it writable.*--data"):
            act()
    assert Files(disk / "none").verify(id) is False


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the read-only disk is tested instead")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(StoreUnwritable, match=os.strerror(errno.EACCES)):
        Files(tmp_path / "files").put_bytes(b"")


def test_a_store_travels_to_other_processes(files: Files) -> None:
    id = files.put_bytes(b"a red boat")
    other = pickle.loads(pickle.dumps(files))
    assert other.open_verified(id) == files.path(id)
    child = os.fork()
    if child == 0:
        files.put_bytes(b"from the child")
        files.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(files.ids())) == 2
    files.put_bytes(b"from the parent again")
    assert len(list(files.ids())) == 3


def test_threads_may_share_a_store(files: Files) -> None:
    def put(worker: int) -> None:
        for number in range(30):
            files.put_bytes(f"{number}".encode())  # all the same thirty
            files.put_bytes(f"{worker}/{number}".encode())

    threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(files.ids())) == 30 + 4 * 30
    assert all(files.verify(id) for id in files.ids())
    assert left_in(files) == []


def test_kill_9_while_storing_leaves_whole_files_and_sweepable_rests(
    tmp_path: Path, start: Callable[..., Worker]
) -> None:
    root = tmp_path / "files"
    for count in (1, 3, 6):
        worker = start("put_until_killed", root, tmp_path)
        assert worker.hear() == "ready"
        worker.go()
        said = [worker.hear() for _ in range(count)]
        worker.kill()
        files = Files(root)
        assert set(said) <= set(files.ids())
        assert all(files.verify(id) for id in files.ids())
        assert files.sweep() == 1
        assert list((root / "tmp").iterdir()) == []


def test_what_a_living_process_writes_is_not_swept(files: Files) -> None:
    with files.scratch() as folder:
        assert Files(files.root).sweep() == 0
        assert folder.is_dir()


def test_many_files_are_asked_for_by_listing_their_folders(files: Files) -> None:
    here = {files.put_bytes(f"{n}".encode(), ".bin") for n in range(40)}
    crowd = {f"sha256-aa{n:062x}.bin" for n in range(20)}  # one folder, and nothing of it is there
    gone = next(iter(here))
    files.remove(gone)
    assert files.present([*here, *crowd]) == here - {gone}
    (files.root / "aa").mkdir(exist_ok=True)
    for id in list(crowd)[:15]:
        (files.root / "aa" / id).write_bytes(b"")
    assert files.present([*here, *crowd]) == (here - {gone}) | set(list(crowd)[:15])
    assert files.present([]) == set()
