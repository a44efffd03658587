"""A copy of a film with other tags: the same packets, so the same pictures and sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shots.codecs import CODECS
from shots.frames import open_video, pack_tags
from shots.spec import canonical

from .errors import UsageError
from .lineage import TAG, of_file
from .redaction import redacted

CONTAINERS = {f".{codec.named('x').rpartition('.')[2]}": codec.container for codec in CODECS.values()}


def without(film: Path, out: Path, what: Sequence[str]) -> dict[str, Any]:
    """Write `film` to `out` with the lineage in its tags redacted; the lineage that it carries now.

    Raises:
        UsageError: no film of longtake, or the copy would take its place.
    """
    if not film.is_file():
        raise UsageError(f"there is no file {film}")
    if film.suffix.lower() not in CONTAINERS or film.suffix.lower() != out.suffix.lower():
        allowed = " or ".join(CONTAINERS)
        raise UsageError(f"a film is {allowed}, and its copy too; got {film.name} and {out.name}")
    if out.absolute() == film.absolute():
        raise UsageError(f"the copy would take the place of {film}; give it another name")
    document = redacted(of_file(film), what)
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        _copy(film, part, {TAG: canonical(document)})
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return dict(document)


def _copy(film: Path, out: Path, tags: dict[str, str]) -> None:
    import av

    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with (
        open_video(film) as source,
        av.open(str(out), "w", format=CONTAINERS[film.suffix.lower()], options=options) as copy,
    ):
        copy.metadata.update(pack_tags(tags))
        tracks = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        for stream in source.streams:
            tracks[stream.index].time_base = stream.time_base
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = tracks[packet.stream.index]
                copy.mux(packet)
