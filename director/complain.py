"""Errors as messages and exit codes. Nobody sees a traceback for something that they can mend."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable

import typer

from cluster.errors import ClusterError
from cluster.secrets import hidden
from shots.errors import ModelError, ShotsError
from storage.errors import (
    FilmBusy,
    LeaseLost,
    LedgerDamaged,
    LedgerForeign,
    LedgerTooNew,
    LedgerUrlInvalid,
    StorageError,
)

from .errors import DirectorError
from .stop import Stopped
from .streams import unbroken

log = logging.getLogger("longtake.complain")
GO_ON = "Everything that was finished is kept; run the same command to go on."
ASKED_WRONGLY = (ModelError, FilmBusy, LeaseLost, LedgerDamaged, LedgerForeign, LedgerTooNew, LedgerUrlInvalid)


def guarded(command: Callable[[], object]) -> int:
    """Run a command; returns its exit code. Errors go to standard error, one message each.

    Nobody has to read what it prints: behind `| head` it goes on to its own end and its own exit code.
    """
    with unbroken():
        return _code(command)


def _code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except typer.Exit as end:
        return end.exit_code
    except Stopped as stopped:
        return _say(f"stopped. {GO_ON}", stopped.code, "")
    except (DirectorError, StorageError, ShotsError, ClusterError) as error:
        return _say(str(error), exit_code(error))
    except OSError as error:
        return _say(_system(error), 1)
    except Exception as error:
        log.debug("internal error", exc_info=True)
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"{what}; run again with `longtake -v` for the trace, and please report it", 1, "internal error: ")
    return 0


def exit_code(error: Exception) -> int:
    """2 for what was asked wrongly, 1 for what went wrong."""
    if isinstance(error, DirectorError):
        return error.exit_code
    return 2 if isinstance(error, ASKED_WRONGLY) else 1


def _system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}. Make room. {GO_ON}"
    return f"{error.strerror or error}{where}"


def _say(text: str, code: int, prefix: str = "error: ") -> int:
    sys.stderr.write(f"{prefix}{hidden(text)}\n")
    return code
