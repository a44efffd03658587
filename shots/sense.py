"""Does a recipe make sense for a model? Asked by `plan`, before anything is loaded. No torch here.

Each method checks its own numbers where it lives (`joins`, `videoguide`, `ivmixed`, `branches`, `blocks`); here stands
what a method needs of a model, and which methods do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import ivmixed, videoguide
from .backbones.blocks import Skip, anatomy_of, chosen
from .backbones.families import BY_NAME
from .errors import ModelRefuses, SpecError
from .joins import check_chain_settings, check_prior
from .models import ModelCard
from .spec import Anchor, Cfg, CfgPlusPlus, ModelRef, Recipe, Sampler, VidRD


@dataclass(frozen=True)
class Nonsense:
    """A setting that cannot be: where it stands in a recipe, why, and what to do instead."""

    at: tuple[str, ...]
    what: str
    instead: str


def nonsense(
    recipe: Recipe,
    card: ModelCard,
    cards: Mapping[ModelRef, ModelCard],
    frames: int,
    starts_with_image: bool = False,
    chained: bool = False,
    size: tuple[int, int] | None = None,
) -> Iterator[Nonsense]:
    """Everything about a recipe that this model cannot do. cards: of the other models that the recipe names.

    starts_with_image: the shot begins with a given picture. chained: it has more clips than one. size: width and height
    of the pictures, where they are known.
    """
    if not card.video:
        yield Nonsense(
            (), f"{card.id} is an image model, which makes no clips", "a video model; image models serve iv_mixed.image"
        )
        return
    yield from _windows(recipe)
    yield from _guidance(recipe, card)
    yield from _chain(recipe, card, frames)
    yield from _pictures(recipe, card, starts_with_image, chained)
    yield from _stg(recipe, card)
    yield from _videoguide(recipe, card, cards, frames)
    yield from _iv_mixed(recipe, card, cards)
    if size:
        yield from sizes(recipe, cards, size)


def warnings(recipe: Recipe, sampler: Sampler, card: ModelCard, cards: Mapping[ModelRef, ModelCard]) -> Iterator[str]:
    """What works and is probably not what was meant."""
    guide, chain = recipe.videoguide, recipe.chain
    if left_out := BY_NAME[card.family].not_made:
        yield f"{card.id} makes {left_out}, too, which longtake does not: the pictures alone (docs/models.md)"
    if guide and guide.teacher and cards[guide.teacher].latent_space != card.latent_space:
        yield (
            f"videoguide: {cards[guide.teacher].id} has another latent space than {card.id}, so each guided step goes"
            " through pictures: two decodings and two encodings a step and clip, which no NFE counts"
        )
    if sampler.name == "dpmpp_2m" and isinstance(chain, VidRD) and chain.overlap and chain.beta == 1:
        yield (
            "sampler dpmpp_2m with a chain that copies frames at every step (beta 1): all clips of a shot but the first"
            " start anew at each step, which is ddim; a smaller beta, or chain windows, keeps the second order"
        )
    if guide and recipe.iv_mixed and recipe.iv_mixed.start * sampler.steps < guide.steps:
        yield "videoguide and iv_mixed act in the same steps: their prices multiply; let iv_mixed start later"


def _windows(recipe: Recipe) -> Iterator[Nonsense]:
    """IV-Mixed checks its own."""
    for name, part in (("guidance", recipe.guidance), ("stg", recipe.stg)):
        if part and part.start > part.stop:
            yield Nonsense(
                (name, "start"),
                f"{name} begins after {part.start} of the steps and ends after {part.stop}, so it would never act",
                "a start that is not above stop",
            )


def _guidance(recipe: Recipe, card: ModelCard) -> Iterator[Nonsense]:
    guidance = recipe.guidance
    if card.traits.distilled and isinstance(guidance, Cfg):
        # Its scale is an input of the network; what works on the mix of two branches has nothing to work on.
        for name, neutral in (("rescale", 0.0), ("start", 0.0), ("stop", 1.0)):
            if getattr(guidance, name) != neutral:
                yield Nonsense(
                    ("guidance", name),
                    f"guidance.{name} is {getattr(guidance, name)}, and {card.id} is guidance-distilled: it has one"
                    " branch at every step, so there is no mix to change",
                    f"guidance.scale alone, which is an input of the network (guidance.{name}: {neutral:g})",
                )
    if card.traits.distilled and isinstance(recipe.guidance, CfgPlusPlus):
        yield Nonsense(
            ("guidance", "kind"),
            f"cfg_plus_plus renoises with the unconditional noise, and {card.id} is guidance-distilled: it has none",
            "guidance cfg, whose scale such a model takes as an input",
        )


def _chain(recipe: Recipe, card: ModelCard, frames: int) -> Iterator[Nonsense]:
    try:
        check_chain_settings(recipe.chain, card.latent_frames(frames), card.traits.frames_per_latent)
        check_prior(recipe.prior, recipe.chain)
    except SpecError as error:
        yield Nonsense(("chain",), str(error), "another chain setting, as the message says")


def _pictures(recipe: Recipe, card: ModelCard, starts_with_image: bool, chained: bool) -> Iterator[Nonsense]:
    images = card.traits.start_image
    if isinstance(recipe.chain, Anchor) and images == "no":
        yield Nonsense(
            ("chain", "kind"),
            f"anchor begins a clip with a picture, and {card.id} takes none",
            "chain vidrd or windows, or an image-to-video model",
        )
    if starts_with_image and images == "no":
        yield Nonsense(
            ("start_image",), f"{card.id} takes no start image", "an image-to-video model, or no start_image"
        )
    if images == "must" and not starts_with_image:
        yield Nonsense(("start_image",), f"{card.id} makes clips from a picture only", "a start_image (PNG, JPEG)")
    if images == "must" and chained and not isinstance(recipe.chain, Anchor):
        yield Nonsense(
            ("chain", "kind"),
            f"{card.id} makes clips from a picture only, and with {recipe.chain.kind} the shot's second clip has none",
            "chain anchor, or a shot of one clip",
        )


def _stg(recipe: Recipe, card: ModelCard) -> Iterator[Nonsense]:
    stg = recipe.stg
    if stg is None:
        return
    try:
        chosen(anatomy_of(card.configs, BY_NAME[card.family].denoisers[0]), Skip(stg.layers, stg.mode, stg.part))
    except ModelRefuses as error:
        yield Nonsense(("stg",), str(error), "layers as `longtake models` lists them")


def _videoguide(
    recipe: Recipe, card: ModelCard, cards: Mapping[ModelRef, ModelCard], frames: int
) -> Iterator[Nonsense]:
    settings = recipe.videoguide
    if settings is None:
        return
    try:
        videoguide.check(settings)
    except SpecError as error:
        yield Nonsense(("videoguide",), str(error), "the range that the message names")
    teacher = cards[settings.teacher] if settings.teacher else card
    if not teacher.video:
        yield Nonsense(("videoguide", "teacher"), f"{teacher.id} is an image model", "a video model as the teacher")
    elif teacher.traits.distilled and isinstance(recipe.guidance, CfgPlusPlus):
        yield Nonsense(
            ("videoguide", "teacher"),
            f"the teacher {teacher.id} is guidance-distilled, so cfg_plus_plus cannot guide it",
            "guidance cfg, or another teacher",
        )
    elif settings.teacher and teacher.traits.start_image == "must":
        yield Nonsense(
            ("videoguide", "teacher"),
            f"the teacher {teacher.id} makes clips from a picture only, and a teacher is shown none",
            "a teacher that makes clips from words",
        )
    else:
        try:
            teacher.check_frames(frames)
        except ModelRefuses as error:
            yield Nonsense(("videoguide", "teacher"), str(error), "a teacher that makes clips of that length")


def _iv_mixed(recipe: Recipe, card: ModelCard, cards: Mapping[ModelRef, ModelCard]) -> Iterator[Nonsense]:
    settings = recipe.iv_mixed
    if settings is None:
        return
    try:
        ivmixed.check(settings)
    except SpecError as error:
        yield Nonsense(("iv_mixed",), str(error), "the range that the message names")
    image = cards[settings.image]
    if image.video:
        yield Nonsense(("iv_mixed", "image"), f"{image.id} is a video model", "an image model of the same latent space")
    elif card.traits.frames_per_latent > 1 or image.latent_space != card.latent_space:
        why = "one of its latent frames stands for several pictures" if card.traits.frames_per_latent > 1 else "another"
        yield Nonsense(
            ("iv_mixed", "image"),
            f"{image.id} does not share the latent space of {card.id} ({why})",
            "an image model with the same VAE, or no iv_mixed",
        )
    if card.traits.distilled:
        yield Nonsense(
            ("iv_mixed",),
            f"it walks back with negative guidance, and {card.id} is guidance-distilled: it has no unconditional pass",
            "no iv_mixed, or a model with classifier-free guidance",
        )


def sizes(recipe: Recipe, cards: Mapping[ModelRef, ModelCard], size: tuple[int, int]) -> Iterator[Nonsense]:
    """Can the other models that the recipe names make pictures of this width and height, too?"""
    guide, mixed = recipe.videoguide, recipe.iv_mixed
    named = {
        ("videoguide", "teacher"): guide.teacher if guide else None,
        ("iv_mixed", "image"): mixed.image if mixed else None,
    }
    for at, ref in named.items():
        if ref is None:
            continue
        try:
            cards[ref].check_size(*size)
        except ModelRefuses as error:
            yield Nonsense(at, str(error), "a film size that both models make, or another model")
