"""A group of clips from noise to latents: the recipe's methods around the real networks, resumable between steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from . import ivmixed, videoguide
from .branches import breaks
from .chain import Copies, Tail, first_noise
from .checkpoint import Checkpoint
from .denoiser import Denoise, Prediction
from .errors import Interrupted, NeighbourLost, SpecError
from .group import Group
from .guidance import guided
from .levels import Level
from .model import Model
from .priors import draw
from .relay import LiveTail, Share
from .sampling import Edit, State, sample
from .spec import ClipSpec, ModelRef, Recipe, VidRD, Windows
from .windows import Beside, averaging


class Denoising:
    """One run of the sampler. `run` may be called once; `tails`, `nfe` and `network_seconds` are read afterwards."""

    def __init__(
        self,
        specs: Sequence[ClipSpec],
        models: Mapping[ModelRef, Model],
        tail: Tail | LiveTail | None,
        images: Sequence[np.ndarray | None],
        share: Share | None = None,
        beside: Beside | None = None,
    ) -> None:
        """models: by reference, all that the recipe names. images: the picture that each clip begins with, if any.

        tail: of the clip before, stored, or live while it is made elsewhere. share: is told what the last clip leaves.
        beside: who denoises the other windows of the shot at the same time.
        """
        self.specs = tuple(specs)
        self.recipe: Recipe = specs[0].recipe
        self.steps = specs[0].sampler.steps
        self.stop = specs[0].sampler.stop_after
        self.left: Checkpoint | None = None
        """Where the clips of a draft stand after their last step."""
        self._estimate: torch.Tensor | None = None
        self.tail = tail
        self.student = Group(specs, models[specs[0].model], self.recipe.stg, images)
        self.groups = [self.student]
        guide, mix = self.recipe.videoguide, self.recipe.iv_mixed
        self.teacher = self._group(models, guide.teacher if guide else None)
        self.image = self._group(models, mix.image if mix else None)
        _check_tail_fits(tail, self.student.shape)
        self.noise = first_noise(specs, [draw(spec, self.student.shape) for spec in specs], tail)
        chain, frames = self.recipe.chain, self.student.shape[1]
        self.copies = None
        if isinstance(chain, VidRD):
            self.copies = Copies(chain, frames, len(specs), self.steps, tail, share)
        self.joint = averaging(chain.overlap, specs[0].index, beside) if isinstance(chain, Windows) else None
        self.before_nfe = [0] * len(specs)
        self._reached: Callable[[], Checkpoint] | None = None

    def _group(self, models: Mapping[ModelRef, Model], ref: ModelRef | None) -> Group | None:
        if ref is None:
            return None
        group = Group(self.specs, models[ref])
        self.groups.append(group)
        return group

    @property
    def nfe(self) -> list[int]:
        """Network evaluations of each clip, by all models, those before a checkpoint counted."""
        return [sum(counts) for counts in zip(self.before_nfe, *(group.nfe for group in self.groups), strict=True)]

    @property
    def network_seconds(self) -> float:
        """Wall time inside networks."""
        return sum(group.seconds for group in self.groups)

    def run(
        self,
        start: Checkpoint | None,
        on_step: Callable[[int, int], None] | None,
        on_state: Callable[[int, Callable[[], Checkpoint]], None] | None,
    ) -> torch.Tensor:
        """Final latents [K, C, F, h, w], on the model's device; of a draft the last step's estimate of them.

        Where a step needs more memory than there is, the models go a rung down (`memory`), and it is made again.
        """
        while True:
            try:
                return self._run(start, on_step, on_state)
            except torch.OutOfMemoryError as error:
                problem = str(error)
            start = self._lowered(problem, start)

    def _lowered(self, problem: str, start: Checkpoint | None) -> Checkpoint | None:
        """The last state, to go on from, with every model a rung further down; None: from the beginning."""
        reached = self._reached() if self._reached else start
        self.before_nfe = [0] * len(self.specs)
        if self.copies:
            self.copies.restore({})
        for group in self.groups:
            group.nfe = [0] * len(self.specs)
        models = list(dict.fromkeys(group.model for group in self.groups))
        if not models[0].relieved(problem):
            for model in models:
                model.lower(problem)
        return reached

    def _run(
        self,
        start: Checkpoint | None,
        on_step: Callable[[int, int], None] | None,
        on_state: Callable[[int, Callable[[], Checkpoint]], None] | None,
    ) -> torch.Tensor:
        device, levels = self.student.model.device, self.student.levels
        state = self._resumed(start, device) if start is not None else None
        if self.copies:
            self.copies.share_all(self.noise)
        last: list[tuple[int, Callable[[], Checkpoint]]] = []

        def keep(state: State) -> None:
            if state.i == self.stop:
                self.left = self._checkpoint(state, self.nfe, self.copies.kept if self.copies else 0)
            # Counted now: it may be made in the middle of a later step, that waits for a neighbour or lacks memory.
            nfe, kept = self.nfe, self.copies.kept if self.copies else 0
            self._reached = lambda: self._checkpoint(state, nfe, kept)
            if on_state is not None:
                last[:] = [(state.i, self._reached)]
                on_state(*last[0])

        with self.student.ready(), self._kept_when_alone(last, on_state):
            latents = sample(
                self.student.begun(self.noise.to(device)),
                levels,
                self._seen(self._denoise()),
                self.specs[0].sampler.name,
                before=self._before(),
                after=self._after(),
                joint=self.joint,
                breaks=breaks(self.recipe, self.steps, self._guided(), self.student.model.card.traits.distilled),
                start=state,
                on_state=keep,
                on_step=on_step,
                stop=self.stop,
            )
        return self.left.tensors["estimate"] if self.left else latents

    def _seen(self, denoise: Denoise) -> Denoise:
        """The same; of a draft, what each step takes for the clean clips is kept, to be shown."""
        if self.stop is None:
            return denoise

        def seen(x: torch.Tensor, level: Level) -> Prediction:
            found = denoise(x, level)
            self._estimate = found.x0
            return found

        return seen

    @contextmanager
    def _kept_when_alone(
        self,
        last: Sequence[tuple[int, Callable[[], Checkpoint]]],
        on_state: Callable[[int, Callable[[], Checkpoint]], None] | None,
    ) -> Iterator[None]:
        """Within: a run that ends while it waits for a neighbour shows its last state once more, to be kept."""
        try:
            yield
        except (Interrupted, NeighbourLost):
            if on_state is not None and last and isinstance(self.tail, LiveTail) and self.tail.waiting:
                on_state(*last[0])
            raise

    def tails(self) -> Sequence[Tail | None]:
        """What each clip leaves to the next."""
        return self.copies.tails(self.specs, self.noise) if self.copies else [None] * len(self.specs)

    def _guided(self) -> int:
        guide = self.recipe.videoguide
        return len(videoguide.guided_steps(guide, self.steps, self.student.levels)) if guide else 0

    def _denoise(self) -> Denoise:
        """Guidance of the clips' own model, drawn towards a teacher where the recipe has one."""
        card = self.student.model.card
        own = guided(self.recipe, self.student.evaluate, self.steps, self.student.reading, card.traits.distilled)
        settings = self.recipe.videoguide
        if settings is None:
            return own
        teacher = self.teacher or self.student
        told = replace(self.recipe, stg=None)  # as published, the teacher is guided by CFG or CFG++ alone
        distilled = teacher.model.card.traits.distilled
        theirs = guided(told, teacher.evaluate, self.steps, teacher.reading, distilled)
        guide = videoguide.Guide(theirs, teacher.model.backbone.noising)
        if teacher.model.card.latent_space != card.latent_space:
            to, back = (
                _through_pixels(self.student.model, teacher.model),
                _through_pixels(teacher.model, self.student.model),
            )
            guide = replace(guide, to_teacher=to, from_teacher=back)
        return videoguide.guided(own, guide, settings, self._streams())

    def _streams(self) -> videoguide.Noise:
        return videoguide.streams(self.specs, self.student.model.device)

    def _before(self) -> tuple[Edit, ...]:
        edits: list[Edit] = []
        if self.recipe.iv_mixed and self.image:
            schedule = self.student.model.backbone.noising
            image = ivmixed.matched(self.image.evaluate, self.image.model.backbone.noising)
            settings, levels = self.recipe.iv_mixed, self.student.levels
            floor = schedule.level(schedule.train_steps if schedule.kind == "inverted" else 0, self.steps)
            edits.append(ivmixed.zigzag(image, self.student.evaluate, settings, levels, floor))
        return (*edits, self.copies) if self.copies else tuple(edits)

    def _after(self) -> tuple[Edit, ...]:
        edits: list[Edit] = []
        settings = self.recipe.videoguide
        if settings and settings.low_pass:
            edits.append(videoguide.refresh(settings, self.student.levels, self._streams()))
        return (*edits, self.copies.last) if self.copies else tuple(edits)

    def _checkpoint(self, state: State, nfe: list[int], kept: int) -> Checkpoint:
        tensors = state.tensors() | (self.copies.state(kept) if self.copies else {})
        tensors |= {"nfe": torch.tensor(nfe)}
        if state.i == self.stop and self._estimate is not None:
            level = self.student.levels[state.i]
            tensors |= {"estimate": self.joint(self._estimate, level) if self.joint else self._estimate.clone()}
        return Checkpoint(tuple(spec.key for spec in self.specs), tensors)

    def _resumed(self, start: Checkpoint, device: torch.device) -> State:
        keys = tuple(spec.key for spec in self.specs)
        if start.keys != keys:
            raise SpecError(f"a checkpoint of clips {start.keys} cannot go on as {keys}; delete it and begin anew")
        tensors = {name: tensor.to(device) for name, tensor in start.tensors.items()}
        if self.copies:
            self.copies.restore(tensors)
        self.before_nfe = [int(count) for count in start.tensors["nfe"]]
        if "estimate" in start.tensors:
            self.left = start
        return State.from_tensors(tensors)


def _through_pixels(source: Model, target: Model) -> Callable[[torch.Tensor], torch.Tensor]:
    """Clean clips [K, C, F, h, w] from one model's latent space to another's, by way of pictures, clip by clip."""

    def carried(x0: torch.Tensor) -> torch.Tensor:
        def one(latents: torch.Tensor) -> torch.Tensor:
            return target.backbone.latents_of(source.backbone.video_of(latents).to(target.device))

        return torch.stack(source.map(one, [clip.clone() for clip in x0]))

    return carried


def _check_tail_fits(tail: Tail | LiveTail | None, shape: tuple[int, int, int, int]) -> None:
    if tail is not None and tuple(tail.noise.shape) != shape:
        raise SpecError(
            f"the tail's noise is {tuple(tail.noise.shape)}, but this clip's is {shape};"
            " clips of one chain have one size"
        )
