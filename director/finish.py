"""The last stage of a film: cut and deliver it, write sidecar, contact sheet and seam strips, tell the ledger.

A film whose cut has not changed and whose files are still there is left alone.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shots.spec import canonical, digest
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import Take

from .cut import cut_list
from .cutlist import CutList, to_dict
from .lineage import TAG, film_record
from .planned import Deliver, Plan, Sound
from .places import Places
from .verify import file_digest

log = logging.getLogger("longtake.finish")
CUT_VERSION = 1
"""Rises whenever the same cut list would give another film."""


class Prints:
    """The store's prints, as `edit.assemble` asks for them."""

    def __init__(self, ledger: Ledger, files: Files, takes: list[str], key: str) -> None:
        self._ledger, self._files = ledger, files
        self._known = ledger.prints_of(takes, key)

    def get(self, take: str, key: str) -> Path | None:
        """The print's file, if there is one whole."""
        id = self._known.get(take)
        return self._files.open_verified(id) if id and self._files.exists(id) and self._files.verify(id) else None

    def put(self, take: str, key: str, file: Path) -> Path:
        """Keep a print."""
        size = file.stat().st_size
        id = self._ledger.record_print(take, key, self._files.put_file(file), size)
        self._known[take] = id
        return self._files.path(id)


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
        if sounds := _sounds(plan):
            from .sound import check_sound

            for sound in sounds:
                check_sound(sound)

    def __call__(self, plan: Plan, production: int, takes: dict[str, Take]) -> list[str]:
        """Make the finished files of a film; returns their paths, films first."""
        cut = cut_list(plan, {clip.key: takes[clip.key].video for clip in plan.clips})
        sounds = {_name(sound, plan): file_digest(sound) for sound in _sounds(plan)}
        identity = digest("cut", CUT_VERSION, {"cut": _portable(cut, plan), "sounds": sounds})
        done = {version.path: version for version in self._ledger.film_versions(plan.film)}
        paths = []
        for deliver in plan.deliver:
            paths += self._deliver(plan, production, takes, cut, deliver, identity, sounds, done)
        return paths + self._sheets(plan, takes, identity)

    def _deliver(
        self,
        plan: Plan,
        production: int,
        takes: dict[str, Take],
        cut: CutList,
        deliver: Deliver,
        identity: str,
        sounds: dict[str, str],
        done: dict[str, Any],
    ) -> list[str]:
        from cluster.environment import code_version

        from .edit import assemble, film_path, print_spec

        out = film_path(self._places.films, deliver).absolute()
        wanted = digest("film", CUT_VERSION, {"cut": identity, "print": print_spec(plan.fps, deliver).key})
        version = done.get(str(out))
        if version and json.loads(version.cut_json)["identity"] == wanted and _unchanged(out, version.file_digest):
            log.info("%s is up to date", out)
            return [str(out)]
        record = film_record(plan, takes, code_version(), sounds)
        prints = Prints(self._ledger, self._files, list(cut.takes), print_spec(plan.fps, deliver).key)
        film = assemble(cut, self._files, prints, deliver, out, {TAG: canonical(record)}, plan.storyboard.parent)
        _write(out.with_suffix(".json"), json.dumps(record | {"file": out.name, "sha256": film.digest}, indent=1))
        cut_json = canonical({"identity": wanted, "deliver": asdict(deliver), "cut": to_dict(cut)})
        self._ledger.record_film(
            production, str(out), film.digest, film.frames, film.fps, cut_json, canonical(record)
        )
        return [str(out)]

    def _sheets(self, plan: Plan, takes: dict[str, Take], identity: str) -> list[str]:
        """Contact sheet and seam strips, drawn again only when the cut has changed."""


        def frames(key: str) -> Path:
            return self._files.open_verified(takes[key].video)

        return []


def _sounds(plan: Plan) -> list[Path]:
    sounds: list[Sound] = [s for shot in plan.shots for s in shot.audio] + ([plan.bed] if plan.bed else [])
    base = plan.storyboard.parent
    return list(dict.fromkeys(base / sound.file for sound in sounds))


def _name(sound: Path, plan: Plan) -> str:
    return os.path.relpath(sound, plan.storyboard.parent)


def _portable(cut: CutList, plan: Plan) -> dict[str, Any]:
    """The cut list without where the project's folder lies."""
    return {k: v for k, v in to_dict(cut).items() if k != "title"}


def _unchanged(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text + "\n")
    part.replace(path)
