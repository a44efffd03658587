"""Which film a command means that is given clips alone: `dawn/3`, `harbour:dawn/3` or `harbour.yaml:dawn/3`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from .errors import UsageError
from .planned import Plan
from .selectors import Selection, Selector, selection
from .session import Session

SUFFIXES = (".yaml", ".yml", ".json")


def scope(session: Session, words: Sequence[str]) -> tuple[Plan, Selection]:
    """The plan of the film that these selectors mean, and what they select of it.

    Without a film's name it is the only film that has been rendered here, or the only one with these shots. The
    storyboard is the one that it was rendered from last; one of its name beside the data folder comes first, if it is
    of this film.

    Raises:
        UsageError: no film, several films, or a storyboard that is not where it was. StoryboardError.
    """
    chosen = selection(words)
    names = list(dict.fromkeys(selector.film for selector in chosen.selectors))
    if len(names) > 1:
        shown = ", ".join("the only film here" if name is None else name for name in names)
        raise UsageError(f"these clips are of several films ({shown}); give those of one film at a time")
    plan = the_plan(session, names[0] if names else None, chosen.selectors[0] if chosen.selectors else None)
    return plan, chosen.bound([plan])


def the_plan(session: Session, name: str | None, said: Selector | None = None) -> Plan:
    """The plan of a film by its id or storyboard file; of the only film when `name` is None. Raises UsageError."""
    if name is not None and Path(name).suffix.lower() in SUFFIXES:
        return session.plans([name])[0]
    films = {film.film: film for film in session.ledger.films()} if session.ledger else {}
    if name is None:
        name = _only(session, films, said)
    what = said.text.rpartition(":")[2] if said else "SHOT"
    if not films:
        raise UsageError(f"nothing has been rendered here yet; name the storyboard, too, as FILE.yaml:{what}")
    if name is None:
        raise UsageError(f"there are several films here ({', '.join(films)}); say of which, as FILM:{what}")
    if name not in films:
        raise UsageError(f"no film {name!r} has been rendered here; recorded films: {', '.join(films)}")
    recorded = Path(films[name].last.storyboard_path)
    # A project folder may have been moved or copied, with the storyboard beside the data.
    for path in dict.fromkeys((session.places.anchor / recorded.name, recorded)):
        if path.is_file() and (plan := session.plans([str(path)])[0]).film == name:
            return plan
    raise UsageError(f"the storyboard of {name} is no longer at {recorded}; name it, as FILE.yaml:{what}")


def _only(session: Session, films: Collection[str], said: Selector | None) -> str | None:
    """The only film that there is, or of several the only one whose last production had the shots that are named."""
    shots = {place.shot for place in (said.first, said.last) if place} if said else set()
    if len(films) > 1 and session.ledger is not None and shots:
        films = [film for film in films if shots <= {shot for shot, _ in session.ledger.latest_slates(film)}]
    return next(iter(films)) if len(films) == 1 else None
