"""Passwords and tokens never reach the ledger, a log or a message: what leaves through any of them is passed here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

SHOWN = "***"
SHORTEST = 6
"""Characters of the shortest value that is taken for a secret; shorter ones would be found in everything."""
_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_MODES = re.compile(r"(?i)[a-z]{1,12}|\d{1,8}|/.*")
"""Values that such variables hold and that are no secrets: words (`token`, `true`), numbers, paths."""
_VALUE = r"""["']?\s*[=:]\s*["']?)"""
_FORMS = (
    (re.compile(r"(?<=://)([^\s/:@\"']*):[^\s/\"']+@"), rf"\1:{SHOWN}@"),  # user:password@host
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/-]{8,}=*"), rf"\1 {SHOWN}"),
    (re.compile(r"(?i)\b((?:password|passwd|secret|api[_-]?key)" + _VALUE + r"[^\s\"'&,;)]{6,}"), rf"\1{SHOWN}"),
    (re.compile(r"(?i)\b(token" + _VALUE + r"(?=[^\s\"'&,;)]*\d)[^\s\"'&,;)]{8,}"), rf"\1{SHOWN}"),
    (re.compile(r"\b(?:hf_|ghp_|github_pat_|sk-)[A-Za-z0-9_-]{16,}"), SHOWN),  # hubs and services
    (re.compile(r"\bAKIA[A-Z0-9]{16}\b"), SHOWN),
)
_told: set[str] = set()


def keep_hidden(secrets: Iterable[str]) -> None:
    """Values that were given on the command line or in a file, for `hidden` to know."""
    _told.update(secret for secret in secrets if len(secret) >= SHORTEST)


def hidden(text: str) -> str:
    """`text` without secrets: values of this process's environment, those told, and all that looks like one."""
    for secret in sorted(_told | _of_environment(), key=len, reverse=True):
        text = text.replace(secret, SHOWN)
    for form, shown in _FORMS:
        text = form.sub(shown, text)
    return text


def _of_environment() -> set[str]:
    named = (value for name, value in os.environ.items() if _NAMES.search(name))
    return {value for value in named if len(value) >= SHORTEST and not _MODES.fullmatch(value)}
