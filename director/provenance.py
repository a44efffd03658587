"""Lineage in the forms of others: W3C PROV-JSON, and OpenLineage run events.

PROV-JSON: https://www.w3.org/submissions/prov-json/ . Films, takes, models, storyboards, sounds and fonts are entities;
shooting a clip and cutting a film are activities; longtake, in one version of its code, is the agent.

OpenLineage: https://openlineage.io/spec/2-0-2/OpenLineage.json . One COMPLETE event a take and one for the cut. A run's
id is a function of what was made and when, so the same lineage always gives the same events.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from .errors import UsageError

Document = dict[str, Any]
FORMATS = ("tree", "json", "prov", "openlineage")
PRODUCER = "urn:longtake"
_RUN = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"
_DATA_FACET = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetFacet"


def export(document: Document, form: str) -> str:
    """A lineage document as text of this form, with a line's end: one JSON document, or one event a line."""
    if form == "prov":
        return json.dumps(prov(document), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if form == "openlineage":
        events = (json.dumps(event, sort_keys=True, ensure_ascii=False) for event in openlineage(document))
        return "".join(f"{event}\n" for event in events)
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def check_format(form: str) -> None:
    """Raises UsageError for a form that does not exist."""
    if form not in FORMATS:
        raise UsageError(f"--format {form!r} is not known; choose one of: {', '.join(FORMATS)}")


def clips_of(document: Document) -> list[Document]:
    """The clips of a lineage document of any kind, each with its environment, in one shape."""
    if document["kind"] == "longtake.film":
        environments = document["environments"]
        return [clip | {"environment": environments[clip["environment"]]} for clip in document["clips"]]
    return [document | (document.get("take") or {}) | {"key": document["key"]}]


def prov(document: Document) -> Document:
    """A lineage document as PROV-JSON."""
    made = _Prov()
    for clip in clips_of(document):
        made.clip(clip)
    if document["kind"] == "longtake.film":
        made.film(document)
    return {"prefix": {"longtake": "urn:longtake:"}} | made.parts


class _Prov:
    """The parts of a PROV-JSON document: kind -> id -> attributes."""

    def __init__(self) -> None:
        names = ("entity", "activity", "agent", "used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith")
        self.parts: dict[str, dict[str, Document]] = {name: {} for name in names}

    def clip(self, clip: Document) -> None:
        """A take, the shooting of it, and what that used."""
        spec, take, shoot = clip["spec"], _id("take", clip["key"]), _id("shoot", clip["key"])
        facts = {name: spec[name] for name in ("prompt", "negative_prompt", "seed", "index")}
        facts |= {name: clip[name] for name in ("video", "frames_digest") if clip.get(name)}
        settings = {"sampler": _text(spec["sampler"]), "recipe": _text(spec["recipe"])}
        self.add("entity", take, "Take", facts)
        self.add("activity", shoot, "Shoot", _some(clip, "nfe") | _where(clip) | settings)
        if clip.get("time"):
            self.parts["activity"][shoot] |= {"prov:endTime": clip["time"]}
        if clip.get("started"):
            self.parts["activity"][shoot] |= {"prov:startTime": clip["started"]}
        self.relate("wasGeneratedBy", entity=take, activity=shoot)
        self.software(shoot, clip.get("code_version"))
        model = _id("model", spec["model"]["digest"])
        self.add("entity", model, "Model", {"id": spec["model"]["id"], "digest": spec["model"]["digest"]})
        self.relate("used", activity=shoot, entity=model)
        for name, digest in _references(spec):
            self.add("entity", _id(name, digest), name.capitalize(), {"digest": digest})
            self.relate("used", activity=shoot, entity=_id(name, digest))
        if spec["previous"]:
            before = _id("take", spec["previous"])
            self.parts["entity"].setdefault(before, {"prov:type": _type("Take")})
            self.relate("used", activity=shoot, entity=before)
            self.relate("wasDerivedFrom", generatedEntity=take, usedEntity=before)

    def film(self, film: Document) -> None:
        """A film, its cut, its storyboard, sounds and fonts."""
        name, cut = _id("film", film["film"]), _id("cut", film["film"])
        facts = {"title": film["title"], "fps": film["fps"], "frames": film["frames"]} | _some(film, "sha256")
        self.add("entity", name, "Film", facts)
        self.add("activity", cut, "Cut", {})
        self.parts["activity"][cut]["prov:endTime"] = film["time"]
        self.relate("wasGeneratedBy", entity=name, activity=cut)
        self.software(cut, film["code_version"])
        board = _id("storyboard", film["storyboard_digest"])
        self.add("entity", board, "Storyboard", {"digest": film["storyboard_digest"]})
        self.relate("used", activity=cut, entity=board)
        for kind in ("sound", "font"):
            for file, digest in film.get(f"{kind}s", {}).items():
                self.add("entity", _id(kind, digest), kind.capitalize(), {"file": file, "digest": digest})
                self.relate("used", activity=cut, entity=_id(kind, digest))
        for clip in film["clips"]:
            self.relate("used", activity=cut, entity=_id("take", clip["key"]))
            self.relate("wasDerivedFrom", generatedEntity=name, usedEntity=_id("take", clip["key"]))

    def add(self, kind: str, id: str, type: str, facts: Document) -> None:
        """An entity or activity with longtake's own attributes."""
        own = {f"longtake:{name}": value for name, value in facts.items()}
        self.parts[kind][id] = {"prov:type": _type(type)} | own

    def software(self, activity: str, version: str | None) -> None:
        """The agent that did it."""
        agent = _id("software", version or "unknown")
        self.parts["agent"][agent] = {
            "prov:type": {"$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME"},
            "prov:label": f"longtake {version or 'unknown'}",
        }
        self.relate("wasAssociatedWith", activity=activity, agent=agent)

    def relate(self, kind: str, **ends: str) -> None:
        """A relation; the same one twice is one."""
        values = {f"prov:{name}": value for name, value in ends.items()}
        if values not in self.parts[kind].values():
            self.parts[kind][f"_:{kind}{len(self.parts[kind]) + 1}"] = values


def openlineage(document: Document) -> Iterator[Document]:
    """A lineage document as OpenLineage events: each take, then the cut."""
    for clip in clips_of(document):
        yield _take_event(clip)
    if document["kind"] == "longtake.film":
        takes = [_data("takes", clip["key"]) for clip in document["clips"]]
        files = [_data(kind, digest) for kind in ("sounds", "fonts") for digest in document.get(kind, {}).values()]
        board = _data("storyboards", document["storyboard_digest"])
        facts = {"title": document["title"], "fps": document["fps"], "frames": document["frames"]}
        out = _data("films", document["film"], facts)
        yield _event(document, f"cut.{document['film']}", [board, *files, *takes], out, {})


def _take_event(clip: Document) -> Document:
    spec = clip["spec"]
    inputs = [_data("models", spec["model"]["digest"], {"id": spec["model"]["id"]})]
    inputs += [_data(f"{name}s", digest) for name, digest in _references(spec)]
    inputs += [_data("takes", spec["previous"])] if spec["previous"] else []
    slate = clip.get("slate")
    name = f"shoot.{slate['film']}.{slate['shot']}.{slate['clip']}" if slate else f"shoot.{clip['key'][:16]}"
    out = _data("takes", clip["key"], _some(clip, "video", "frames_digest"))
    run = {"spec": spec, "environment": clip.get("environment") or {}} | _some(clip, "nfe", "seconds")
    return _event(clip, name, inputs, out, run)


def _event(made: Document, job: str, inputs: list[Document], out: Document, facts: Document) -> Document:
    version = made.get("code_version") or "unknown"
    facet = {"_producer": f"{PRODUCER}:{version}", "_schemaURL": _FACET, "code_version": version} | facts
    run = uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}:{job}:{out['name']}:{made.get('time')}")
    return {
        "eventType": "COMPLETE",
        "eventTime": made.get("time") or "1970-01-01T00:00:00Z",
        "run": {"runId": str(run), "facets": {"longtake": facet}},
        "job": {"namespace": "longtake", "name": job, "facets": {}},
        "inputs": inputs,
        "outputs": [out],
        "producer": f"{PRODUCER}:{version}",
        "schemaURL": _RUN,
    }


def _data(space: str, name: str, facts: Document | None = None) -> Document:
    facet = {"_producer": PRODUCER, "_schemaURL": _DATA_FACET}
    facets = {"longtake": facet | facts} if facts else {}
    return {"namespace": f"longtake.{space}", "name": name, "facets": facets}


def _references(spec: Document) -> Iterator[tuple[str, str]]:
    """Reference files of a clip, by hash: whatever of its spec is told by a digest, but for the model."""
    for name, value in spec.items():
        if name != "model" and isinstance(value, dict):
            if isinstance(value.get("digest"), str) and value["digest"]:
                yield ("model" if "family" in value else name), value["digest"]
            else:
                yield from _references(value)


def _where(clip: Document) -> Document:
    environment = clip.get("environment") or {}
    return {
        name: environment[name]
        for name in ("host", "device", "device_name", "driver", "torch")
        if environment.get(name)
    }


def _some(document: Document, *names: str) -> Document:
    return {name: document[name] for name in names if document.get(name) is not None}


def _id(kind: str, name: str) -> str:
    """A qualified name: only letters, digits, `-`, `_` and `.` need no escape."""
    return f"longtake:{kind}-" + "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def _type(name: str) -> Document:
    return {"$": f"longtake:{name}", "type": "prov:QUALIFIED_NAME"}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
