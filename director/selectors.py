"""Which clips a command means: `dawn`, `dawn/3`, `dawn..night`, and the options that narrow what is meant.

    selector = [FILM ":"] place | [FILM ":"] [place] ".." [place]
    place    = SHOT | SHOT "/" CLIP                     clips count from 1

`dawn..night` runs from the first clip of `dawn` to the last one of `night`; `dawn/2..` to the end of the film. FILM
is a film id or a storyboard file. Several selectors mean what any of them names; `--from`, `--until`, `--failed` and
`--stale` keep of that what they name. One parser, for every command that takes clips.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .errors import UsageError
from .planned import Plan, PlannedClip
from .problems import nearest

FORMS = "SHOT, SHOT/CLIP (from 1), FIRST..LAST, FIRST.. or ..LAST, each with FILM: before it where there are several"
_PLACE = re.compile(r"([^/:]+?)(?:/(\d+))?")


@dataclass(frozen=True)
class Place:
    """A shot, or one clip of it."""

    shot: str
    clip: int | None = None

    def __str__(self) -> str:
        return self.shot if self.clip is None else f"{self.shot}/{self.clip}"


@dataclass(frozen=True)
class Selector:
    """What one word names: a place (`first` is `last`), or all from `first` to `last`; None is the film's end."""

    text: str
    film: str | None
    first: Place | None
    last: Place | None

    @property
    def place(self) -> Place | None:
        """The one place that is named; None for a range."""
        return self.first if self.first == self.last else None

    def __str__(self) -> str:
        """A word that means the same."""
        film = f"{self.film}:" if self.film else ""
        return film + str(self.place or f"{self.first or ''}..{self.last or ''}")


@dataclass(frozen=True)
class Selection:
    """All that a command line says about clips. Empty: every clip."""

    selectors: tuple[Selector, ...] = ()
    since: Selector | None = None
    until: Selector | None = None
    failed: bool = False
    stale: bool = False

    @property
    def everything(self) -> bool:
        """Whether nothing was said."""
        return self == Selection()

    def bound(self, plans: Sequence[Plan]) -> Selection:
        """The same for several films: each selector says which of them it means, those that have what it names.

        Raises:
            UsageError: none has it, or a film is named that is not among them.
        """
        words = tuple(found for selector in self.selectors for found in _bound_to(selector, plans))
        since, until = (_only(bound, plans) if bound else None for bound in (self.since, self.until))
        return replace(self, selectors=words, since=since, until=until)

    def written(self) -> dict[str, Any]:
        """What `selection` is to be told for the same selection; a bound one names films, and no files."""
        said: dict[str, Any] = {"words": [str(selector) for selector in self.selectors]}
        said |= {"since": self.since and str(self.since), "until": self.until and str(self.until)}
        said |= {"failed": self.failed, "stale": self.stale}
        return {name: value for name, value in said.items() if value}

    def of(self, plan: Plan, failed: Collection[str] = (), stale: Collection[str] = ()) -> tuple[PlannedClip, ...]:
        """The clips of `plan` that are meant, in film order. failed, stale: keys of the clips that are.

        Raises:
            UsageError: a shot or clip that the plan does not have.
        """
        index = _Index(plan)
        chosen: set[int] = set()
        for selector in self.selectors:
            if selector.film in (None, plan.film):
                chosen |= set(index.named(selector))
        if not self.selectors:
            chosen = set(range(len(index.clips)))
        since, until = (
            bound if bound and bound.film in (None, plan.film) else None for bound in (self.since, self.until)
        )
        chosen &= set(index.between(since, until))
        keep = (set(failed) if self.failed else set()) | (set(stale) if self.stale else set())
        return tuple(
            clip
            for n, clip in enumerate(index.clips)
            if n in chosen and (clip.key in keep or not (self.failed or self.stale))
        )


def parse(text: str) -> Selector:
    """One selector.

    Raises:
        UsageError: it has none of the forms.
    """
    film, colon, rest = text.rpartition(":")
    first, dots, last = rest.partition("..")
    if (colon and not film) or not rest or (dots and not first and not last):
        raise _refuse(text)
    begin = _place(first, text) if first else None
    return Selector(text, film or None, begin, (_place(last, text) if last else None) if dots else begin)


def selection(
    words: Sequence[str] = (),
    since: str | None = None,
    until: str | None = None,
    failed: bool = False,
    stale: bool = False,
) -> Selection:
    """A selection from what was written on the command line. Raises UsageError."""
    first = None if since is None else _bound("--from", since)
    last = None if until is None else _bound("--until", until)
    return Selection(tuple(map(parse, words)), first, last, failed, stale)


def _bound_to(selector: Selector, plans: Sequence[Plan]) -> list[Selector]:
    """The selector with the id of each film that it means."""
    if selector.film is not None:
        films = {name: plan.film for plan in plans for name in (plan.film, str(plan.storyboard), plan.storyboard.name)}
        if selector.film not in films:
            known = ", ".join(plan.film for plan in plans)
            raise UsageError(f"{selector.text!r} names the film {selector.film!r}; the films here are {known}")
        return [replace(selector, film=films[selector.film])]
    if len(plans) == 1:
        return [replace(selector, film=plans[0].film)]
    shots = {place.shot for place in (selector.first, selector.last) if place}
    found = [replace(selector, film=plan.film) for plan in plans if shots <= {shot.id for shot in plan.shots}]
    if not found:
        raise UsageError(f"{selector.text!r}: none of the films {', '.join(p.film for p in plans)} has that shot")
    return found


def _only(selector: Selector, plans: Sequence[Plan]) -> Selector:
    found = _bound_to(selector, plans)
    if len(found) > 1:
        raise UsageError(f"{selector.text!r} is in several films; name one of them, as {found[0].film}:{selector.text}")
    return found[0]


def _bound(option: str, text: str) -> Selector:
    found = parse(text)
    if found.place is None:
        raise UsageError(f"{option} {text!r} names a range; give one shot, or one clip as SHOT/CLIP")
    return found


def _place(text: str, whole: str) -> Place:
    match = _PLACE.fullmatch(text)
    if match is None or (match[2] is not None and int(match[2]) < 1):
        raise _refuse(whole)
    return Place(match[1], int(match[2]) if match[2] else None)


def _refuse(text: str) -> UsageError:
    return UsageError(f"{text!r} names no clips; allowed: {FORMS}")


class _Index:
    """Where the shots and clips of a plan stand."""

    def __init__(self, plan: Plan) -> None:
        self.film = plan.film
        self.clips = plan.clips
        self.spans: dict[str, range] = {}
        at = 0
        for shot in plan.shots:
            self.spans[shot.id] = range(at, at + len(shot.clips))
            at += len(shot.clips)

    def named(self, selector: Selector) -> range:
        begin = self.find(selector.first).start if selector.first else 0
        end = self.find(selector.last).stop if selector.last else len(self.clips)
        if begin >= end:
            raise UsageError(
                f"{selector.text!r} runs backwards: {selector.first} stands after {selector.last} in film "
                f"{self.film}; write {selector.last}..{selector.first}"
            )
        return range(begin, end)

    def between(self, since: Selector | None, until: Selector | None) -> range:
        begin = self.find(since.first).start if since and since.first else 0
        end = self.find(until.first).stop if until and until.first else len(self.clips)
        if since and until and begin >= end:
            raise UsageError(
                f"--from {since.text!r} stands after --until {until.text!r} in film {self.film}, so nothing is between"
            )
        return range(begin, end)

    def find(self, place: Place) -> range:
        span = self.spans.get(place.shot)
        if span is None:
            like = nearest(place.shot, self.spans)
            hint = f"; did you mean {like!r}?" if like else ""
            shots = ", ".join(list(self.spans)[:20]) + (", ..." if len(self.spans) > 20 else "")
            raise UsageError(f"film {self.film} has no shot {place.shot!r}; its shots are {shots}{hint}")
        if place.clip is None:
            return span
        if place.clip > len(span):
            has = "1 clip" if len(span) == 1 else f"{len(span)} clips"
            raise UsageError(f"shot {place.shot!r} of film {self.film} has {has}, so no clip {place.clip}")
        return range(span.start + place.clip - 1, span.start + place.clip)
