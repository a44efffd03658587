"""The last stage of a film: cut and deliver it, write sidecar, contact sheet and seam strips, tell the ledger.

A film whose cut has not changed and whose files are still there is left alone. What a killed run has left undone, the
next one finds: sidecar and sheets say themselves which film they belong to.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.desk import Desk, Here
from shots.spec import canonical, digest
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import FilmVersion, Take

from .cut import cut_list
from .cutlist import Body, CutList, to_dict
from .errors import UsageError
from .fontfile import check_font
from .lettering import film_font_digest, font_marks, title_fonts
from .lineage import TAG, film_record, sidecar_of
from .places import Places, file_digest
from .planned import Deliver, Plan, PlannedClip
from .redaction import redacted
from .soundmarks import Marks, check_new_sounds, digests, sound_files, sound_marks

if TYPE_CHECKING:
    from shots.prints import PrintSpec

log = logging.getLogger("longtake.finish")
_Digests = dict[str, dict[str, str]]
CUT_VERSION = 1
"""Rises whenever the same cut list would give another film."""
SHEETS_VERSION = 1
"""Rises whenever sheets are drawn in another way."""


def film_identity(plan: Plan, takes: Mapping[str, Take], deliver: Deliver) -> str:
    """Names a finished film by everything that decides its bytes' meaning: the cut, sounds, fonts, the print spec."""
    return _identity(_cut(plan, takes), _digests(_marks(plan, {})), plan, deliver)


def sheets_identity(plan: Plan, takes: Mapping[str, Take]) -> str:
    """Names what contact sheet and seam strips show: the pictures, and the words beside them."""
    words = [plan.title, str(plan.fps), sorted({clip.spec.model.id for clip in plan.clips})]
    shots = [[shot.id, shot.prompt, shot.frames, [clip.key for clip in shot.clips]] for shot in plan.shots]
    shown: dict[str, Any] = {"cut": to_dict(_cut(plan, takes)), "words": words, "shots": shots}
    texts = [plan.title, *(shot.prompt for shot in plan.shots), *(clip.spec.prompt for clip in plan.clips)]
    if not all(text.isascii() for text in texts):  # else all of it is in the built-in font
        shown["font"] = film_font_digest(plan)
    if not all(texts[1:]):
        shown["without"] = "prompts"  # sheets that are not named so showed the clips' own
    return digest("sheets", SHEETS_VERSION, shown)


def check_apart(plans: Sequence[Plan]) -> None:
    """Refuse films that would be written over one another.

    Raises:
        UsageError: which films, and to which file.
    """
    first: dict[str, str] = {}
    for plan in plans:
        for name in {deliver.name.casefold(): deliver.name for deliver in plan.deliver}.values():
            other = first.setdefault(name.casefold(), plan.film)
            if other != plan.film:
                raise UsageError(
                    f"the films {other!r} and {plan.film!r} would both be written to {name}; give one of them another "
                    "name under deliver in its storyboard, or render them into folders of their own with --films"
                )


def is_cut(plan: Plan, takes: Mapping[str, Take], ledger: Ledger, places: Places) -> bool:
    """Whether each delivery of a film was cut last from these takes, in this way, and its file is still there.

    Raises:
        SoundUnreadable, FontUnreadable: a file that is gone.
    """
    from .edit import film_path

    last: dict[str, FilmVersion] = {}
    for version in ledger.film_versions(plan.film):
        last.setdefault(Path(version.path).name, version)
    files = _digests(_marks(plan, last))
    for deliver in plan.deliver:
        before = last.get(film_path(Path(), deliver).name)
        if before is None or not places.found(before.path).is_file():
            return False
        facts = json.loads(before.cut_json)
        if facts["identity"] != _identity(_cut(plan, takes), files, plan, deliver, facts.get("redact", ())):
            return False
    return True


class Finish:
    """Cuts films. `check` before rendering, then call it when all clips have takes.

    redact: what is left out of all that lies with the films (`redaction`); the ledger keeps it.
    """

    def __init__(self, ledger: Ledger, files: Files, places: Places, redact: Sequence[str] = ()) -> None:
        self._ledger, self._files, self._places = ledger, files, places
        self._redact = tuple(sorted(set(redact)))

    def check(self, plan: Plan) -> None:
        """Find out before rendering what would stop the cut after it.

        Raises:
            PrintRefused, OutputUnwritable: a delivery that cannot be encoded or written.
            SoundUnreadable, FontUnreadable: a file that is missing or broken.
        """
        from .edit import check_output, film_path, print_spec

        for deliver in plan.deliver:
            print_spec(plan.fps, deliver).check()
            check_output(film_path(self._places.films, deliver))
        if sound_files(plan):
            check_new_sounds(plan, _before(self._latest(plan), "sounds"))
        for font in title_fonts(plan).values():
            check_font(font)

    def __call__(
        self, plan: Plan, production: int, takes: dict[str, Take], ask: Callable[[], Desk | None] = lambda: None
    ) -> list[str]:
        """Make the finished files of a film; returns their paths, films first.

        ask: gives the desk at which pictures are decoded and encoded, when there is such work; None: this thread.
        """
        desk = cache(lambda: ask() or Here(self._files))
        cut, latest = _cut(plan, takes), self._latest(plan)
        marks = _marks(plan, latest)
        paths = []
        for deliver in plan.deliver:
            out = self._film_path(deliver)
            identity = _identity(cut, _digests(marks), plan, deliver, self._redact)
            before = latest.get(self._places.recorded(out))
            if before is not None and _up_to_date(out, identity, before):
                _mend_sidecar(plan, out, before)
            else:
                self._deliver(plan, production, takes, cut, deliver, identity, marks, desk())
            paths.append(str(out))
        return paths + self._sheets(_for_other_eyes(plan, self._redact), takes, desk)

    def _latest(self, plan: Plan) -> dict[str, FilmVersion]:
        """The last film that was written to each path."""
        latest: dict[str, FilmVersion] = {}
        for version in self._ledger.film_versions(plan.film):
            latest.setdefault(version.path, version)
        return latest

    def damaged(self, plan: Plan, takes: Mapping[str, Take]) -> list[str]:
        """File ids of what the film's takes lack: videos and tails that are gone or altered. Reads every one."""
        wanted = [file for clip in plan.clips if (take := takes.get(clip.key)) for file in (take.video, take.tail)]
        return [file for file in dict.fromkeys(wanted) if file is not None and not self._files.verify(file)]

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
        marks: dict[str, Marks],
        desk: Desk,
    ) -> None:
        from cluster.environment import code_version

        from .edit import FilmOrder, make_film, print_spec, workbench

        out = self._film_path(deliver)
        record = film_record(plan, takes, code_version(), _digests(marks), self._ledger)
        shown = redacted(record, self._redact)
        tags, guard = {TAG: canonical(shown)}, self._ledger.while_ours(production)
        with workbench(out, guard) as bench:
            prints = self._prints(cut, print_spec(plan.fps, deliver), desk)
            film = desk.home(make_film, FilmOrder(cut, prints, deliver, out, bench, tags, plan.base.absolute()))
        write_sidecar(out, shown, film.digest)
        facts = {"identity": identity, "deliver": asdict(deliver), "cut": to_dict(cut), **marks}
        facts |= {"redact": list(self._redact)} if self._redact else {}
        self._ledger.record_film(
            production,
            self._places.recorded(out),
            film.digest,
            film.frames,
            film.fps,
            canonical(facts),
            canonical(record),
        )

    def _prints(self, cut: CutList, spec: PrintSpec, desk: Desk) -> dict[str, str]:
        """Take -> stored print, of all takes that are copied from; those that are not there yet are made."""
        from .labwork import PrintOrder, print_take

        known = self._ledger.prints_of(cut.takes, spec.key)
        takes = list(dict.fromkeys(element.take for element in cut.elements if isinstance(element, Body)))
        made = desk.each(print_take, [PrintOrder(take, spec, known.get(take)) for take in takes])
        for take, (id, size) in zip(takes, made, strict=True):
            if known.get(take) != id:
                known[take] = self._ledger.record_print(take, spec.key, id, size)
        return known

    def _sheets(self, plan: Plan, takes: dict[str, Take], desk: Callable[[], Desk]) -> list[str]:
        """Contact sheet and seam strips, drawn again when they do not show this film: each says what it shows."""
        from .drawing import what_it_shows

        contact = self._places.films.absolute() / f"{plan.film}.contact.png"
        seams = self._places.films.absolute() / f"{plan.film}.seams.png"
        shows = sheets_identity(plan, takes)
        if what_it_shows(contact) != shows or what_it_shows(seams) != shows:
            from .labwork import SheetsOrder, draw_sheets

            videos = {clip.key: takes[clip.key].video for clip in plan.clips}
            plan = replace(plan, storyboard=plan.storyboard.absolute())  # a lab's working folder is another
            desk().home(draw_sheets, SheetsOrder(plan, videos, contact, seams, shows))
        return [str(contact), str(seams)]


def _cut(plan: Plan, takes: Mapping[str, Take]) -> CutList:
    return cut_list(plan, {clip.key: takes[clip.key].video for clip in plan.clips})


def _for_other_eyes(plan: Plan, redact: Sequence[str]) -> Plan:
    """The plan as sheets may show it."""
    if "prompts" not in redact:
        return plan

    def without(clip: PlannedClip) -> PlannedClip:
        return replace(clip, spec=replace(clip.spec, prompt=""))

    shots = (replace(shot, prompt="", clips=tuple(map(without, shot.clips))) for shot in plan.shots)
    return replace(plan, shots=tuple(shots))


def _identity(cut: CutList, files: _Digests, plan: Plan, deliver: Deliver, redact: Sequence[str] = ()) -> str:
    from .edit import print_spec

    if redact:
        return digest("film", CUT_VERSION, {"of": _identity(cut, files, plan, deliver), "without": list(redact)})
    shown = {name: value for name, value in to_dict(cut).items() if name != "title"}
    return digest("film", CUT_VERSION, {"cut": shown, **files, "print": print_spec(plan.fps, deliver).key})


def _up_to_date(out: Path, identity: str, before: FilmVersion | None) -> bool:
    if before is None or not out.is_file() or json.loads(before.cut_json)["identity"] != identity:
        return False
    return file_digest(out) == before.file_digest


def _marks(plan: Plan, latest: Mapping[str, FilmVersion]) -> dict[str, Marks]:
    """The film's sounds, and its titles' fonts where they have some. latest: tells what has not changed since."""
    fonts = font_marks(plan, _before(latest, "fonts"))
    return {"sounds": sound_marks(plan, _before(latest, "sounds"))} | ({"fonts": fonts} if fonts else {})


def _digests(marks: dict[str, Marks]) -> _Digests:
    return {kind: digests(found) for kind, found in marks.items()}


def _before(latest: Mapping[str, FilmVersion], kind: str) -> Marks:
    """The sounds, or fonts, that the last films were cut with."""
    marks: Marks = {}
    for version in latest.values():
        marks |= json.loads(version.cut_json).get(kind, {})
    return marks


def _mend_sidecar(plan: Plan, out: Path, film: FilmVersion) -> None:
    """Write the sidecar of a finished film again when it is gone, or of another film, or has another title."""
    try:
        found = json.loads(sidecar_of(out).read_text())
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or (found.get("sha256"), found.get("title")) != (film.file_digest, plan.title):
        write_sidecar(out, shown_lineage(film) | {"title": plan.title}, film.file_digest)


def shown_lineage(film: FilmVersion) -> dict[str, Any]:
    """The lineage that lies with a film: what it was cut without is in the ledger alone."""
    left_out = json.loads(film.cut_json).get("redact", [])
    return dict(redacted(json.loads(film.lineage_json), left_out))


def write_sidecar(out: Path, record: dict[str, Any], sha256: str) -> None:
    """Put the lineage beside a film, with the film's digest."""
    path = sidecar_of(out)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record | {"file": out.name, "sha256": sha256}, indent=1) + "\n")
    part.replace(path)
