"""From what the author wrote to what each shot has: model, size, sampler, recipe, clip length and seed.

This is where fields meet the defaults and the model. Problems are collected, all of them, and none raised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from shots.errors import ModelError
from shots.models import ModelCard, describe
from shots.spec import Recipe, Sampler, VidRD

from .board import Defaults, Film, Model, Shot
from .findings import Findings
from .presets import Preset
from .problems import Path
from .recipes import chosen_preset, chosen_recipe
from .timing import TimedShot

MOST_CLIPS = 100_000
"""Clips of one film."""
POCKET = Model(id="pocket")


@dataclass(frozen=True)
class SettledShot:
    """A shot with nothing left open. notes: what had to be changed of what the author asked."""

    timed: TimedShot
    shot: Shot
    card: ModelCard
    size: tuple[int, int]
    sampler: Sampler
    recipe: Recipe
    clip_frames: int
    negative_prompt: str
    seed: int
    notes: tuple[str, ...]

    @property
    def dropped(self) -> int:
        """Leading frames of every clip but the first that repeat the clip before."""
        chain = self.recipe.chain
        return chain.overlap if isinstance(chain, VidRD) and chain.order == "forward" else 0

    @property
    def clip_count(self) -> int:
        """Clips that reach the shot's frames: the first keeps all of its own, each other all but `dropped`."""
        more = max(0, self.timed.frames - self.clip_frames)
        return 1 - -more // (self.clip_frames - self.dropped)


def derived_seed(film_seed: int, shot_id: str) -> int:
    """The seed of a shot that names none: a function of the film's seed and the shot's id, not of its place."""
    digest = hashlib.sha256(f"longtake shot seed 1\n{film_seed}\n{shot_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def check_amount(findings: Findings, shots: list[SettledShot]) -> None:
    """A film has at most `MOST_CLIPS` clips; the shot that needs most of them is named."""
    counts = [shot.clip_count for shot in shots]
    if sum(counts) > MOST_CLIPS:
        longest = counts.index(max(counts))
        what = f"the film needs {sum(counts)} clips, this shot alone {counts[longest]}"
        allowed = f"at most {MOST_CLIPS} clips a film; shorten shots, make clip_frames larger, or write several films"
        findings.add(("shots", longest), what, allowed=allowed)


@dataclass
class Settler:
    """Settles the shots of one film. Models are described once each."""

    film: Film
    defaults: Defaults
    findings: Findings
    base: FilePath
    cards: dict[Model, ModelCard | None] = field(default_factory=dict)
    film_size: tuple[int, int] | None = None

    def shot(self, index: int, shot: Shot, timed: TimedShot) -> SettledShot | None:
        """The shot at `index` of the file, settled; None when a problem prevents it."""
        at: Path = ("shots", index)
        notes = list(timed.notes)
        card = self.card(*self.model_at(at, shot))
        preset = chosen_preset(shot.recipe, self.defaults.recipe)
        recipe = chosen_recipe(self.findings, at, preset.recipe, shot.recipe, self.defaults.recipe)
        if card is None or recipe is None:
            return None
        sampler = self.sampler(at, shot, card, preset)
        size = self.size(card)
        clip_frames = self.clip_frames(at, shot, card, notes)
        if size is None or clip_frames is None:
            return None
        return SettledShot(
            timed,
            shot,
            card,
            size,
            sampler,
            self.fitted(at, shot, recipe, clip_frames, notes),
            clip_frames,
            self.defaults.negative_prompt if shot.negative_prompt is None else shot.negative_prompt,
            derived_seed(self.film.seed, shot.id) if shot.seed is None else shot.seed,
            tuple(notes),
        )

    def model_at(self, at: Path, shot: Shot) -> tuple[Path, Model]:
        if shot.model is not None:
            return (*at, "model"), shot.model
        return ("defaults", "model"), self.defaults.model or POCKET

    def card(self, at: Path, model: Model) -> ModelCard | None:
        """The model's description; a missing model is reported once, where it is named first."""
        if model not in self.cards:
            try:
                self.cards[model] = describe(model.id, self.base, model.revision, model.dtype or "float32")
            except ModelError as error:
                self.findings.add(at, str(error))
                self.cards[model] = None
        return self.cards[model]

    def size(self, card: ModelCard) -> tuple[int, int] | None:
        self.film_size = size = self.film_size or self.film.size or card.size_native
        try:
            card.check_size(*size)
        except ModelError as error:
            self.findings.add(("film", "size"), str(error))
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
            self.findings.add(path, f"{card.id} cannot make clips of this many frames", asked, allowed=allowed)
            return None
        made = card.snap_frames(asked)
        if made != asked:
            notes.append(f"clip_frames {asked} is not on the grid of {card.id}: made {made}")
        return made

    def fitted(self, at: Path, shot: Shot, recipe: Recipe, clip_frames: int, notes: list[str]) -> Recipe:
        """The recipe with an overlap that leaves new frames in every clip; one that the author wrote is not changed."""
        chain = recipe.chain
        if not isinstance(chain, VidRD):
            return recipe
        most = clip_frames - 1 if chain.order == "forward" else clip_frames
        if chain.overlap <= most:
            return recipe
        what = f"the chain's overlap {chain.overlap} leaves no new frames in clips of {clip_frames}"
        places = (((*at, "recipe"), shot.recipe), (("defaults", "recipe"), self.defaults.recipe))
        for place, choice in places:
            if choice and choice.chain and choice.chain.overlap == chain.overlap:
                allowed = f"0 to {most} with order {chain.order}"
                self.findings.add((*place, "chain", "overlap"), what, allowed=allowed)
                return recipe
        notes.append(f"{what}: made {clip_frames // 2}")
        return replace(recipe, chain=replace(chain, overlap=clip_frames // 2))

    def sampler(self, at: Path, shot: Shot, card: ModelCard, preset: Preset) -> Sampler:
        """The shot's settings over the film's over the preset's."""
        choices = (((*at, "sampler"), shot.sampler), (("defaults", "sampler"), self.defaults.sampler))
        path, steps = next(
            ((path, c.steps) for path, c in choices if c and c.steps is not None), (at, preset.sampler.steps)
        )
        try:
            card.check_steps(steps)
        except ModelError as error:
            self.findings.add((*path, "steps"), str(error))
        return replace(preset.sampler, steps=steps)
