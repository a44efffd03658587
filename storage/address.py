"""Where the ledger lives: a path, `sqlite:///...` or `postgresql://...`. The password stays in here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from .errors import LedgerUrlInvalid

_ALLOWED = "a path, sqlite:///relative.sqlite, sqlite:////absolute.sqlite or postgresql://user:password@host:port/name"
_SECRET_OPTIONS = ("password", "sslpassword", "passfile")
_SCHEMES = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


@dataclass(frozen=True)
class Address:
    """`path` is the SQLite file, None for Postgres; `shown` may be printed."""

    url: URL = field(repr=False)
    shown: str
    path: Path | None
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def bare(self) -> str:
        """The address without its secrets, for a machine that has them by itself (PGPASSWORD, ~/.pgpass)."""
        if self.path is not None:
            return f"sqlite:///{self.path.absolute()}"
        url = self.url.difference_update_query(_SECRET_OPTIONS)
        parts = url.username, None, url.host, url.port, url.database, url.query
        return URL.create("postgresql", *parts).render_as_string()

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it: a file, a socket, or a server that is said to be here."""
        hosts = [self.url.host, self.url.query.get("host"), self.url.query.get("hostaddr")]
        named = [host for host in hosts if isinstance(host, str) and host]
        return not named or any(host.startswith(("/", "127.", "localhost", "::1", "[::1]")) for host in named)

    def hide(self, text: str) -> str:
        """`text` without the password, should a driver have put it there."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse(address: str | Path) -> Address:
    """The address of a ledger, taken apart. Raises LedgerUrlInvalid, which shows nothing but the scheme."""
    text = str(address)
    if "://" not in text:
        return _sqlite(text)
    scheme, _, rest = text.partition("://")
    if scheme not in _SCHEMES:
        raise LedgerUrlInvalid(f"The ledger's address begins with {scheme!r}://; allowed is {_ALLOWED}.")
    if scheme == "sqlite":
        return _sqlite(rest.removeprefix("/"))
    return _postgres(_SCHEMES[scheme], rest)


def _sqlite(name: str) -> Address:
    if name in ("", ":memory:") or "\x00" in name or name.startswith("file:"):
        raise LedgerUrlInvalid(f"The ledger cannot live at {name!r}: it must be a file; allowed is {_ALLOWED}.")
    path = Path(name).expanduser()
    return Address(URL.create("sqlite", database=str(path)), str(path), path, ())


def _postgres(driver: str, rest: str) -> Address:
    url = _url(driver, rest)
    options = {k: v for k, v in url.query.items() if k not in _SECRET_OPTIONS}
    shown = url.set(drivername="postgresql", query=options).render_as_string(hide_password=True)
    asked = [url.password, *(url.query.get(k) for k in _SECRET_OPTIONS)]
    secrets = tuple(s for s in asked if isinstance(s, str) and s)
    return Address(url, shown, None, (*secrets, *(quote(s, safe="") for s in secrets)))


def _url(driver: str, rest: str) -> URL:
    """SQLAlchemy would cut `user:p@ss@host` at the first @ and then name part of the password as the host."""
    authority, slash, tail = re.match(r"([^/?]*)([/?]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, host = authority.rpartition("@")
    name, colon, password = user.partition(":")
    encoded = quote(unquote(name), safe="") + colon + quote(unquote(password), safe="")
    try:
        if "@" in tail.partition("?")[0] or re.search(r"[\s\x00]", host):
            raise ValueError
        return make_url(f"{driver}://{encoded}{at}{host}{slash}{tail}")
    except (ArgumentError, ValueError):
        raise LedgerUrlInvalid(
            "The ledger's postgresql:// address cannot be read (it is not shown here, as it may hold a password); "
            "allowed is postgresql://user:password@host:port/name, with / @ : % in the password written as "
            "%2F %40 %3A %25."
        ) from None
