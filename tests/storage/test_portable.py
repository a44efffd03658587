"""A film as a folder, and a store that moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ExportInvalid, FileDamaged, FileMissing, FilmBusy, NotRecorded, StoreFull
from storage.files import Files
from storage.ledger import Ledger
from storage.portable import NAME, export_film, import_film
from storage.remote import RemoteFiles
from storage.states import AttemptState, ProductionState, Verdict
from storage.transfer import copy_files, remove_moved
from tests.storage.disks import SmallDisks
from tests.storage.examples import alter, key_of, slates_of
from tests.storage.stored import produce, shoot

KEYS = [row.key for row in slates_of(3)]


@pytest.fixture
def film(ledger: Ledger, files: Files) -> int:
    """A film with everything: a finished version, a failure, a hold, a pin, a verdict, a retake."""
    production = produce(ledger, files, slates_of(2))
    unfinished = ledger.start_production("harbour", "Later ⚓", "h.yaml", "d", '{"p": 1}', slates_of(3))
    (attempt,) = ledger.begin_attempts(unfinished, [KEYS[2]], "cuda:0", "camera 1")
    ledger.fail_attempt(attempt, "OutOfMemory", "no memory", "Traceback", "last lines")
    ledger.begin_attempts(unfinished, [KEYS[2]], "cuda:0", "camera 1")
    ledger.hold("harbour", "dawn", KEYS[2], "no memory", "digest")
    ledger.pin("harbour", "dawn", {1: KEYS[0]}, "the gull")
    ledger.judge("harbour", "dawn", {2: KEYS[1]}, Verdict.PICKED)
    ledger.add_retake("harbour", "dawn", 2**70, note="more wind")
    produce(ledger, files, slates_of(1, "other shot"), film="night")
    return production


def told(ledger: Ledger) -> dict[str, Any]:
    """All that a ledger says of the film, but for its own numbers and times of import."""
    runs = ledger.productions("harbour")
    return {
        "runs": [(p.title, p.storyboard_path, p.state, p.host, p.pid, p.started_at) for p in runs],
        "plans": [ledger.plan_json(p.id) for p in runs],
        "slates": [ledger.slates(p.id) for p in runs],
        "takes": {k: (t.video, t.latents, t.tail, t.seconds, t.environment) for k, t in ledger.takes(KEYS).items()},
        "attempts": [(a.state, a.worker, a.device, a.log_tail, a.started_at) for k in KEYS for a in ledger.attempts(k)],
        "films": [(v.path, v.file_digest, v.frames, v.created_at) for v in ledger.film_versions("harbour")],
        "prints": ledger.prints_of([t.video for t in ledger.takes(KEYS).values()], "h264"),
        "holds": [(h.shot, h.chain_key, h.reason) for h in ledger.holds("harbour")],
        "pins": [(p.clip, p.key, p.note, p.created_at) for p in ledger.pins("harbour", history=True)],
        "verdicts": [(v.clip, v.key, v.verdict) for v in ledger.verdicts("harbour")],
        "retakes": [(r.take, r.seed, r.note) for r in ledger.retakes("harbour")],
    }


def test_a_film_goes_to_another_machine_with_all_that_is_known(
    ledger: Ledger, files: Files, film: int, tmp_path: Path
) -> None:
    gone = export_film(ledger, files, "harbour", tmp_path / "harbour")
    assert (gone.files, gone.missing) == (8, {})
    assert gone.rows["productions"] == 2
    assert (tmp_path / "harbour" / NAME).stat().st_size > 1000
    expected = told(ledger)
    expected["runs"][0] = (*expected["runs"][0][:2], ProductionState.LOST, *expected["runs"][0][3:])
    expected["attempts"][-1] = (AttemptState.LOST, *expected["attempts"][-1][1:])

    there = Files(tmp_path / "there")
    with Ledger.open(tmp_path / "there.sqlite") as other:
        produce(other, there, slates_of(2, "ours"), film="ours")  # so that its numbers are others
        came = import_film(other, there, tmp_path / "harbour")
        assert (came.film, came.files, came.bytes) == ("harbour", 8, gone.bytes)
        assert told(other) == expected
        assert [f.film for f in other.films()] == ["harbour", "ours"]
        assert all(there.verify(id) for id in other.file_uses())
        assert [a.id for a in other.attempts(KEYS[0])] == [other.takes(KEYS)[KEYS[0]].attempt]

        again = import_film(other, there, tmp_path / "harbour")
        assert (set(again.rows.values()), again.files) == ({0}, 0)
        assert told(other) == expected
        last = other.start_production("harbour", "t", "p", "d", "{}", slates_of(3))
        shoot(other, there, last, KEYS[2])
        assert set(other.takes(KEYS)) == set(KEYS), "and goes on there"


def test_both_kinds_of_database_export_alike(ledger: Ledger, files: Files, film: int, tmp_path: Path) -> None:
    """What came from one goes back into the other, by way of a third."""
    export_film(ledger, files, "harbour", tmp_path / "first")
    with Ledger.open(tmp_path / "third.sqlite") as third:
        import_film(third, files, tmp_path / "first")
        export_film(third, files, "harbour", tmp_path / "second")
        once, twice = (
            json.loads(json.loads((tmp_path / name / NAME).read_text())["export"])["tables"]
            for name in ("first", "second")
        )
    numbers = ("id", "production_id", "attempt_id", "fence")
    for table, rows in once.items():
        plain = [[{k: v for k, v in row.items() if k not in numbers} for row in each] for each in (rows, twice[table])]
        assert plain[0] == plain[1], table


def test_takes_that_are_there_already_are_not_replaced(ledger: Ledger, files: Files, film: int, tmp_path: Path) -> None:
    export_film(ledger, files, "harbour", tmp_path / "harbour")
    there = Files(tmp_path / "there")
    with Ledger.open(tmp_path / "there.sqlite") as other:
        own = shoot(other, there, other.start_production("mine", "t", "p", "d", "{}", slates_of(1)), KEYS[0])
        came = import_film(other, there, tmp_path / "harbour")
        assert came.rows["takes"] == 1
        assert other.take(KEYS[0]) == own


def test_a_take_whose_file_is_damaged_is_told_of_and_left_behind(
    ledger: Ledger, files: Files, film: int, tmp_path: Path
) -> None:
    take = ledger.takes(KEYS)[KEYS[1]]
    alter(files, take.tail or "", b"x")
    gone = export_film(ledger, Files(files.root), "harbour", tmp_path / "harbour")
    assert list(gone.missing) == [take.tail]
    with Ledger.open(tmp_path / "there.sqlite") as other:
        came = import_film(other, Files(tmp_path / "there"), tmp_path / "harbour")
        assert list(came.missing) == [take.tail]
        assert list(other.takes(KEYS)) == [KEYS[0]], "the other is rendered again"


class TestWhatCameDamaged:
    """One kind of database is enough: it never comes that far."""

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        with Ledger.open(tmp_path / "ledger.sqlite") as opened:
            yield opened

    @pytest.fixture
    def folder(self, ledger: Ledger, files: Files, film: int, tmp_path: Path) -> Path:
        export_film(ledger, files, "harbour", tmp_path / "harbour")
        return tmp_path / "harbour"

    def refused(self, folder: Path, error: type[Exception], match: str, tmp_path: Path) -> None:
        with Ledger.open(tmp_path / "there.sqlite") as other:
            with pytest.raises(error, match=match):
                import_film(other, Files(tmp_path / "there"), folder)
            assert other.films() == []
        assert list(Files(tmp_path / "there").ids()) == []

    def test_an_altered_file(self, folder: Path, tmp_path: Path) -> None:
        exported = Files(folder / "files")
        alter(exported, next(exported.ids()), b"x")
        self.refused(folder, FileDamaged, "is damaged", tmp_path)

    def test_a_missing_file(self, folder: Path, tmp_path: Path) -> None:
        exported = Files(folder / "files")
        exported.remove(next(exported.ids()))
        self.refused(folder, FileMissing, "does not exist", tmp_path)

    def test_an_altered_record(self, folder: Path, tmp_path: Path) -> None:
        path = folder / NAME
        path.write_text(path.read_text().replace("the gull", "the crow"))
        self.refused(folder, ExportInvalid, "altered since it was exported", tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"export": 1, "sha256": 2}', "\x00", '{"export": "{"}'])
    def test_what_is_no_record(self, folder: Path, tmp_path: Path, text: str) -> None:
        (folder / NAME).write_text(text)
        self.refused(folder, ExportInvalid, "is not an export of longtake", tmp_path)

    def test_another_format(self, folder: Path, tmp_path: Path) -> None:
        text = '{"format": "longtake.export.v9"}'
        (folder / NAME).write_text(json.dumps({"export": text, "sha256": key_of(text)}))
        self.refused(folder, ExportInvalid, r"longtake\.export\.v9.*reads 'longtake\.export\.v1'", tmp_path)

    def test_an_export_that_did_not_end(self, folder: Path, tmp_path: Path) -> None:
        (folder / NAME).unlink()
        self.refused(folder, ExportInvalid, "did not come to an end", tmp_path)


def test_an_export_goes_on_where_it_was(ledger: Ledger, files: Files, film: int, tmp_path: Path) -> None:
    folder = tmp_path / "harbour"
    export_film(ledger, files, "harbour", folder)
    (folder / NAME).unlink()
    exported = Files(folder / "files")
    exported.remove(next(exported.ids()))
    assert export_film(ledger, files, "harbour", folder).files == 1
    (folder / "holiday.jpg").write_text("")
    with pytest.raises(ExportInvalid, match=r"holds holiday\.jpg already"):
        export_film(ledger, files, "harbour", folder)


def test_a_film_that_is_unknown_or_rendered_there(ledger: Ledger, files: Files, film: int, tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="no film 'noon'"):
        export_film(ledger, files, "noon", tmp_path / "noon")
    export_film(ledger, files, "harbour", tmp_path / "harbour")
    with ledger.claim_film("harbour"), pytest.raises(FilmBusy):
        import_film(ledger, files, tmp_path / "harbour")


def test_a_full_disk_ends_an_export_and_more_room_goes_on_with_it(
    ledger: Ledger, files: Files, film: int, small_disk: SmallDisks, tmp_path: Path
) -> None:
    folder = small_disk("64k")
    filler = folder / "files" / "filler"
    filler.parent.mkdir()
    filler.write_bytes(b"0" * 30_000)
    with pytest.raises(StoreFull, match="Make room"):
        export_film(ledger, files, "harbour", folder)
    assert not (folder / NAME).exists()
    filler.unlink()
    assert export_film(ledger, files, "harbour", folder).missing == {}
    with Ledger.open(tmp_path / "there.sqlite") as other:
        assert import_film(other, Files(tmp_path / "there"), folder).rows["takes"] == 2


class TestMoving:
    """It asks the ledger nothing but which files it names."""

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        with Ledger.open(tmp_path / "ledger.sqlite") as opened:
            yield opened

    @pytest.fixture(params=["folder", "elsewhere"])
    def target(self, request: pytest.FixtureRequest, tmp_path: Path) -> Files:
        if request.param == "folder":
            return Files(tmp_path / "new")
        return RemoteFiles(f"memory://{key_of(tmp_path)}", tmp_path / "cache")

    def test_a_store_moves_whole(self, ledger: Ledger, files: Files, film: int, target: Files) -> None:
        ids = list(files.ids())
        said: list[tuple[int, int]] = []
        moved = copy_files(ledger, files, target, lambda done, of: said.append((done, of)))
        assert (moved.whole, sorted(moved.copied), said[-1]) == (True, ids, (12, 12))
        assert list(target.ids()) == list(files.ids()) == ids
        assert copy_files(ledger, files, target).already == 12
        assert sorted(remove_moved(ledger, files, target)) == ids
        assert list(files.ids()) == []
        assert all(target.verify(id) for id in ledger.file_uses())

    def test_what_is_damaged_stays_and_is_told_of(self, ledger: Ledger, files: Files, film: int, target: Files) -> None:
        first, *rest = files.ids()
        alter(files, first, b"x")
        moved = copy_files(ledger, Files(files.root), target)
        assert list(moved.missing) == [first]
        assert not moved.whole
        assert sorted(remove_moved(ledger, files, target)) == rest
        assert list(files.ids()) == [first]

    def test_a_damaged_copy_is_made_again(self, ledger: Ledger, files: Files, film: int, tmp_path: Path) -> None:
        target = Files(tmp_path / "new")
        copy_files(ledger, files, target)
        first = next(target.ids())
        alter(target, first, b"x")
        assert list(copy_files(ledger, files, Files(target.root)).copied) == [first]
        assert target.verify(first)
