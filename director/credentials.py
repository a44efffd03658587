"""Content credentials (C2PA): a signed copy of a film that says what made it, with its clips as ingredients.

Needs the extra `longtake[c2pa]`. The certificate is the user's: a chain in PEM, the signer's own first, and its key.
Anyone with a C2PA reader can then check that the file has not been changed since, and read its lineage. The film
that the ledger knows stays as it is; what is signed is a copy beside it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import UsageError
from .lineage import of_file
from .provenance import clips_of
from .redaction import redacted
from .retag import without
from .streams import screen

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LINEAGE = "org.longtake.lineage"
FORMATS = {".mp4": "video/mp4", ".mov": "video/quicktime"}
Document = dict[str, Any]


def sign(
    film: Path, out: Path | None, chain: Path, key: Path, algorithm: str, time_server: str | None, redact: Sequence[str]
) -> Document:
    """Write a signed copy of `film` to `out`; what it says, and how a reader judges it.

    Raises:
        UsageError: no film of longtake, an option out of range, the extra is missing, or a certificate that is refused.
    """
    c2pa = _library()
    document = _film(film)
    out = out or film.with_name(f"{film.stem}.signed{film.suffix}")
    _check(film, out, chain, key, algorithm)
    manifest = _manifest(redacted(document, redact), film)
    part, bare = (out.with_name(f".{out.stem}.{name}{out.suffix}") for name in ("part", "redacted"))
    try:
        source = film
        if redact:  # the film's own tags hold its lineage, too
            without(film, bare, redact)
            source = bare
        info = c2pa.C2paSignerInfo(algorithm, chain.read_bytes(), key.read_bytes(), time_server)
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder.from_json(json.dumps(manifest)) as builder:
            builder.sign_file(str(source), str(part), signer)
        part.replace(out)
    except c2pa.C2paError as error:
        what = f"{film} could not be signed: {error}"
        raise UsageError(f"{what}; check --cert (the signer's first, then its issuers) and --key") from None
    finally:
        part.unlink(missing_ok=True)
        bare.unlink(missing_ok=True)
    return {"schema": "longtake.sign.v1", "film": str(film), "signed": str(out)} | read(out)


def read(path: Path) -> Document:
    """What the credentials of a file say. `state`: Valid, Trusted or Invalid, as the C2PA library judges.

    Raises:
        UsageError: no such file, no credentials in it, or the extra is missing.
    """
    c2pa = _library()
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        with c2pa.Reader(str(path)) as reader:
            told = json.loads(reader.json())
            state = reader.get_validation_state()
    except c2pa.C2paError as error:
        raise UsageError(f"{path} carries no content credentials that can be read: {error}") from None
    active = told["manifests"][told["active_manifest"]]
    lineage = next((a["data"] for a in active["assertions"] if a["label"].startswith(LINEAGE)), None)
    return {
        "state": state,
        "problems": [problem.get("code", "") for problem in told.get("validation_status", [])],
        "signer": (active.get("signature_info") or {}).get("issuer"),
        "ingredients": [ingredient.get("title") for ingredient in active.get("ingredients", [])],
        "lineage": lineage,
    }


def show_signed(document: Document) -> None:
    """The same for a person."""
    console = screen()
    count = len(document["ingredients"])
    console.print(
        f"{document['signed']} is signed by {document['signer']}, with {count} clips as ingredients", soft_wrap=True
    )
    console.print(
        f"a reader finds it {document['state']}" + "".join(f"; {p}" for p in document["problems"]), soft_wrap=True
    )


def _library() -> Any:
    try:
        return importlib.import_module("c2pa")
    except ImportError:
        raise UsageError("signing needs the extra c2pa: pip install 'longtake[c2pa]'") from None


def _film(film: Path) -> Document:
    if not film.is_file():
        raise UsageError(f"there is no file {film}")
    document = of_file(film)
    if document["kind"] != "longtake.film":
        raise UsageError(f"{film} is a clip; what is signed is a finished film")
    return document


def _check(film: Path, out: Path, chain: Path, key: Path, algorithm: str) -> None:
    if film.suffix.lower() not in FORMATS:
        raise UsageError(f"{film.suffix} files cannot carry content credentials; allowed: {', '.join(FORMATS)}")
    if algorithm not in ALGORITHMS:
        raise UsageError(f"--algorithm {algorithm!r} is not known; choose one of: {', '.join(ALGORITHMS)}")
    if out.absolute() == film.absolute():
        raise UsageError("the signed copy would take the film's place; give another name with --out")
    for option, path in (("--cert", chain), ("--key", key)):
        if not path.is_file():
            raise UsageError(f"{option} {path}: there is no such file; it is a PEM file")


def _manifest(document: Document, film: Path) -> Document:
    agent = {"name": "longtake", "version": document["code_version"]}
    clips = clips_of(document)
    ingredients = [_ingredient(clip) for clip in clips]
    placed = {"ingredientIds": [one["instance_id"] for one in ingredients]}
    actions = [
        {"action": "c2pa.created", "digitalSourceType": MADE, "softwareAgent": agent, "when": document["time"]},
        {"action": "c2pa.placed", "softwareAgent": agent, "parameters": placed},
    ]
    return {
        "claim_generator_info": [agent],
        "title": document["title"] or film.name,
        "format": FORMATS[film.suffix.lower()],
        "ingredients": ingredients,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": LINEAGE, "data": document, "kind": "Json"},
        ],
    }


def _ingredient(clip: Document) -> Document:
    slate = clip["slate"]
    return {
        "title": f"{slate['shot']}/{slate['clip']}",
        "format": "video/x-matroska",
        "instance_id": f"longtake:take:{clip['key']}",
        "relationship": "componentOf",
        "description": f"frames sha256 {clip['frames_digest']}",
    }
