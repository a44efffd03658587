"""From what the author wrote to what each shot has: model, size, sampler, recipe, clip length and seed.

This is where fields meet the defaults and the model. Problems are collected, all of them, and none raised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path as FilePath

from shots.errors import ModelError
from shots.joins import Join, join_of
from shots.models import ModelCard, describe
from shots.sense import nonsense, sizes, warnings
from shots.spec import ImageRef, ModelRef, Recipe, Sampler, VidRD, Windows

from .board import Defaults, DraftChoice, Film, Shot
from .findings import Findings
from .loading import loading_of
from .methods import Model
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
    image: ImageRef | None = None
    takes: int = 1
    draft: SettledShot | None = None

    @property
    def join(self) -> Join:
        """How each clip but the first joins the one before it."""
        return join_of(self.recipe.chain, self.card.frames_per_latent)

    @property
    def dropped(self) -> int:
        """Leading frames of every clip but the first that add none to the film: left out, or dissolved."""
        return self.join.dropped + self.join.dissolved

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
        choices = (shot.recipe, self.defaults.recipe)
        recipe = chosen_recipe(self.findings, at, preset.recipe, *choices, self.found)
        if card is None or recipe is None:
            return None
        sampler = self.sampler(at, shot, card, preset)
        size = self.size(card)
        clip_frames = self.clip_frames(at, shot, card, notes)
        if size is None or clip_frames is None:
            return None
        image = self.image(at, shot)
        recipe = self.fitted(at, shot, recipe, card.latent_frames(clip_frames), notes)
        self.sensible(at, shot, recipe, card, clip_frames, size, timed.frames > clip_frames)
        notes += warnings(recipe, sampler, card, self.seen())
        negative = self.defaults.negative_prompt if shot.negative_prompt is None else shot.negative_prompt
        if negative and card.traits.distilled:
            notes.append(f"negative_prompt: {card.id} is guidance-distilled and has no use for one")
        settled = SettledShot(
            timed,
            shot,
            card,
            size,
            sampler,
            recipe,
            clip_frames,
            negative,
            derived_seed(self.film.seed, shot.id) if shot.seed is None else shot.seed,
            tuple(notes),
            image,
            shot.takes or self.defaults.takes,
        )
        return replace(settled, draft=self.draft(at, shot, settled))

    def draft(self, at: Path, shot: Shot, settled: SettledShot) -> SettledShot | None:
        """The shot as a draft, when one is asked for that differs from the shot itself."""
        choice = shot.draft or self.defaults.draft
        if choice is None:
            return None
        place: Path = (*at, "draft") if shot.draft else ("defaults", "draft")
        if choice.stop_after is not None:
            return self.beginning(place, choice, settled)
        size, steps = choice.size or settled.size, choice.steps or settled.sampler.steps
        for name, check in (
            ("size", partial(settled.card.check_size, *size)),
            ("steps", partial(settled.card.check_steps, steps)),
        ):
            try:
                check()
            except ModelError as error:
                self.findings.add((*place, name), str(error))
        for wrong in sizes(settled.recipe, self.seen(), size):
            self.findings.add((*place, "size"), wrong.what, allowed=wrong.instead)
        made = replace(settled, size=size, sampler=replace(settled.sampler, steps=steps))
        return made if made != settled else None

    def beginning(self, place: Path, choice: DraftChoice, settled: SettledShot) -> SettledShot | None:
        """The shot as a draft of its own first steps, which the picked take goes on from."""
        steps, stop = settled.sampler.steps, choice.stop_after
        for name in ("steps", "size"):
            if getattr(choice, name) is not None:
                what = "a draft that the take goes on from has the steps and the size of the full take"
                self.findings.add((*place, name), what, allowed="stop_after alone, or steps and size without it")
        if stop is None or stop >= steps:
            self.findings.add(
                (*place, "stop_after"), f"the shot has {steps} steps in all", stop, allowed=f"1 to {steps - 1}"
            )
            return None
        return replace(settled, sampler=replace(settled.sampler, stop_after=stop))

    def sensible(
        self,
        at: Path,
        shot: Shot,
        recipe: Recipe,
        card: ModelCard,
        clip_frames: int,
        size: tuple[int, int],
        chained: bool,
    ) -> None:
        """Report what the model cannot do of its recipe, where it was asked for."""
        image = shot.start_image is not None
        for wrong in nonsense(recipe, card, self.seen(), clip_frames, image, chained, size):
            method = wrong.at[0] if wrong.at else ""
            if method == "start_image":
                place: Path = (*at, "start_image") if shot.start_image else at
            elif shot.recipe and (getattr(shot.recipe, method, None) or shot.recipe.preset):
                place = (*at, "recipe", *wrong.at)
            else:
                place = ("defaults", "recipe", *wrong.at)
            self.findings.add(place, wrong.what, allowed=wrong.instead)

    def seen(self) -> dict[ModelRef, ModelCard]:
        """The models described so far."""
        return {card.ref(): card for card in self.cards.values() if card}

    def found(self, at: Path, model: Model) -> ModelRef | None:
        """A model that a recipe names, as a clip spec names it."""
        card = self.card(at, model)
        return card.ref() if card else None

    def image(self, at: Path, shot: Shot) -> ImageRef | None:
        """The picture that the shot begins with, by the hash of its bytes."""
        if shot.start_image is None:
            return None
        file = self.base / shot.start_image
        try:
            with file.open("rb") as stream:
                return ImageRef(str(file.resolve()), "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            what = f"the picture cannot be read: {error.strerror or error}"
            self.findings.add((*at, "start_image"), what, shot.start_image, allowed="a PNG or JPEG file that is there")
            return None

    def model_at(self, at: Path, shot: Shot) -> tuple[Path, Model]:
        if shot.model is not None:
            return (*at, "model"), shot.model
        return ("defaults", "model"), self.defaults.model or POCKET

    def card(self, at: Path, model: Model) -> ModelCard | None:
        """The model's description; a missing model is reported once, where it is named first."""
        if model not in self.cards:
            try:
                asked = loading_of(model)
                self.cards[model] = describe(model.id, self.base, model.revision, model.dtype or "float32", asked)
            except ModelError as error:
                self.findings.add((*at, *error.at), str(error))
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

    def fitted(self, at: Path, shot: Shot, recipe: Recipe, latent_frames: int, notes: list[str]) -> Recipe:
        """The recipe with an overlap that leaves new frames in every clip; one that the author wrote is not changed."""
        chain = recipe.chain
        if not isinstance(chain, VidRD | Windows):
            return recipe
        mirrored = isinstance(chain, VidRD) and chain.order == "reverse"
        most = latent_frames if mirrored else latent_frames - 1
        if chain.overlap <= most:
            return recipe
        what = f"the chain's overlap {chain.overlap} leaves no new frames in clips of {latent_frames} latent frames"
        places = (((*at, "recipe"), shot.recipe), (("defaults", "recipe"), self.defaults.recipe))
        for place, choice in places:
            if choice and choice.chain and choice.chain.overlap == chain.overlap:
                self.findings.add((*place, "chain", "overlap"), what, allowed=f"0 to {most}")
                return recipe
        notes.append(f"{what}: made {latent_frames // 2}")
        return replace(recipe, chain=replace(chain, overlap=latent_frames // 2))

    def sampler(self, at: Path, shot: Shot, card: ModelCard, preset: Preset) -> Sampler:
        """The shot's settings over the film's over the preset's."""
        choices = (((*at, "sampler"), shot.sampler), (("defaults", "sampler"), self.defaults.sampler))
        path, steps = next(
            ((path, c.steps) for path, c in choices if c and c.steps is not None), (at, preset.sampler.steps)
        )
        name = next((c.name for _, c in choices if c and c.name is not None), preset.sampler.name)
        try:
            card.check_steps(steps)
        except ModelError as error:
            self.findings.add((*path, "steps"), str(error))
        return replace(preset.sampler, name=name, steps=steps)
