"""Fonts that this machine has, for sheets: asked of fontconfig (`fc-match`), where there is one.

Sheets are for looking at, and are in no key; the pictures of a film never depend on what a machine has.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from .errors import FontUnreadable
from .fontfile import check_font, letters_of

_BLOCK = 256
"""Code points that one question is about: about a script."""
_SECONDS = 10.0
"""For an answer. The first one on a machine may have to read all of its fonts."""


def machine_font(text: str, lacking: list[str]) -> Path | None:
    """A font of this machine with all letters of `text`, found by some of them; None when there is none."""
    for block in dict.fromkeys(ord(letter) // _BLOCK for letter in lacking):
        font = _font_of(block)
        if font is not None and not letters_of(font).missing(text):
            return font
    return None


@cache
def _font_of(block: int) -> Path | None:
    """The machine's font with most letters of a block."""
    first = block * _BLOCK
    wanted = f":scalable=true:charset={first:x}-{first + _BLOCK - 1:x}"
    try:
        told = subprocess.run(
            ["fc-match", "--format=%{file}", wanted], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
        path = Path(told.stdout)
        check_font(path)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, FontUnreadable):
        return None
    return path
