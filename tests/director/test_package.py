"""What is packed of storyboards, and what is not; and what a cluster plainly cannot reach."""

from __future__ import annotations

import json
import shlex
import subprocess
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.pictures import with_pictures
from director.errors import PackageInvalid, UsageError
from director.package import INDEX, contents, pack, unpack
from director.pictures import keep_pictures
from director.places import Places
from director.plan import plan
from director.storyboard import load
from director.submit import Handover, check_shared, entrypoint, is_here
from shots.anchor import read_picture
from shots.models import embedded
from shots.spec import ImageRef
from storage.address import parse
from storage.files import Files
from storage.rows import FileUse
from tests.director.conftest import shot

ODD = 'it\'s $(touch pwned); "a" & b | c\\d é.wav'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "store")


class TestPackage:
    def test_storyboards_and_sounds_come_out_as_they_went_in(self, write, sound, files, tmp_path):
        odd = sound.with_name(ODD)
        odd.write_bytes(sound.read_bytes())
        audio = [{"file": "audio/harbour.wav"}, {"file": f"audio/{ODD}"}]
        first = write(name="a b.yaml", shots=[shot("a", audio=audio)])
        second = write(name="-night.yaml", film={"id": "night"}, bed={"file": "audio/harbour.wav"})
        plans = [plan(board) for board in load([first, second])]
        id = pack(contents(plans), files)
        assert pack(contents(plans), files) == id, "equal storyboards, equal package"

        boards = unpack(files.path(id), tmp_path / "there")
        assert [board.name for board in boards] == ["a b.yaml", "-night.yaml"]
        assert len({board.parent for board in boards}) == 1
        there = [plan(board) for board in load(boards)]
        assert [p.to_json() for p in there] == [p.to_json() for p in plans]
        for name in ("harbour.wav", ODD):
            assert (boards[0].parent / "audio" / name).read_bytes() == sound.read_bytes()
        assert not list(tmp_path.rglob("pwned"))

    def test_folders_of_equal_names_stay_apart(self, tmp_path, write, files):
        boards = []
        for n in "12":
            folder = tmp_path / n / "same"
            folder.mkdir(parents=True)
            boards.append(write(name="film.yaml", film={"id": f"f{n}"}).rename(folder / "film.yaml"))
        id = pack(contents([plan(board) for board in load(boards)]), files)
        unpacked = unpack(files.path(id), tmp_path / "there")
        assert [b.read_bytes() for b in unpacked] == [b.read_bytes() for b in boards]

    def test_a_model_beside_the_storyboard_is_linked_and_one_above_it_refused(self, tmp_path, write, files):
        (tmp_path / "models").symlink_to(embedded()["pocket"].parent)
        found = contents([plan(board) for board in load(write(defaults={"model": "models/pocket", "clip_frames": 8}))])
        assert found.models == {embedded()["pocket"].resolve()}
        boards = unpack(files.path(pack(found, files)), tmp_path / "there")
        assert (boards[0].parent / "models/pocket/model_index.json").is_file()
        (tmp_path / "boards").mkdir()
        above = write(defaults={"model": "../models/pocket", "clip_frames": 8}).rename(tmp_path / "boards/film.yaml")
        with pytest.raises(UsageError, match=r"'\.\./models/pocket'.*outside of its folder.*in full"):
            contents([plan(board) for board in load(above)])

    @pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", ""])
    def test_nothing_is_written_elsewhere(self, name, tmp_path):
        path = tmp_path / "package.zip"
        with zipfile.ZipFile(path, "w") as archive:
            listed = [{"name": name, "bytes": 1}]
            index = {"format": "longtake.package.v1", "boards": [], "files": listed, "links": {}}
            archive.writestr(INDEX, json.dumps(index))
            archive.writestr("0", "x")
        with pytest.raises(PackageInvalid, match="Submit the storyboards again"):
            unpack(path, tmp_path / "there")
        assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["package.zip"]

    def test_what_is_no_package_is_said(self, tmp_path):
        path = tmp_path / "package.zip"
        path.write_text("no zip")
        with pytest.raises(PackageInvalid, match="no package of longtake"):
            unpack(path, tmp_path / "there")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(INDEX, json.dumps({"format": "longtake.package.v9"}))
        with pytest.raises(PackageInvalid, match=r"v9.*reads 'longtake.package.v1'"):
            unpack(path, tmp_path / "there")


def test_a_camera_elsewhere_finds_a_start_image_in_the_store(tmp_path, film_studio, files):
    studio = film_studio
    made = studio.plan(shot("a"))
    picture = tmp_path / "quay.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(picture)
    ref = ImageRef(str(picture), "sha256:" + sha256(picture.read_bytes()).hexdigest())
    clip = made.clips[0]
    spec = replace(clip.spec, image=ref)
    first = replace(made.shots[0], clips=(replace(clip, spec=spec), *made.shots[0].clips[1:]))
    keep_pictures(studio.ledger, studio.files, [replace(made, shots=(first,))])
    (id,) = studio.ledger.file_uses()
    assert studio.ledger.file_uses() == {id: [FileUse("picture", "f")]}
    assert with_pictures((spec,), studio.files) == (spec,), "where the path leads to it, the path is kept"
    before = read_picture(ref)
    picture.unlink()
    (there,) = with_pictures((spec,), studio.files)
    assert there.key == spec.key
    assert there.image is not None
    np.testing.assert_array_equal(read_picture(there.image), before)
    picture.write_bytes(b"another")
    assert with_pictures((spec,), studio.files) == (there,)
    assert with_pictures((spec,), files) == (spec,), "nowhere: its own error says so"


class TestShared:
    """What is refused before anything is handed over."""

    def places(self, tmp_path: Path, **given: object) -> Places:
        db = "postgresql://u:p4ssw0rd@db.farm/longtake"
        return Places(**({"data": tmp_path / "farm/data", "films": tmp_path / "films", "db": db} | given))  # type: ignore[arg-type]

    def test_a_cluster_that_shares_everything_is_taken(self, tmp_path, write):
        found = contents([plan(board) for board in load(write())])
        how = Handover(shared=[tmp_path / "farm"], films=tmp_path / "farm/films")
        check_shared(self.places(tmp_path), how, found)

    @pytest.mark.parametrize(
        ("places", "how", "said"),
        [
            ({"db": None}, {}, r"SQLite file.*--db or LONGTAKE_DB_URL"),
            ({"db": "postgresql://u@localhost/x"}, {}, r"on this machine.*--db-there"),
            ({"db": "postgresql://u@/x?host=/run/pg"}, {}, r"on this machine.*--db-there"),
            ({}, {"shared": []}, r"store .* is a folder of this machine.*--shared FOLDER.*longtake move"),
            ({}, {"films": None}, r"--films names a folder as the cluster's head sees it"),
            ({}, {"films": Path("films")}, r"must be a full path"),
        ],
    )
    def test_what_it_cannot_reach_is_refused(self, tmp_path, write, places, how, said):
        found = contents([plan(board) for board in load(write())])
        given = {"shared": [tmp_path / "farm"], "films": tmp_path / "farm/films"} | how
        with pytest.raises(UsageError, match=said) as refused:
            check_shared(self.places(tmp_path, **places), Handover(**given), found)
        assert "p4ssw0rd" not in str(refused.value)

    def test_a_model_of_this_machine_is_refused_unless_its_folder_is_shared(self, tmp_path, write):
        (tmp_path / "mine").symlink_to(embedded()["pocket"])
        found = contents([plan(board) for board in load(write(defaults={"model": "mine", "clip_frames": 8}))])
        farm = [tmp_path / "farm"]
        with pytest.raises(UsageError, match=r"the model .*pocket is a folder of this machine.*--shared FOLDER"):
            check_shared(self.places(tmp_path), Handover(shared=farm, films=tmp_path), found)
        shared = [*farm, embedded()["pocket"].resolve().parent]
        check_shared(self.places(tmp_path), Handover(shared=shared, films=tmp_path), found)

    def test_this_machine_is_known_from_others(self):
        assert is_here("http://127.0.0.1:8265")
        assert is_here("http://localhost:8265")
        assert not is_here("http://192.0.2.77:8265")
        assert not is_here("https://no.such.host.invalid")


@pytest.mark.parametrize("here", [True, False])
def test_the_line_of_a_job_is_quoted_for_its_shell(here, tmp_path):
    words = ["drive", "a $(touch pwned); 'b' \"c\" `d` & é\\", "--db", "postgresql://u@h/x?host=/a b"]
    line = entrypoint(words, here)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "longtake").write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    (bin / "longtake").chmod(0o755)
    line = line.replace("if [ -x /", "if [ -x /nowhere/")  # as on a head without this very Python
    done = subprocess.run(
        line, shell=True, executable="/bin/sh", cwd=tmp_path, env={"PATH": f"{bin}:/usr/bin:/bin"}, capture_output=True
    )
    assert done.stdout.decode().split("\0")[:-1] == words
    assert not (tmp_path / "pwned").exists()
    assert shlex.split(line.rsplit("exec longtake ", 1)[1]) == words


@pytest.mark.parametrize(
    ("given", "bare", "loopback"),
    [
        ("postgresql://u:p%40ss@db/x?sslpassword=s3cret&sslmode=require", "postgresql://u@db/x?sslmode=require", False),
        ("postgres://db:5433/x", "postgresql://db:5433/x", False),
        ("postgresql://u:p@127.0.0.1/x", "postgresql://u@127.0.0.1/x", True),
        ("postgresql://u:p@/x?host=%2Frun%2Fpg", "postgresql://u@/x?host=%2Frun%2Fpg", True),
        ("/d/ledger.sqlite", "sqlite:////d/ledger.sqlite", True),
    ],
)
def test_the_address_of_a_ledger_without_its_secrets(given, bare, loopback):
    found = parse(given)
    assert (found.bare, found.loopback) == (bare, loopback)
    assert parse(found.bare).bare == bare
