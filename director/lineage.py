"""Where a film or a clip comes from. A file tells it alone, from its tags or its sidecar; the ledger tells more."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text
from rich.tree import Tree

from storage.ledger import Ledger
from storage.rows import Attempt, FilmVersion, Pin, Take

from .ancestry import ancestry
from .errors import UsageError
from .planned import Plan, PlannedClip
from .session import Session
from .streams import screen

TAG = "longtake"
WIDEST = 2000
"""Characters of a line of the tree; a terminal wraps it."""


def film_record(
    plan: Plan,
    takes: Mapping[str, Take],
    code_version: str,
    files: Mapping[str, Mapping[str, str]],
    ledger: Ledger | None = None,
) -> dict[str, Any]:
    """The lineage of a film as it is embedded in it. files: `sounds`, and `fonts` if any: file name -> sha256.

    Environments repeat, so each stands once in a list and clips give its place in it. ledger: knows of attempts, and
    of clips (`others`) that those of the film continue but that do not stand in it.
    """
    environments: list[dict[str, Any]] = []
    attempts = ledger.attempts_of([clip.key for clip in plan.clips]) if ledger else {}
    clips = [_clip_record(clip, takes[clip.key], environments, attempts.get(clip.key, ())) for clip in plan.clips]
    return {
        "kind": "longtake.film",
        "version": 1,
        "film": plan.film,
        "title": plan.title,
        "storyboard_digest": plan.storyboard_digest,
        "fps": str(plan.fps),
        "frames": plan.frames,
        "code_version": code_version,
        "time": clock(time.time()),
        **{kind: dict(digests) for kind, digests in files.items()},
        "environments": environments,
        "clips": clips,
        "others": _others(plan, ledger) if ledger else [],
    }


def _others(plan: Plan, ledger: Ledger) -> list[dict[str, Any]]:
    """Specs of the clips before chosen ones that the film does not show."""
    known = {clip.key for clip in plan.clips}
    others: dict[str, dict[str, Any]] = {}
    for clip in plan.clips:
        if clip.spec.previous and clip.spec.previous not in known | others.keys():
            others |= {spec.key: spec.to_dict() for spec in ancestry(ledger, plan, clip.spec.previous)}
    return [spec for key, spec in others.items() if key not in known]


def _clip_record(
    clip: PlannedClip, take: Take, environments: list[dict[str, Any]], attempts: Sequence[Attempt]
) -> dict[str, Any]:
    environment = dict(take.environment)
    if environment not in environments:
        environments.append(environment)
    return {
        "slate": {"film": clip.slate.film, "shot": clip.slate.shot, "clip": clip.slate.clip},
        "key": clip.key,
        "spec": clip.spec.to_dict(),
        "first": clip.first,
        "kept": clip.kept,
        "video": take.video,
        "frames_digest": take.frames_digest,
        "nfe": take.nfe,
        "seconds": dict(take.seconds),
        "code_version": take.code_version,
        "environment": environments.index(environment),
        "time": clock(take.accepted_at),
        **({"instead": clip.instead} if clip.instead else {}),
        "attempts": [
            {"state": str(a.state), "host": a.host, "worker": a.worker, "started": clock(a.started_at)}
            | {"error": a.error_type, "message": a.message}
            for a in attempts
        ],
    }


def find(what: str, session: Session) -> dict[str, Any]:
    """The lineage of a file, a film id (FILM@2: the cut before), FILM:SHOT/CLIP, a take's number, or a clip's key.

    Raises:
        UsageError: nothing of that name, or several things.
    """
    path = Path(what)
    if path.is_file():
        return of_file(path)
    ledger = session.ledger
    if ledger is None:
        raise UsageError(f"there is no file {what!r}, and nothing has been rendered here yet")
    if ":" in what or re.fullmatch(r"[^/]+/\d+", what):
        return _of_slate(what, ledger)
    film, _, back = what.rpartition("@")
    if film and back.isdecimal() and (versions := ledger.film_versions(film)):
        return _version(film, int(back), versions)
    if versions := ledger.film_versions(what):
        document = _version(what, 1, versions)
        pins = ledger.pins(what)
        return document | {"clips": [_with_pin(clip, pins, clip["slate"]) for clip in document["clips"]]}
    if what.isdecimal() and (take := ledger.take_by_id(int(what))):
        return _of_clip(take[0].key, ledger)
    keys = ledger.find_clips(what.lower(), most=5)
    if len(keys) == 1:
        return _of_clip(keys[0], ledger)
    if keys:
        raise UsageError(f"several clips begin with {what!r}: {', '.join(key[:16] for key in keys)}; give more of it")
    known = ", ".join(film.film for film in ledger.films()) or "none"
    raise UsageError(f"{what!r} is no file, no finished film and no clip; recorded films: {known}")


def of_file(path: Path) -> dict[str, Any]:
    """Lineage from the file alone: its sidecar when it is one, its tags, else the sidecar beside it.

    Raises:
        UsageError: neither says anything.
    """
    from shots.errors import ShotsError
    from shots.frames import probe

    sidecar = path if path.suffix == ".json" else sidecar_of(path)
    if path.suffix != ".json":
        try:
            if text := probe(path).tags.get(TAG):
                return _checked(json.loads(text), path)
        except (ShotsError, ValueError) as error:
            if not sidecar.is_file():
                cause = str(error).removeprefix(f"{path} cannot be read as a video: ").partition(": '")[0]
                raise UsageError(
                    f"{path} cannot be read as a film or clip, and there is no sidecar {sidecar.name}: {cause}"
                ) from None
    try:
        found = json.loads(sidecar.read_text()) if sidecar.is_file() else None
    except ValueError as error:
        raise UsageError(f"{sidecar} is not JSON: {error}") from None
    if isinstance(found, dict) and str(found.get("kind", "")).startswith("longtake."):
        return _checked(found, sidecar)
    raise UsageError(f"{path} carries no lineage of longtake, and there is no sidecar {sidecar.name} that does")


def sidecar_of(film: Path) -> Path:
    """`harbour.mp4` -> `harbour.mp4.json`: each delivery of a film has a sidecar of its own."""
    return film.with_name(film.name + ".json")


def _checked(document: Any, path: Path) -> dict[str, Any]:
    """The lineage that a file carries, when it has all that `show_lineage` needs."""
    try:
        _tree(document)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} says that it holds the lineage of a film or clip, but it cannot be read "
            f"({type(error).__name__}: {error}); it has been changed, or was written by another version of longtake"
        ) from None
    return dict(document)


def _version(film: str, back: int, versions: Sequence[FilmVersion]) -> dict[str, Any]:
    """The lineage of a film as it was cut last (1), the time before (2) ..."""
    if not 1 <= back <= len(versions):
        raise UsageError(
            f"{film}@{back}: {film} has been cut {len(versions)} times; @1 is the last cut, @2 the one before"
        )
    version = versions[back - 1]
    return dict(json.loads(version.lineage_json)) | {"sha256": version.file_digest}


def _of_slate(what: str, ledger: Ledger) -> dict[str, Any]:
    film, _, place = what.rpartition(":")
    shot, _, clip = place.partition("/")
    film = film or _film_with(shot, ledger)
    slates = ledger.latest_slates(film)
    if not slates:
        raise UsageError(f"no film {film!r} has been rendered here")
    if (shot, int(clip) if clip.isdecimal() else 0) not in slates:
        counts = Counter(name for name, _ in slates)
        has = f"the shots {', '.join(counts)}" if shot not in counts else f"the clips 1 to {counts[shot]} in {shot}"
        raise UsageError(f"{what!r}: film {film} has {has}; name a clip as {film}:SHOT/NUMBER, from 1")
    slate = {"film": film, "shot": shot, "clip": int(clip)}
    return {"slate": slate} | _with_pin(_of_clip(slates[shot, int(clip)][0], ledger), ledger.pins(film), slate)


def _film_with(shot: str, ledger: Ledger) -> str:
    """The one film whose last production had such a shot."""
    films = [film.film for film in ledger.films()]
    having = [film for film in films if any(name == shot for name, _ in ledger.latest_slates(film))]
    if len(having) != 1:
        which = ", ".join(having or films) or "none"
        has = "have" if having else "are recorded, and none has"
        raise UsageError(f"the films {which} {has} a shot {shot!r}; name a clip as FILM:SHOT/NUMBER, from 1")
    return having[0]


def _with_pin(clip: dict[str, Any], pins: Sequence[Pin], slate: Mapping[str, Any]) -> dict[str, Any]:
    """A clip that is pinned now says so, also when it was cut into the film before."""
    place = slate["shot"], slate["clip"], clip["key"]
    held = any((pin.shot, pin.clip, pin.key) == place for pin in pins)
    return {"instead": "pinned"} | clip if held else clip


def _of_clip(key: str, ledger: Ledger) -> dict[str, Any]:
    clip, take = ledger.clip(key), ledger.take(key)
    assert clip is not None
    document: dict[str, Any] = {
        "kind": "longtake.clip",
        "version": 1,
        "key": key,
        "spec": json.loads(clip.spec_json),
        "take": None,
        "attempts": [
            {
                "state": str(a.state),
                "host": a.host,
                "pid": a.pid,
                "device": a.device,
                "worker": a.worker,
                "started": clock(a.started_at),
                "ended": clock(a.ended_at) if a.ended_at else None,
                "error": a.error_type,
                "message": a.message,
                "log_tail": a.log_tail,
            }
            for a in ledger.attempts(key)
        ],
    }
    if take:
        names = ("video", "latents", "tail", "frames", "frames_digest", "nfe", "code_version")
        document["take"] = {name: getattr(take, name) for name in names}
        document["take"] |= {
            "seconds": dict(take.seconds),
            "environment": dict(take.environment),
            "time": clock(take.accepted_at),
        }
    return document


def clock(moment: float) -> str:
    """Seconds since the epoch as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def show_lineage(document: dict[str, Any]) -> None:
    """A tree for a person."""
    console = screen()
    console.width = WIDEST  # a tree is cut off at the width of its console, whatever `print` is told
    console.print(_tree(document), soft_wrap=True)


def _tree(document: dict[str, Any]) -> Tree:
    if document["kind"] != "longtake.film":
        return _clip_tree(document, document.get("environment") or {})
    tree = Tree(_heading(document["film"], document["title"]))
    tree.add(f"{document['frames']} frames at {document['fps']} a second, cut {document['time']}")
    tree.add(f"longtake {document['code_version']}, storyboard {document['storyboard_digest'][:16]}")
    for name, digest in document["sounds"].items():
        tree.add(f"sound {name}  {digest[:16]}")
    for name, digest in document.get("fonts", {}).items():
        tree.add(f"font {name}  {digest[:16]}")
    for clip in document["clips"]:
        tree.add(_clip_tree(clip, document["environments"][clip["environment"]]))
    return tree


def _heading(name: str, text: str) -> Text:
    return Text.assemble((name, "bold"), f"  {text}")


def _clip_tree(clip: dict[str, Any], environment: Mapping[str, Any]) -> Tree:
    spec = clip["spec"]
    slate = clip.get("slate")
    name = f"{slate['film']}:{slate['shot']}/{slate['clip']}" if slate else "clip"
    tree = Tree(_heading(name, clip["key"][:16]))
    tree.add(f"prompt: {spec['prompt']}" + (f"  (not: {spec['negative_prompt']})" if spec["negative_prompt"] else ""))
    tree.add(f"seed {spec['seed']}, clip {spec['index'] + 1} of its chain")
    if spec["previous"]:
        tree.add(f"continues {spec['previous'][:16]}")
    if clip.get("instead"):
        tree.add(f"stands here by choice: {clip['instead']}")
    tree.add(f"model {spec['model']['id']} {spec['model']['digest'][:23]} ({spec['model']['dtype']})")
    tree.add(f"{spec['sampler']['name']} {spec['sampler']['steps']} steps, {_recipe(spec['recipe'])}")
    made = clip.get("take") or clip
    environment = environment or made.get("environment") or {}
    if licences := _licences(environment):
        tree.add(licences)
    if "code_version" in made:
        device = environment.get("device_name") or environment.get("device", "?")
        where = f"{environment.get('host', '?')} on {device}"
        tree.add(f"longtake {made['code_version']}, {where}, {made.get('time', '?')}{_cost(made)}")
    for attempt in clip.get("attempts", []):
        text = f"{attempt['state']} {attempt['started']} by {attempt['worker']} on {attempt['host']}"
        tree.add(f"attempt: {text}" + (f": {attempt['error']}: {attempt['message']}" if attempt["error"] else ""))
    return tree


def _cost(made: Mapping[str, Any]) -> str:
    """`, 50 NFE in 2.9 s`."""
    if "nfe" not in made:
        return ""
    took = (made.get("seconds") or {}).get("total")
    return f", {made['nfe']} NFE" + ("" if took is None else f" in {took:.1f} s")


def _licences(environment: Mapping[str, Any]) -> str:
    """What is known of the models' licences and revisions."""
    told = []
    for id, model in (environment.get("models") or {}).items():
        facts = [f"{name} {model[name]}" for name in ("licence", "revision") if model.get(name)]
        told += [f"{id}: {', '.join(facts)}"] if facts else []
    return "; ".join(told)


def _recipe(recipe: Mapping[str, Mapping[str, Any] | None]) -> str:
    parts = []
    for part in recipe.values():
        if part is not None:
            settings = " ".join(f"{k}={_setting(v)}" for k, v in part.items() if k not in ("kind", "version"))
            parts.append(f"{part['kind']} {settings}".strip())
    return ", ".join(parts)


def _setting(value: Any) -> str:
    """A setting in a word: a model that a method uses by its name."""
    return str(value.get("id", "...")) if isinstance(value, dict) else str(value)
