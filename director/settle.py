"""From what the author wrote to what each shot has: defaults, model, recipe, sampler and lengths in whole frames.

This is where fields meet each other and the model. Problems are collected, all of them, and none raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path as FilePath
from typing import Any

from shots.errors import ModelError
from shots.models import ModelCard, describe
from shots.spec import Chain, ModelRef, Recipe, Sampler, VidRD

from .board import Audio, Bed, Defaults, Film, Model, SamplerChoice, Shot, TitleCard, TransitionChoice
from .errors import Problem
from .planned import Sound, Title, Transition
from .presets import Preset
from .problems import Path, show, where
from .recipes import chosen_preset, chosen_recipe
from .source import Source

POCKET = Model(id="pocket")


@dataclass(frozen=True)
class SettledShot:
    """A shot with nothing left open. beats: (first frame, prompt), ascending, the shot's own prompt first."""

    id: str
    shot: Shot
    card: ModelCard
    model: ModelRef
    size: tuple[int, int]
    sampler: Sampler
    recipe: Recipe
    clip_frames: int
    negative_prompt: str
    seed: int
    frames: int
    beats: tuple[tuple[int, str], ...]
    transition: Transition
    title: Title | None
    audio: tuple[Sound, ...]
    notes: tuple[str, ...] = ()


@dataclass
class Report:
    """The problems found so far in one file."""

    source: Source
    found: dict[Problem, None] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        """All problems, each once: one in `defaults` shows itself in every shot."""
        return list(self.found)

    def add(self, path: Path, what: str, value: Any = ..., *, allowed: str | None = None, near: str | None = None) -> None:
        """A problem with what stands at `path`; `value` as given, if it helps."""
        given = None if value is ... else show(value)
        place = where(path, self.source.data)
        self.found[self.source.problem(path, what, where=place, given=given, allowed=allowed, nearest=near)] = None


def derived_seed(film_seed: int, shot_id: str) -> int:
    """The seed of a shot that names none: a function of the film's seed and the shot's id, not of its place."""
    digest = hashlib.sha256(f"longtake shot seed 1\n{film_seed}\n{shot_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def decimal(value: Fraction) -> str:
    """A rational for people: at most three decimals, no trailing zeros."""
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


@dataclass
class Settler:
    """Settles the shots of one film. Models are described once each."""

    film: Film
    defaults: Defaults
    report: Report
    base: FilePath
    cards: dict[tuple[str, str | None], ModelCard | None] = field(default_factory=dict)
    film_size: tuple[int, int] | None = None

    def shot(self, index: int, shot: Shot) -> SettledShot | None:
        """The shot at `index` of the file, settled; None when a problem prevents it."""
        at: Path = ("shots", index)
        notes: list[str] = []
        before = len(self.report.found)
        frames = self.length(at, shot.seconds, shot.frames, notes) if _one_of(shot.seconds, shot.frames) else 0
        beats = self.beats(at, shot)
        transition = self.transition((*at, "transition"), shot.transition, notes)
        title = self.title((*at, "title"), shot.title, notes)
        audio = tuple(self.sound(a, False) for a in shot.audio)
        choice = self.model_at(at, shot)
        card = self.card(*choice)
        preset = chosen_preset(self.report, at, shot.recipe, self.defaults.recipe)
        recipe = preset and chosen_recipe(self.report, at, preset.recipe, shot.recipe, self.defaults.recipe)
        if card is None or preset is None or recipe is None:
            return None
        size = self.size(card)
        clip_frames = self.clip_frames(at, shot, card, notes)
        if clip_frames:
            self.overlap(at, recipe.chain, clip_frames)
        if len(self.report.found) > before or size is None or clip_frames is None:
            return None
        return SettledShot(
            shot.id,
            shot,
            card,
            self.reference(card, choice[1]),
            size,
            self.sampler(shot, preset),
            recipe,
            clip_frames,
            self.defaults.negative_prompt if shot.negative_prompt is None else shot.negative_prompt,
            derived_seed(self.film.seed, shot.id) if shot.seed is None else shot.seed,
            frames,
            beats,
            transition,
            title,
            audio,
            tuple(notes),
        )

    def length(
        self, at: Path, seconds: Fraction | None, frames: int | None, notes: list[str] | None, name: str = ""
    ) -> int:
        """Whole film frames of a duration; what rounding changed goes to `notes`."""
        if frames is not None or seconds is None:
            return frames or 0
        count = int(seconds * self.film.fps + Fraction(1, 2))
        if count == 0:
            self.report.add(
                (*at, "seconds"),
                f"shorter than half a frame at {decimal(self.film.fps)} frames a second",
                float(seconds),
                allowed=f"at least {decimal(1 / self.film.fps)} seconds, one frame",
            )
        elif count != seconds * self.film.fps and notes is not None:
            notes.append(
                f"{name}{decimal(seconds)} s is {decimal(seconds * self.film.fps)} frames at "
                f"{decimal(self.film.fps)} fps: made {count}"
            )
        return count

    def beats(self, at: Path, shot: Shot) -> tuple[tuple[int, str], ...]:
        found = [(0, shot.prompt)]
        for k, beat in enumerate(shot.beats):
            path = (*at, "beats", k)
            if not _one_of(beat.at, beat.at_frame):
                continue  # reported by checks
            start = beat.at_frame if beat.at is None else int(beat.at * self.film.fps + Fraction(1, 2))
            assert start is not None
            if start < found[-1][0] or (k and start == found[-1][0]):
                self.report.add(path, "a beat must begin after the one before it", f"frame {start}")
            found.append((start, beat.prompt))
        return tuple(found)

    def transition(self, at: Path, choice: TransitionChoice | None, notes: list[str]) -> Transition:
        if choice is None or choice.kind == "cut":
            for name in ("seconds", "frames", "colour"):
                if choice and getattr(choice, name) is not None:
                    self.report.add((*at, name), f"a cut has no {name}", allowed="crossfade or fade, or no such field")
            return Transition()
        if choice.kind == "crossfade" and choice.colour is not None:
            self.report.add((*at, "colour"), "a crossfade goes through no colour", allowed="`kind: fade`, or no colour")
        seconds = Fraction(1, 2) if choice.seconds is None and choice.frames is None else choice.seconds
        frames = self.length(at, seconds, choice.frames, notes if choice.seconds else None, f"{choice.kind}: ")
        return Transition(choice.kind, max(frames, 1), choice.colour or (0, 0, 0))

    def title(self, at: Path, choice: TitleCard | None, notes: list[str]) -> Title | None:
        if choice is None:
            return None
        seconds = Fraction(2) if choice.seconds is None and choice.frames is None else choice.seconds
        frames = self.length(at, seconds, choice.frames, notes, "title: ")
        return Title(choice.text, frames, choice.over, choice.colour, choice.text_colour)

    def sound(self, audio: Audio, loop: bool) -> Sound:
        start = int((audio.start or 0) * self.film.fps + Fraction(1, 2))
        fades = audio.fade_in or Fraction(0), audio.fade_out or Fraction(0)
        return Sound(FilePath(audio.file), audio.gain, start, *fades, loop=loop)

    def bed(self, bed: Bed | None) -> Sound | None:
        """The sound under the film."""
        return bed and self.sound(bed, bed.loop)

    def model_at(self, at: Path, shot: Shot) -> tuple[Path, Model]:
        if shot.model is not None:
            return (*at, "model"), shot.model
        return ("defaults", "model"), self.defaults.model or POCKET

    def card(self, at: Path, model: Model) -> ModelCard | None:
        """The model's description; a missing model is reported once, where it is named first."""
        name = model.id, model.revision
        if name not in self.cards:
            try:
                self.cards[name] = describe(model.id, self.base, model.revision)
            except ModelError as error:
                self.report.add(at, str(error))
                self.cards[name] = None
        return self.cards[name]

    def reference(self, card: ModelCard, choice: Model) -> ModelRef:
        return replace(card.ref(), dtype=choice.dtype) if choice.dtype else card.ref()

    def size(self, card: ModelCard) -> tuple[int, int] | None:
        self.film_size = size = self.film_size or self.film.size or card.size_native
        try:
            card.check_size(*size)
        except ModelError as error:
            self.report.add(("film", "size"), str(error))
            return None
        return size

    def clip_frames(self, at: Path, shot: Shot, card: ModelCard, notes: list[str]) -> int | None:
        """N, on the model's grid."""
        asked = shot.clip_frames or self.defaults.clip_frames
        if asked is None:
            return card.frames_native
        path: Path = (*at, "clip_frames") if shot.clip_frames else ("defaults", "clip_frames")
        if not card.frames_min <= asked <= card.frames_max:
            allowed = f"{card.frames_min} to {card.frames_max} frames" + (
                f" in steps of {card.frames_step}" if card.frames_step > 1 else ""
            )
            self.report.add(path, f"{card.id} cannot make clips of this many frames", asked, allowed=allowed)
            return None
        made = card.snap_frames(asked)
        if made != asked:
            notes.append(f"clip_frames {asked} is not on the grid of {card.id}: made {made}")
        return made

    def overlap(self, at: Path, chain: Chain, clip_frames: int) -> None:
        """A chain must make new frames in every clip."""
        if not isinstance(chain, VidRD):
            return
        most = clip_frames - 1 if chain.order == "forward" else clip_frames
        if chain.overlap > most:
            own = self.report.source.data["shots"][at[1]].get("recipe")
            path: Path = (*at, "recipe", "chain", "overlap") if own else ("defaults", "recipe", "chain", "overlap")
            what = f"the chain's overlap leaves no new frames in clips of {clip_frames}"
            self.report.add(path, what, chain.overlap, allowed=f"0 to {most} with order {chain.order}")

    def sampler(self, shot: Shot, preset: Preset) -> Sampler:
        """The shot's settings over the film's over the preset's."""
        choices: Sequence[SamplerChoice | None] = (shot.sampler, self.defaults.sampler)
        steps = next((c.steps for c in choices if c and c.steps is not None), preset.sampler.steps)
        return replace(preset.sampler, steps=steps)


def _one_of(*values: object) -> bool:
    return sum(v is not None for v in values) == 1


def check_joins(report: Report, shots: Iterable[tuple[int, SettledShot | None]]) -> None:
    """Transitions must fit into what they join. A shot that could not be settled is passed over."""
    known = list(shots)
    for place, (index, shot) in enumerate(known):
        if shot is None:
            continue
        before = known[place - 1][1] if place else None
        _check_join(report, index, shot, before, first=place == 0)
        after = known[place + 1][1] if place + 1 < len(known) else None
        if after is not None:
            _check_both_ends(report, known[place + 1][0], shot, after)
        if shot.title and shot.title.over == "shot" and shot.title.frames > shot.frames:
            allowed = f"at most {shot.frames} frames"
            report.add(("shots", index, "title"), "the title is longer than its shot", shot.title.frames, allowed=allowed)


def card_frames(shot: SettledShot) -> int:
    """Film frames of the shot's title card, 0 without one."""
    return shot.title.frames if shot.title and shot.title.over == "card" else 0


def taken(transition: Transition) -> tuple[int, int]:
    """Frames that a transition takes from the end of what is before, and from the beginning of its shot."""
    if transition.kind == "crossfade":
        return transition.frames, transition.frames
    return transition.frames // 2, transition.frames - transition.frames // 2


def _check_join(report: Report, index: int, shot: SettledShot, before: SettledShot | None, first: bool) -> None:
    at: Path = ("shots", index, "transition")
    out, into = taken(shot.transition)
    card = card_frames(shot)
    if first and shot.transition.kind == "crossfade" and not card:
        report.add(at, "the first shot has nothing before it to crossfade from", allowed="cut, fade, or a title card")
        return
    if into > shot.frames:
        what = f"the {shot.transition.kind} is longer than the shot that it leads into"
        report.add(at, what, f"{shot.transition.frames} frames", allowed=f"a shot of {shot.frames} frames has room for {shot.frames}")
        return
    length = card or (before.frames if before else None)
    if length is not None and out > length:
        name = "title card" if card else f"shot {before.id!r}" if before else "shot"
        what = f"the {shot.transition.kind} is longer than the {name} that it leaves"
        report.add(at, what, f"{shot.transition.frames} frames", allowed=f"{name} has {length} frames")


def _check_both_ends(report: Report, index: int, shot: SettledShot, after: SettledShot) -> None:
    """The ways into and out of a shot may not share frames."""
    into = taken(shot.transition)[1]
    out = 0 if card_frames(after) else taken(after.transition)[0]
    if into <= shot.frames and out <= shot.frames < into + out:
        report.add(
            ("shots", index, "transition"),
            f"the transitions into and out of shot {shot.id!r} overlap ({into} + {out} frames)",
            allowed=f"together at most the shot's {shot.frames} frames",
        )
