"""Deadlines: a time of day, or a date and time, as an author or a command line writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from .errors import UsageError
from .fields import refuse

TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
ALLOWED = 'a time of day ("07:00": the next one) or a date and time ("2026-12-24 18:00"); with an offset, \
or by the clock of the machine that renders'


def due(text: str, now: float) -> float:
    """Seconds since the epoch of a deadline. A time of day is the next one after `now`. Raises ValueError."""
    if found := TIME_OF_DAY.fullmatch(text.strip()):
        today = datetime.fromtimestamp(now).replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return (today if today.timestamp() > now else today + timedelta(days=1)).timestamp()
    when = datetime.fromisoformat(text.strip())
    if not re.search(r"\d[T ]\d", text):
        raise ValueError("no time of day")
    return when.timestamp()


def check_deadline(text: str | None) -> str | None:
    """What `--deadline` says, if it can be understood. Raises UsageError."""
    if text is None or _understood(text):
        return text
    raise UsageError(f"--deadline {text!r} is no time; give {ALLOWED}")


def _understood(text: str) -> bool:
    try:
        due(text, 0.0)
    except (ValueError, OverflowError, OSError):
        return False
    return True


def _deadline(value: Any) -> str:
    if not isinstance(value, str) or not _understood(value):
        raise refuse("this is no deadline", ALLOWED)
    return value


Deadline = Annotated[
    str, PlainValidator(_deadline), WithJsonSchema({"type": "string", "examples": ["07:00", "2026-12-24 18:00"]})
]
