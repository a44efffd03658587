"""What may be told of a film, and the web addresses that may be told it."""

from __future__ import annotations

from urllib.parse import urlsplit

EVENTS = ("film_begun", "clip_done", "shot_failed", "film_done", "film_partial", "film_failed", "run_stopped")
MOST_LETTERS = 2000


def web_address(text: str, secrets: bool = False) -> str:
    """`text`, when it is an address that can be posted to. Raises ValueError, saying what is wrong.

    secrets: whether it may hold a user and password.
    """
    if any(not 32 < ord(letter) < 127 for letter in text) or len(text) > MOST_LETTERS:
        raise ValueError("not a web address: it may hold no blanks and only plain letters")
    address = urlsplit(text)
    if address.scheme.lower() not in ("http", "https") or not address.hostname:
        raise ValueError("not a web address: it begins with http:// or https:// and a host")
    if address.username is not None and not secrets:
        raise ValueError("a storyboard is no place for a password: give the address with --hook or in LONGTAKE_HOOKS")
    _ = address.port  # raises ValueError for one out of range
    return text
