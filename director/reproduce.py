"""A take or a film, rendered again from its file's own record: no ledger, no store, no storyboard.

    bitwise      the same pictures, bit for bit
    rounding     the same but for the last bits of the network: nearly every value within `NEAR` levels of 255
    different    anything else, with all that the record says was otherwise

On one machine, with one version of code and libraries, a CPU gives the same bits always. Other libraries, another
device or processor may round otherwise; a sampler carries that on, so `rounding` allows for a little more than one bit.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compare import made_differently
from .errors import UsageError
from .lineage import of_file
from .provenance import clips_of
from .redaction import is_redacted
from .streams import screen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cluster.camera import Camera
    from cluster.job import ClipDone
    from shots.spec import ClipSpec

log = logging.getLogger("longtake.reproduce")
NEAR = 2
"""Levels of 255 by which a value may differ and still be the same but for rounding."""
SHARE = 0.999
"""Share of the values that must be as near as that; no value may be farther than `FAR`."""
FAR = 16
GROUP = 8
Document = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """Clips that lead to what is to be made again, from the first of their chain on, and the ones that are compared."""

    chain: tuple[ClipSpec, ...]
    told: dict[str, Document]


@dataclass(frozen=True)
class Means:
    """With what: as the options of `longtake render` say it. model: folder or hub id to use instead of the recorded."""

    device: str = "auto"
    threads: int | None = None
    model: str | None = None


def reproduce(path: Path, means: Means, say: Callable[[str], None]) -> Document:
    """The document behind `longtake reproduce`. say: told of each clip as it is done.

    Raises:
        UsageError: no file, no record in it, or one that does not say enough.
        ModelError: the model is not here, or not the one that was used.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}; reproduce takes a take (.mkv) or a film that longtake made")
    document = of_file(path)
    if is_redacted(document):
        raise UsageError(f"the prompts in {path} have been redacted, so it cannot be made again from the file alone")
    from shots.frames import iter_take

    wishes = _wishes(document, path)
    original = path if document["kind"] == "longtake.take" and path.suffix != ".json" else None
    if original:
        for _ in iter_take(original):  # one that is damaged is told before anything is rendered
            pass
    with tempfile.TemporaryDirectory(prefix="longtake-reproduce-") as folder:
        made = _all_made(wishes, means, Path(folder), say)
        told = {key: clip for wish in wishes for key, clip in wish.told.items()}
        clips = [_verdict(told[key], made[key], Path(folder), original) for key in told]
    worst = max(clips, key=lambda clip: ("bitwise", "rounding", "different").index(clip["result"]))["result"]
    return {"schema": "longtake.reproduce.v1", "file": str(path), "result": worst, "clips": clips}


def _wishes(document: Document, path: Path) -> list[Wish]:
    from cluster.heritage import chain_of, group_of
    from shots.errors import SpecError
    from shots.spec import ClipSpec

    try:
        if document["kind"] == "longtake.film":
            return list(_of_film(document))
        spec = ClipSpec.from_dict(document["spec"])
        group = group_of(spec, document.get("together") or [])
        chain = group or [*chain_of(spec, document["chain"]), spec]
    except (SpecError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} does not say enough to make it again ({type(error).__name__}: {error}); it was written by another "
            "version of longtake, or changed"
        ) from None
    _check(spec.key == document["key"], "its spec is not the one that its key names", path)
    _check(
        not spec.previous or (len(chain) > 1 and chain[-2].key == spec.previous), "its chain does not lead to it", path
    )
    return [Wish(tuple(chain), {spec.key: document})]


def _check(holds: bool, what: str, path: Path) -> None:
    if not holds:
        raise UsageError(f"{path} cannot be made again: {what}; its record has been changed")


def _of_film(document: Document) -> Iterator[Wish]:
    """The chains of a film: each clip once, with all that leads to it."""
    from shots.spec import ClipSpec

    clips = {clip["key"]: clip for clip in clips_of(document)}
    specs = {key: ClipSpec.from_dict(clip["spec"]) for key, clip in clips.items()}
    specs |= {spec.key: spec for spec in map(ClipSpec.from_dict, document.get("others", []))}
    ends = [key for key in clips if key not in {spec.previous for spec in specs.values()}]
    groups: dict[str, list[ClipSpec]] = {}
    for key in ends:
        if specs[key].together:
            groups.setdefault(str(specs[key].together), []).append(specs[key])
            continue
        chain: list[ClipSpec] = []
        at: str | None = key
        while at is not None:
            chain.append(specs[at])
            at = specs[at].previous
        yield Wish(tuple(reversed(chain)), {spec.key: clips[spec.key] for spec in reversed(chain) if spec.key in clips})
    for group in groups.values():
        group.sort(key=lambda spec: spec.index)
        yield Wish(tuple(group), {spec.key: clips[spec.key] for spec in group})


def _all_made(wishes: list[Wish], means: Means, folder: Path, say: Callable[[str], None]) -> dict[str, ClipDone]:
    """Render everything with one camera; the keys are those of the record."""
    from cluster.bookmark import Every
    from cluster.camera import Camera

    camera = Camera(folder, "reproduce", means.device, means.threads, checkpoint_every=Every(0))
    made: dict[str, ClipDone] = {}
    try:
        for n, wish in enumerate(wishes, 1):
            say(f"chain {n} of {len(wishes)}: {len(wish.chain)} clips")
            made |= _made(camera, _here(wish.chain, means), say)
    except _Failed as failed:
        raise UsageError(f"it could not be rendered here: {failed}") from None
    finally:
        camera.close()
    return made


def _made(camera: Camera, chain: tuple[ClipSpec, ...], say: Callable[[str], None]) -> dict[str, ClipDone]:
    """Render a chain in groups, as a production does."""
    from cluster.job import ClipDone, Event, Job, JobFailed

    made: dict[str, ClipDone] = {}
    size = len(chain) if chain[0].together else GROUP

    def hear(event: Event) -> None:
        if isinstance(event, ClipDone):
            made[event.take.key] = event
            say(f"  clip {len(made)} of {len(chain)}")
        elif isinstance(event, JobFailed):
            raise _Failed(event.failure.error, event.failure.message)

    for n in range(0, len(chain), size):
        before = made[chain[n - 1].key].take.tail if n and chain[n].previous else None
        camera.shoot(
            Job(f"reproduce {n}", "reproduce", "shot", n + 1, chain[n : n + size], before), hear, lambda: False
        )
    return made


class _Failed(Exception):
    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


def _here(chain: Sequence[ClipSpec], means: Means) -> tuple[ClipSpec, ...]:
    """The clips with the model looked for where `means` says; the model's digest decides, so the keys stay."""
    if means.model is None:
        return tuple(chain)
    return tuple(replace(spec, model=replace(spec.model, id=means.model)) for spec in chain)


def _verdict(told: Document, made: ClipDone, folder: Path, original: Path | None) -> Document:
    """One clip: how it came out, and what was otherwise."""
    from shots.frames import frames_digest, read_take
    from storage.files import Files

    take = made.take
    now = {"code_version": take.code_version, "environment": dict(take.environment)}
    otherwise = list(made_differently(told, now))
    found: Document = {"key": told["key"], "slate": told.get("slate"), "nfe": [told.get("nfe"), take.nfe]}
    recorded = told.get("frames_digest")
    before = None if original is None else read_take(original)
    if before is not None and recorded and frames_digest(before) != recorded:
        otherwise.insert(0, "the file's pictures are not those that its record names: the file has been changed")
    result, how = "different", "its pictures are not those of the record"
    if recorded == take.frames_digest:
        result, how = "bitwise", "the same pictures as the record names, bit for bit"
    elif before is not None:
        result, how = _nearness(before, read_take(Files(folder).path(take.video)))
    if result == "different" and not otherwise:
        otherwise = ["nothing that is recorded; the pictures or the record have been changed, or the machine differs"]
    return found | {"result": result, "how": how, "otherwise": otherwise}


def _nearness(before: NDArray[Any], after: NDArray[Any]) -> tuple[str, str]:
    """`rounding` or `different` for frames [F, H, W, 3] uint8, and by how much."""
    import numpy as np

    if before.shape != after.shape:
        return "different", f"the frames are {after.shape}, and were {before.shape}"
    apart = np.abs(before.astype(np.int16) - after.astype(np.int16))
    near, most = float((apart <= NEAR).mean()), int(apart.max())
    how = f"{near:.2%} of the values within {NEAR} of 255, the farthest {most} apart, {apart.mean():.3f} on average"
    return ("rounding" if near >= SHARE and most <= FAR else "different"), how


def show_reproduced(document: Document) -> None:
    """The same for a person."""
    console = screen()
    for clip in document["clips"]:
        slate = clip["slate"]
        name = f"{slate['film']}:{slate['shot']}/{slate['clip']}" if slate else clip["key"][:16]
        console.print(f"{name}: {clip['result']}: {clip['how']}", soft_wrap=True)
    for line in dict.fromkeys(line for clip in document["clips"] for line in clip["otherwise"]):
        console.print(f"  otherwise than recorded: {line}", soft_wrap=True)
    words = {"bitwise": "the same, bit for bit", "rounding": "the same to rounding", "different": "different"}
    console.print(f"{document['file']}: {words[document['result']]}")
