"""Where a line may be broken: at spaces, and between the letters of scripts that are written without them.

A small part of https://unicode.org/reports/tr14/ : Chinese and Japanese letters part anywhere, but no line begins with
a closing mark or ends with an opening one. Korean is broken at its spaces. Thai, Lao and Khmer would need a dictionary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

_NOT_FIRST = frozenset(
    "!%),.:;?]}°’”‰℃…‥‼⁇⁈⁉、。〉》」』】〕〗〙〛〜・ー々〻ゝゞヽヾぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ！％），．：；？］｝｠～"
)
_NOT_LAST = frozenset("([{‘“$#£〈《「『【〔〖〘〚（［｛｟＄＃￡￥")
_JOINER = "\u200d"


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The parts of `text` that stay together, each after what joins it to the one before on a line: a space or ''."""
    for word in text.split():
        start, gap = 0, " "
        for end, (before, after) in enumerate(pairwise(word), 1):
            if _parts(before, after):
                yield gap, word[start:end]
                start, gap = end, ""
        yield gap, word[start:]


def _parts(before: str, after: str) -> bool:
    if not (_wide(before) or _wide(after)) or before in _NOT_LAST or after in _NOT_FIRST:
        return False
    return before != _JOINER and after != _JOINER and unicodedata.category(after) not in ("Mn", "Mc", "Me", "Sk")


def _wide(letter: str) -> bool:
    """Whether it fills a square, as ideographs, kana and emoji do; Korean syllables do too, but come in words."""
    if letter.isascii() or "\uac00" <= letter <= "\ud7a3" or "\u1100" <= letter <= "\u11ff":
        return False
    return unicodedata.east_asian_width(letter) in ("W", "F")
