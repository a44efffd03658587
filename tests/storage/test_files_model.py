"""The store of files against a model of it: a dict of bytes."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from storage.errors import FileDamaged
from storage.files import Files
from tests.storage.examples import alter

# Thousands of flushes to a real disk would take minutes, and prove nothing more about names and bytes.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@given(data=st.binary(max_size=200), suffix=st.from_regex(r"(\.[a-z0-9]{1,16})?", fullmatch=True))
def test_whatever_is_stored_comes_back(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory(dir=QUICK) as root:
        files = Files(root)
        id = files.put_bytes(data, suffix)
        assert files.put_bytes(data, suffix) == id
        assert files.open_verified(id).read_bytes() == data
        assert list(files.ids()) == [id]


class StoreAgainstDict(RuleBasedStateMachine):
    """A store behaves as a dict of bytes in which some entries are known to be spoiled."""

    stored = Bundle("stored")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=QUICK)
        self.files = Files(self.folder.name)
        self.whole: dict[str, bytes] = {}
        self.spoiled: set[str] = set()

    @rule(target=stored, data=st.sampled_from([b"", b"a", b"ab", b"abc" * 1000]))
    def put(self, data: bytes) -> str:
        id = self.files.put_bytes(data, ".bin")
        self.whole[id] = data
        self.spoiled.discard(id)
        return id

    @rule(id=stored, data=st.binary(min_size=4, max_size=9))
    def spoil(self, id: str, data: bytes) -> None:
        if self.files.exists(id):
            alter(self.files, id, data)
            self.spoiled.add(id)

    @rule(id=consumes(stored))
    def remove(self, id: str) -> None:
        assert self.files.remove(id) is (id in self.whole)
        self.whole.pop(id, None)
        self.spoiled.discard(id)

    @rule()
    def restart(self) -> None:
        self.files = Files(self.folder.name)

    @invariant()
    def agrees(self) -> None:
        assert list(self.files.ids()) == sorted(self.whole)
        for id, data in self.whole.items():
            if id in self.spoiled:
                with pytest.raises(FileDamaged):
                    self.files.open_verified(id)
            else:
                assert self.files.open_verified(id).read_bytes() == data

    def teardown(self) -> None:
        self.files.close()
        self.folder.cleanup()


TestStoreAgainstDict = StoreAgainstDict.TestCase
TestStoreAgainstDict.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
