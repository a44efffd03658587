"""Addresses of ledgers: all ways to write one, and a password that never shows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.address import parse
from storage.errors import LedgerUrlInvalid


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("ledger.sqlite", "ledger.sqlite"),
        ("./.longtake/ledger.sqlite", ".longtake/ledger.sqlite"),
        ("/data/ledger.sqlite", "/data/ledger.sqlite"),
        ("sqlite:///ledger.sqlite", "ledger.sqlite"),
        ("sqlite:////data/ledger.sqlite", "/data/ledger.sqlite"),
        (Path("/data/a b?c.sqlite"), "/data/a b?c.sqlite"),
    ],
)
def test_a_path_and_an_sqlite_address_name_a_file(written: str, path: str) -> None:
    address = parse(written)
    assert address.path == Path(path)
    assert address.url.database == str(Path(path))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_postgres_means_psycopg_3(scheme: str) -> None:
    address = parse(f"{scheme}://ann:secret@db.example:5433/films?sslmode=require")
    assert address.url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://ann:secret@db.example:5433/films?sslmode=require"
    )
    assert address.shown == "postgresql://ann:***@db.example:5433/films?sslmode=require"
    assert address.path is None


@pytest.mark.parametrize(
    "written",
    [
        "mysql://ann:swordfish@host/films",
        "postgresql://ann:swordfish/extra@host/films",
        "postgresql://ann:swordfish@host:port/films",
        "sqlite://",
        ":memory:",
        "sqlite:///:memory:",
        "",
    ],
)
def test_what_cannot_be_an_address_is_refused_without_its_password(written: str) -> None:
    with pytest.raises(LedgerUrlInvalid, match="allowed is") as refused:
        parse(written)
    assert "swordfish" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_among_the_options_is_hidden_too() -> None:
    address = parse("postgresql:///films?host=/run/pg&user=ann&password=swordfish&sslpassword=herring")
    assert "swordfish" not in repr(address) + address.shown
    assert "herring" not in repr(address) + address.shown
    assert address.hide("said swordfish and herring") == "said *** and ***"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
@example("p@ss:w/rd%41?#")
def test_any_encoded_password_arrives_and_none_is_shown(password: str) -> None:
    marked = f"<{password}>"
    address = parse(f"postgresql://ann:{quote(marked, safe='')}@host/films")
    assert address.url.password == marked
    assert address.url.host == "host"
    for secret in (marked, quote(marked, safe="")):
        assert secret not in repr(address)
        assert address.hide(f"the driver says {secret}!") == "the driver says ***!"


@given(st.text("ab@:%", min_size=1).filter(lambda p: "%" not in p))
def test_an_at_sign_that_was_not_encoded_stays_in_the_password(password: str) -> None:
    address = parse(f"postgresql://ann:{password}@host/films")
    assert (address.url.username, address.url.password, address.url.host) == ("ann", password, "host")
