"""Errors as messages and exit codes, whatever a command ends with."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from director.complain import guarded
from director.errors import FilmWrong, UsageError
from director.stop import Stopped
from shots.errors import ModelNotFound
from storage.errors import (
    FilmBusy,
    LedgerDamaged,
    LedgerForeign,
    LedgerTooNew,
    LedgerUnreachable,
    LedgerUrlInvalid,
    StoreFull,
)


def ends(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (FilmWrong("x"), 1),
        (ModelNotFound("x"), 2),
        (FilmBusy("x", "here", 1, 0.0), 2),
        (LedgerTooNew("x"), 2),
        (LedgerForeign("x"), 2),
        (LedgerDamaged("x"), 2),
        (LedgerUrlInvalid("x"), 2),
        (LedgerUnreachable("x"), 1),
        (StoreFull("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_of_longtake(error: Exception, code: int, capsys) -> None:
    assert guarded(ends(error)) == code
    assert capsys.readouterr().err == "error: x\n"


def test_ends_that_are_no_errors() -> None:
    assert guarded(lambda: None) == 0
    assert guarded(ends(typer.Exit(4))) == 4
    assert guarded(ends(SystemExit(3))) == 3
    assert guarded(ends(SystemExit())) == 0
    assert guarded(ends(Stopped(130))) == 130


def test_a_command_of_typer_keeps_its_exit_code(capsys) -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def check() -> None:
        typer.echo("checked")
        raise typer.Exit(4)

    assert guarded(lambda: app([])) == 4
    assert capsys.readouterr().out == "checked\n"
    assert guarded(lambda: app(["--nosuch"])) == 2


def test_a_mistake_of_ours_is_one_line(capsys, caplog) -> None:
    with caplog.at_level(logging.ERROR):
        assert guarded(ends(RuntimeError("first line\nsecond line"))) == 1
    told = capsys.readouterr().err
    assert told.startswith("internal error: RuntimeError: first line second line; ")
    assert "-v" in told
    assert told.count("\n") == 1
    assert "Traceback" not in told + caplog.text
    with caplog.at_level(logging.DEBUG, logger="longtake"):
        guarded(ends(RuntimeError("first line")))
    assert "Traceback" in caplog.text


def test_what_the_system_says(tmp_path: Path, capsys) -> None:
    assert guarded(lambda: (tmp_path / "nothing").read_text()) == 1
    assert capsys.readouterr().err == f"error: No such file or directory ({tmp_path}/nothing)\n"
    assert guarded(ends(OSError(28, "No space left on device"))) == 1
    assert "Make room" in capsys.readouterr().err


def test_a_broken_pipe_of_another_kind_is_no_success() -> None:
    """Only what is printed may go unread; a render that loses a pipe to something else has failed."""
    assert guarded(ends(BrokenPipeError(32, "Broken pipe"))) == 1


def test_the_version_needs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    from director.cli import app

    assert guarded(lambda: app(["--version"])) == 0
    assert capsys.readouterr().out.startswith("0.")
