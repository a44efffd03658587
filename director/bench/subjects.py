"""What `bench methods` measures on: a model that is loaded, the size of its clips, and its own pipeline beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shots.backbones.families import BY_NAME
from shots.models import ModelCard, describe
from shots.sense import nonsense
from shots.spec import (
    Cfg,
    CfgPlusPlus,
    ClipSpec,
    IvMixed,
    ModelRef,
    NoChain,
    Pyoco,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
)

if TYPE_CHECKING:
    from shots.shoot import Model

SCALE = 3.0

SMALL: dict[str, tuple[int, int, int]] = {
    "animatediff": (32, 32, 4),
    "text_to_video_sd": (32, 32, 4),
    "latte": (32, 32, 4),
    "ltx": (96, 96, 9),
    "ltx2": (96, 96, 9),
    "wan": (160, 160, 9),
    "wan22": (160, 160, 9),
    "cogvideox": (160, 160, 9),
    "cogvideox15": (160, 160, 9),
    "mochi": (160, 160, 13),
    "hunyuan_video": (160, 160, 9),
    "hunyuan_video15": (160, 160, 9),
}
"""Family, or kind of its models -> width, height and frames at which its small made-up network sees a few hundred
tokens, or UNet a thousand places."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A loaded video model. size: width, height, frames. image: what IV-Mixed sampling mixes it with, if anything.
    prompt: no longer than the model's text encoder reads."""

    name: str
    model: Model
    size: tuple[int, int, int]
    steps: int
    image: Model | None = None
    prompt: str = "a red boat floating over the sea by day"

    @property
    def card(self) -> ModelCard:
        """The video model's."""
        return self.model.card

    @property
    def models(self) -> dict[ModelRef, Model]:
        """All that a recipe may name."""
        return {each.card.ref(): each for each in (self.model, self.image) if each}

    def recipes(self) -> dict[str, Recipe]:
        """The methods that the model takes, each alone."""
        bare = Recipe(Cfg(SCALE), chain=NoChain())
        found = {
            "CFG": bare,
            "CFG++": replace(bare, guidance=CfgPlusPlus()),
            "PYoCo": replace(bare, prior=Pyoco()),
            "VidRD": replace(bare, chain=VidRD(max(1, self.card.latent_frames(self.size[2]) // 2))),
            "STG": replace(bare, stg=Stg()),
            "VideoGuide (I 3, tau 3)": replace(bare, videoguide=VideoGuide(steps=3, tau=3)),
        }
        if self.image:
            found["IV-Mixed"] = replace(bare, iv_mixed=IvMixed(self.image.card.ref()))
        cards = {ref: model.card for ref, model in self.models.items()}
        return {
            name: recipe
            for name, recipe in found.items()
            if not list(nonsense(recipe, self.card, cards, self.size[2], chained=True))
        }

    def clips(self, recipe: Recipe, count: int = 1) -> list[ClipSpec]:
        """Consecutive clips of one shot."""
        made: list[ClipSpec] = []
        for index in range(count):
            before = made[-1].key if made and isinstance(recipe.chain, VidRD) else None
            sampler = Sampler("ddim", self.steps)
            made.append(ClipSpec(self.card.ref(), *self.size, self.prompt, "", 5, index, sampler, recipe, before))
        return made

    def stock(self) -> Callable[[], Any]:
        """A clip by the pipeline's own call, with CFG of its own."""
        import torch

        from shots.backbones.families import Ask

        family, pipe = BY_NAME[self.card.family], self._whole()
        asked = family.arguments(pipe, Ask(self.prompt, *self.size, self.steps)) | family.guided(pipe, SCALE)
        device = self.model.device

        def call() -> Any:
            generator = torch.Generator(device).manual_seed(5)
            return pipe(**asked | {"negative_prompt": "", "output_type": "np", "generator": generator})

        return call

    def _whole(self) -> Any:
        """The pipeline with the parts that longtake leaves out, too, such as those of LTX-2's sound."""
        import torch

        from shots.model import quiet

        pipe = self.model.pipe
        told, parts = type(pipe).load_config(self.card.path), pipe.components
        missing = [name for name, part in parts.items() if part is None and (told.get(name) or [None])[0]]
        if not missing:
            return pipe
        held = {name: part for name, part in parts.items() if part is not None}
        with quiet():
            made = type(pipe).from_pretrained(self.card.path, dtype=getattr(torch, self.card.dtype), **held)
        for name in missing:
            if isinstance(made.components[name], torch.nn.Module):
                made.components[name].to(self.model.device)
        made.set_progress_bar_config(disable=True)
        return made

    def close(self) -> None:
        """Let the models go."""
        for model in self.models.values():
            model.close()


def embedded(steps: int) -> Iterator[Subject]:
    """The two video models that come with this package."""
    for name in ("pocket", "pocket-dit"):
        card = describe(name)
        side = card.size_native if name == "pocket" else (64, 64)
        yield _loaded(name, card, (*side, card.frames_native), steps, describe("pocket-image"))


def small(steps: int) -> Iterator[Subject]:
    """A small network of every family, with made-up weights."""
    from shots import made_up
    from shots.model import quiet

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with quiet():
            image = describe(str(made_up.save("stable_diffusion", folder / "image", made_up.SMALL)))
        for name, size in SMALL.items():
            with quiet():
                card = describe(str(made_up.save(name, folder / name, made_up.SMALL)))
            subject = replace(_loaded(name, card, size, steps, image), prompt="a red boat")
            made_up.lighten(subject.model.pipe)
            yield subject


def full(steps: int) -> Iterator[Subject]:
    """Networks of published sizes with made-up weights, in bfloat16, on the accelerator, at their own picture sizes."""
    from shots.made_up.full import FULL, save_full
    from shots.model import quiet

    for name in FULL:
        with tempfile.TemporaryDirectory() as place:
            with quiet():
                save_full(name, Path(place), "cuda")
            card = describe(place, dtype="bfloat16")
            yield _loaded(name, card, (*card.size_native, card.frames_native), steps, None)


def chosen(model: str, steps: int) -> Iterator[Subject]:
    """A model of the user's: embedded, in a folder, or a hub id in the cache, at its own picture size.

    Raises:
        ModelError: there is no such model here, or longtake cannot drive it.
    """
    import torch

    card = describe(model, dtype="bfloat16" if torch.cuda.is_available() else "float32")
    yield _loaded(model, card, (*card.size_native, card.frames_native), steps, None)


def _loaded(name: str, card: ModelCard, size: tuple[int, int, int], steps: int, image: ModelCard | None) -> Subject:
    from shots.shoot import load

    model = load(card)
    fits = image is not None and card.frames_per_latent == 1 and image.latent_space == card.latent_space
    return Subject(name, model, size, steps, load(image) if image and fits else None)
