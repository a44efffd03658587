"""The token of a Ray cluster that asks for one: used when there is one, unless RAY_AUTH_MODE says otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def use_token() -> None:
    """Let Ray show its token where this user has one, as `ray start` itself does. Call it before ray is imported."""
    named = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
