"""Wrong input at the command line: a message that helps, exit 2 (or 1 where the machine is at fault), no traceback."""

import sqlite3
from pathlib import Path

import pytest

from tests.commandline import SMALL, Longtake


def refused(longtake: Longtake, *arguments: str, code: int = 2, says: tuple[str, ...]) -> None:
    done = longtake(*arguments, code=code)
    for text in says:
        assert text in done.stderr, done.stderr
    assert not (longtake.folder / "films").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("prompt: a yellow", "promt: a yellow", ("small.yaml:", "promt", "prompt")),
        ("frames: 26", "frames: -1", ("small.yaml:", "-1")),
        ("id: night", "id: dawn", ("dawn",)),
        ("[64, 64]", "[63, 64]", ("63",)),
        ("clip_frames: 8", "clip_frames: 800", ("800",)),
        ("model: pocket", "model: pockt", ("pockt", "pocket")),
        ("clip_frames: 8", "clip_frames: 8\n  recipe: {stg: {layers: [up.9]}}", ("up.9", "up.1")),
        ("frames: 4}", "frames: 400}", ("400",)),
        ("shots:", "bed: {file: ../../etc/passwd}\nshots:", ("..",)),
    ],
)
def test_storyboards_that_cannot_be(longtake, small, old, new, says):
    assert old in SMALL
    small.write_text(SMALL.replace(old, new))
    refused(longtake, "render", "small.yaml", says=says)


def test_options_that_do_not_exist(longtake, small):
    refused(longtake, "render", "small.yaml", "--on", "moon", says=("moon", "local, ray"))
    refused(
        longtake, "render", "small.yaml", "--progress", "loud", says=("loud", "auto, live, plain, json, openjd, none")
    )
    refused(longtake, "render", "small.yaml", "--device", "banana", says=("banana", "cuda"))
    refused(longtake, "bench", "everything", says=("everything", "lockstep"))


def test_a_ledger_from_a_newer_longtake(longtake, small):
    longtake("status", "--data", "here")
    (longtake.folder / "here").mkdir(exist_ok=True)
    from storage.ledger import Ledger

    path = longtake.folder / "here/ledger.sqlite"
    Ledger.open(path).close()
    with sqlite3.connect(path) as database:
        database.execute("update longtake_version set version_num = '9999'")
    refused(longtake, "render", "small.yaml", "--data", "here", says=("9999", "newer"))
    refused(longtake, "status", "--data", "here", says=("9999",))


def test_a_ledger_that_is_no_database(longtake, small):
    (longtake.folder / ".longtake").mkdir()
    (longtake.folder / ".longtake/ledger.sqlite").write_text("this is not a database, " * 100)
    refused(longtake, "render", "small.yaml", says=("ledger.sqlite",))


def test_a_database_that_does_not_answer_and_its_password(longtake, small):
    url = "postgresql://someone:sesame@127.0.0.1:1/longtake"
    done = longtake("render", "small.yaml", "--db", url, code=1)
    assert "127.0.0.1" in done.stderr
    assert "sesame" not in done.stdout + done.stderr


def test_no_storyboard(longtake):
    refused(longtake, "render", "nothing.yaml", says=("nothing.yaml",))
    refused(longtake, "plan", "*.yaml", says=("*.yaml",))


def test_new_writes_a_storyboard_that_plans_and_never_over_a_file(longtake):
    longtake("new", "film.yaml")
    longtake("plan", "film.yaml")
    before = Path(longtake.folder / "film.yaml").read_text()
    refused(longtake, "new", "film.yaml", says=("film.yaml",))
    assert (longtake.folder / "film.yaml").read_text() == before


def test_the_examples_plan(longtake):
    root = Path(__file__).parent.parent / "examples"
    for name in ("harbour", "minimal", "every_field"):
        longtake("plan", str(root / f"{name}.yaml"))
