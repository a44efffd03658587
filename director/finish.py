"""The last stage of a film: cut and deliver it, write sidecar, contact sheet and seam strips, tell the ledger.

A film whose cut has not changed and whose files are still there is left alone.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from shots.spec import canonical, digest
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import FilmVersion, Take

from .cut import cut_list
from .cutlist import CutList, to_dict
from .lineage import TAG, film_record
from .places import Places
from .planned import Deliver, Plan, PlannedClip
from .verify import file_digest

log = logging.getLogger("longtake.finish")
CUT_VERSION = 1
"""Rises whenever the same cut list would give another film."""


class Prints:
    """The store's prints, as `edit.assemble` asks for them."""

    def __init__(self, ledger: Ledger, files: Files, takes: tuple[str, ...], key: str) -> None:
        self._ledger, self._files = ledger, files
        self._known = ledger.prints_of(takes, key)

    def get(self, take: str, key: str) -> Path | None:
        """The print's file, if there is one whole."""
        id = self._known.get(take)
        return self._files.path(id) if id and self._files.verify(id) else None

    def put(self, take: str, key: str, file: Path) -> Path:
        """Keep a print."""
        size = file.stat().st_size
        id = self._ledger.record_print(take, key, self._files.put_file(file), size)
        self._known[take] = id
        return self._files.path(id)


def film_identity(plan: Plan, takes: Mapping[str, Take], deliver: Deliver) -> str:
    """Names a finished film by everything that decides its bytes' meaning: the cut, the sounds, the print spec."""
    return _identity(_cut(plan, takes), _sounds(plan), plan, deliver)


class Finish:
    """Cuts films. `check` before rendering, then call it when all clips have takes."""

    def __init__(self, ledger: Ledger, files: Files, places: Places) -> None:
        self._ledger, self._files, self._places = ledger, files, places

    def check(self, plan: Plan) -> None:
        """Find out before rendering what would stop the cut after it.

        Raises:
            PrintRefused, OutputUnwritable: a delivery that cannot be encoded or written.
            SoundUnreadable: a sound file that is missing or broken.
        """
        from .edit import check_output, film_path, print_spec

        for deliver in plan.deliver:
            print_spec(plan.fps, deliver).check()
            check_output(film_path(self._places.films, deliver))
        if sounds := _sound_files(plan):
            from .soundfile import check_sound

            for sound in sounds:
                check_sound(sound, whole=True)

    def __call__(self, plan: Plan, production: int, takes: dict[str, Take]) -> list[str]:
        """Make the finished files of a film; returns their paths, films first."""
        cut, sounds = _cut(plan, takes), _sounds(plan)
        before: dict[str, FilmVersion] = {}
        for version in self._ledger.film_versions(plan.film):
            before.setdefault(version.path, version)
        paths, changed = [], False
        for deliver in plan.deliver:
            out = self._film_path(deliver)
            identity = _identity(cut, sounds, plan, deliver)
            if not _up_to_date(out, identity, before.get(self._places.recorded(out))):
                self._deliver(plan, production, takes, cut, deliver, identity, sounds)
                changed = True
            paths.append(str(out))
        return paths + self._sheets(plan, takes, changed)

    def damaged(self, plan: Plan, takes: Mapping[str, Take]) -> list[str]:
        """File ids of all takes of the film that are gone or altered; reads every one of them."""
        return [
            take.video for clip in plan.clips if (take := takes.get(clip.key)) and not self._files.verify(take.video)
        ]

    def _film_path(self, deliver: Deliver) -> Path:
        from .edit import film_path

        return film_path(self._places.films, deliver).absolute()

    def _deliver(
        self,
        plan: Plan,
        production: int,
        takes: dict[str, Take],
        cut: CutList,
        deliver: Deliver,
        identity: str,
        sounds: dict[str, str],
    ) -> None:
        from cluster.environment import code_version

        from .edit import assemble, print_spec

        out = self._film_path(deliver)
        record = film_record(plan, takes, code_version(), sounds)
        prints = Prints(self._ledger, self._files, cut.takes, print_spec(plan.fps, deliver).key)
        film = assemble(cut, self._files, prints, deliver, out, {TAG: canonical(record)}, plan.base)
        _write(out.with_suffix(".json"), json.dumps(record | {"file": out.name, "sha256": film.digest}, indent=1))
        cut_json = canonical({"identity": identity, "deliver": asdict(deliver), "cut": to_dict(cut)})
        self._ledger.record_film(
            production, self._places.recorded(out), film.digest, film.frames, film.fps, cut_json, canonical(record)
        )

    def _sheets(self, plan: Plan, takes: dict[str, Take], changed: bool) -> list[str]:
        """Contact sheet and seam strips, drawn again only when the film has changed."""
        contact = self._places.films.absolute() / f"{plan.film}.contact.png"
        seams = self._places.films.absolute() / f"{plan.film}.seams.png"
        if changed or not contact.is_file() or not seams.is_file():
            from shots.frames import Frames, read_take

            from .seams import seam_strips
            from .sheets import contact_sheet

            def frames(clip: PlannedClip) -> Frames:
                return read_take(self._files.open_verified(takes[clip.key].video))

            contact_sheet(plan, frames, contact)
            seam_strips(plan, frames, seams)
        return [str(contact), str(seams)]


def _cut(plan: Plan, takes: Mapping[str, Take]) -> CutList:
    return cut_list(plan, {clip.key: takes[clip.key].video for clip in plan.clips})


def _identity(cut: CutList, sounds: dict[str, str], plan: Plan, deliver: Deliver) -> str:
    from .edit import print_spec

    shown = {name: value for name, value in to_dict(cut).items() if name != "title"}
    return digest("film", CUT_VERSION, {"cut": shown, "sounds": sounds, "print": print_spec(plan.fps, deliver).key})


def _up_to_date(out: Path, identity: str, before: FilmVersion | None) -> bool:
    if before is None or not out.is_file() or json.loads(before.cut_json)["identity"] != identity:
        return False
    return file_digest(out) == before.file_digest


def _sound_files(plan: Plan) -> list[Path]:
    sounds = [sound for shot in plan.shots for sound in shot.audio] + ([plan.bed] if plan.bed else [])
    return list(dict.fromkeys(plan.base / sound.file for sound in sounds))


def _sounds(plan: Plan) -> dict[str, str]:
    """Name in the project -> sha256 of every sound that the film uses."""
    return {os.path.relpath(sound, plan.base): file_digest(sound) for sound in _sound_files(plan)}


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n")
    part.replace(path)
