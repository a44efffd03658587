"""A place that is told of an event: a web address, by POST, or a command, without a shell."""

from __future__ import annotations

import base64
import json
import logging
import os
import shlex
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

from cluster.environment import installed
from cluster.secrets import SHOWN, hidden, keep_hidden

from .addresses import web_address

log = logging.getLogger("longtake.hooks")
ANSWER_SECONDS = 10.0
PAUSES = (0.5, 2.0, 8.0)
"""Seconds before the second, third and fourth try."""
AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which it is worth to ask once more."""
COMMAND_SECONDS = 3600.0
MOST_CHARACTERS = 32_768
"""Of one variable: Linux takes no more than 128 KiB."""
TAIL = 2000


@dataclass(frozen=True)
class Target:
    """Who is told of `event`: `url` by POST, or else `command`."""

    event: str
    url: str = ""
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, event: str, what: str) -> Self:
        """The target that a text names: an address when it begins with http:// or https://, else a command.

        Raises ValueError, saying what is wrong.
        """
        if what.lower().startswith(("http://", "https://")):
            web_address(what, secrets=True)
            return cls(event, what)
        command = tuple(shlex.split(what))
        if not command:
            raise ValueError("the command is empty")
        return cls(event, command=command)

    @property
    def shown(self) -> str:
        """The target for logs: an address without its path, which may be a secret; a command's program."""
        if not self.url:
            return f"the hook {self.command[0]!r}"
        address = urlsplit(self.url)
        host = address.netloc.rpartition("@")[2]
        rest = f"/{SHOWN}" if address.path.strip("/") or address.query else ""
        return f"the web hook {address.scheme}://{host}{rest}"

    @property
    def secret(self) -> bool:
        """Whether its address holds what may be a password or a token."""
        return bool(self.url and _secrets(urlsplit(self.url)))

    def tell(self, document: dict[str, Any]) -> None:
        """Tell it, again where that may help. Raises OSError, HTTPException or HookFailed when it could not be told."""
        if self.url:
            keep_hidden(_secrets(urlsplit(self.url)))
            _post(self.url, document)
        else:
            _run(self.command, document)


class HookFailed(Exception):
    """A command ended with another code than 0, or took too long."""


def variables(document: dict[str, Any]) -> dict[str, str]:
    """LONGTAKE_EVENT, LONGTAKE_FILM, LONGTAKE_FILE, ... of an event; LONGTAKE_JSON holds all of it."""
    flat = {name: "\n".join(value) if isinstance(value, list) else str(value) for name, value in document.items()}
    flat.pop("schema", None)
    told = {f"LONGTAKE_{name.upper()}": value for name, value in flat.items()}
    told["LONGTAKE_JSON"] = json.dumps(document, ensure_ascii=False)
    return {name: value.replace("\0", "")[:MOST_CHARACTERS] for name, value in told.items()}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A storyboard names one address, and no other is asked in its place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(url: str, document: dict[str, Any]) -> None:
    address = urlsplit(url)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"longtake/{installed('longtake')}",
        "X-Longtake-Event": document["event"],
        "X-Longtake-Delivery": str(uuid.uuid4()),  # the same for every try
    }
    if address.username is not None:
        pair = f"{address.username}:{address.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        url = urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
    body = json.dumps(document, ensure_ascii=False).encode()
    request = urllib.request.Request(url, body, headers, method="POST")
    for pause in (*PAUSES, None):
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=ANSWER_SECONDS):
                return
        except (OSError, HTTPException) as error:  # urllib's own errors are OSErrors
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if pause is None or (code is not None and code not in AGAIN):
                raise
            log.debug("asking again in %.1f s: %s", pause, hidden(str(error)))
            time.sleep(pause)


def _run(command: tuple[str, ...], document: dict[str, Any]) -> None:
    """The command with the event in its environment and, as JSON, on its standard input."""
    environment = os.environ | variables(document)
    text = json.dumps(document, ensure_ascii=False).encode()
    # Files, not pipes: what the command leaves running in the background may keep them open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(text)
        given.seek(0)
        try:
            code = subprocess.run(
                command, env=environment, stdin=given, stdout=said, stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            raise HookFailed(f"it took more than {COMMAND_SECONDS:.0f} s and was ended") from None
        said.seek(max(0, said.seek(0, os.SEEK_END) - TAIL))
        tail = " ".join(said.read().decode(errors="replace").split())
    if code:
        raise HookFailed(f"it ended with exit code {code}" + (f": {tail}" if tail else ""))
    log.debug("%s: %s", command[0], hidden(tail))


def _secrets(address: SplitResult) -> list[str]:
    """What of an address may be a secret: its password, and whatever follows the host."""
    rest = [part for part in (*address.path.split("/"), address.query) if len(part) >= 16]
    return [part for part in (address.password, *rest) if part]
