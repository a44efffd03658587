"""Errors as messages and exit codes. Nobody sees a traceback for something that they can mend."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from cluster.errors import ClusterError
from shots.errors import ModelError, ShotsError
from storage.errors import FilmBusy, LeaseLost, StorageError

from .errors import DirectorError
from .stop import Stopped

GO_ON = "Everything that was finished is kept; run the same command to go on."


def guarded(command: Callable[[], object]) -> int:
    """Run a command; returns its exit code. Errors go to standard error, one message each."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Stopped as stopped:
        return _say(f"stopped. {GO_ON}", stopped.code, "")
    except (DirectorError, StorageError, ShotsError, ClusterError) as error:
        return _say(str(error), exit_code(error))
    except BrokenPipeError:  # `longtake plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _say(_system(error), 1)
    return 0


def exit_code(error: Exception) -> int:
    """2 for what was asked wrongly, 1 for what went wrong."""
    if isinstance(error, DirectorError):
        return error.exit_code
    return 2 if isinstance(error, ModelError | FilmBusy | LeaseLost) else 1


def _system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}. Make room. {GO_ON}"
    return f"{error.strerror or error}{where}"


def _say(text: str, code: int, prefix: str = "error: ") -> int:
    sys.stderr.write(f"{prefix}{text}\n")
    return code
