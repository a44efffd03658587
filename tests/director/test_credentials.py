"""A film signed with a test certificate, read back by the C2PA library. Runs where longtake[c2pa] is installed."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from director.credentials import read, sign
from director.errors import UsageError
from tests.director.conftest import shot
from tests.director.studio import Studio

pytest.importorskip("c2pa", reason="NOT EXERCISED: content credentials need the extra c2pa")
pytest.importorskip("cryptography", reason="NOT EXERCISED: a test certificate needs cryptography")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """(chain, key) of a signer whom a test authority vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)]
        )

    def made(subject: str, key, issuer: str, by, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        return builder.sign(by, hashes.SHA256())

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = [
        made("Test Signer", own, "Test Authority", root, False),
        made("Test Authority", root, "Test Authority", root, True),
    ]
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(own.private_bytes(serialization.Encoding.PEM, pem, plain))
    return folder / "chain.pem", folder / "key.pem"


@pytest.fixture
def film(film_studio: Studio) -> Path:
    film_studio.render(film_studio.plan(shot("a", frames=12), shot("b", frames=8, prompt="a yellow moon")))
    return film_studio.places.films / "f.mp4"


def test_a_signed_film_says_what_made_it(film: Path, certificate, tmp_path: Path) -> None:
    before = film.read_bytes()
    found = sign(film, None, *certificate, "es256", None, [])
    assert film.read_bytes() == before
    assert Path(found["signed"]) == film.with_name("f.signed.mp4")
    assert found["state"] in ("Valid", "Trusted")
    assert found["signer"] == "Test Signer"
    assert found["ingredients"] == ["a/1", "a/2", "b/1"]
    assert found["lineage"]["clips"][2]["spec"]["prompt"] == "a yellow moon"


def test_a_changed_film_is_found_out(film: Path, certificate) -> None:
    signed = Path(sign(film, None, *certificate, "es256", None, ["prompts"])["signed"])
    assert b"a yellow moon" in film.read_bytes()
    assert b"a yellow moon" not in signed.read_bytes()
    assert read(signed)["lineage"]["clips"][2]["spec"]["prompt"].startswith("redacted:")
    data = bytearray(signed.read_bytes())
    where = data.rindex(b"mdat") + 200
    data[where] ^= 0xFF
    signed.write_bytes(data)
    assert read(signed)["state"] == "Invalid"


def test_what_cannot_be_signed_or_read(film: Path, certificate, tmp_path: Path) -> None:
    chain, key = certificate
    for change, said in (
        ({"algorithm": "rot13"}, "choose one of: es256"),
        ({"key": tmp_path / "none.pem"}, "--key .*no such file"),
        ({"out": film}, "another name with --out"),
        ({"film": tmp_path / "none.mp4"}, "no file"),
        ({"chain": key}, "could not be signed"),
    ):
        arguments = {"film": film, "out": None, "chain": chain, "key": key, "algorithm": "es256", "time_server": None}
        with pytest.raises(UsageError, match=said):
            sign(**(arguments | change), redact=[])
    with pytest.raises(UsageError, match="carries no content credentials"):
        read(film)
