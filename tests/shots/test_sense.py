"""Recipes that a model cannot do are refused before anything is loaded, with the setting, the reason and a way out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from shots.backbones.families import Traits
from shots.models import ModelCard, describe
from shots.sense import Nonsense, nonsense, warnings
from shots.spec import (
    Anchor,
    Cfg,
    CfgPlusPlus,
    FreeNoise,
    IvMixed,
    ModelRef,
    NoChain,
    Recipe,
    Sampler,
    Stg,
    VideoGuide,
    VidRD,
    Windows,
)

POCKET = describe("pocket")
IMAGE = describe("pocket-image")
TEACHER = describe("pocket-teacher")
ELSEWHERE = replace(TEACHER, id="elsewhere", digest="sha256:9", latent_space="another")
DISTILLED = replace(POCKET, id="distilled", digest="sha256:1", traits=Traits(distilled=True))
CAUSAL = replace(POCKET, id="causal", digest="sha256:2", traits=Traits(frames_per_latent=4), frames_step=4)
FROM_PICTURES = replace(POCKET, id="from-pictures", digest="sha256:3", traits=Traits(start_image="must"))
COARSE = replace(TEACHER, id="coarse", digest="sha256:4", size_multiple=96)
CARDS = {card.ref(): card for card in (POCKET, IMAGE, TEACHER, ELSEWHERE, DISTILLED, CAUSAL, FROM_PICTURES, COARSE)}


def found(recipe: Recipe, card: ModelCard = POCKET, frames: int = 8, image: bool = False) -> list[Nonsense]:
    return list(nonsense(recipe, card, CARDS, frames, image, size=(64, 64)))


def mixed(card: ModelCard = IMAGE) -> IvMixed:
    return IvMixed(card.ref())


SENSIBLE = [
    Recipe(),
    Recipe(CfgPlusPlus(0.6), stg=Stg(), videoguide=VideoGuide(TEACHER.ref()), iv_mixed=mixed()),
    Recipe(prior=FreeNoise(), chain=Windows(4)),
    Recipe(stg=Stg(layers=("mid", "up.1"), part="temporal")),
    Recipe(videoguide=VideoGuide(ELSEWHERE.ref())),
    Recipe(Cfg(3.0, start=0.5, stop=0.5), stg=Stg(start=0.5, stop=0.5)),
]


@pytest.mark.parametrize("recipe", SENSIBLE)
def test_what_makes_sense_is_let_through(recipe: Recipe) -> None:
    assert found(recipe) == []


REFUSED: list[tuple[Recipe, ModelCard, tuple[str, ...], str]] = [
    (Recipe(CfgPlusPlus(0.6), chain=NoChain()), DISTILLED, ("guidance", "kind"), "guidance-distilled"),
    (Recipe(chain=NoChain(), iv_mixed=mixed()), DISTILLED, ("iv_mixed",), "no unconditional pass"),
    (Recipe(chain=VidRD(1, order="reverse")), CAUSAL, ("chain",), "use order forward"),
    (Recipe(chain=NoChain(), iv_mixed=mixed()), CAUSAL, ("iv_mixed", "image"), "latent space"),
    (Recipe(iv_mixed=mixed(TEACHER)), POCKET, ("iv_mixed", "image"), "is a video model"),
    (Recipe(videoguide=VideoGuide(IMAGE.ref())), POCKET, ("videoguide", "teacher"), "is an image model"),
    (Recipe(videoguide=VideoGuide(tau=30)), POCKET, ("videoguide",), "tau is 30"),
    (Recipe(stg=Stg(layers=("up.7",))), POCKET, ("stg",), "no layer 'up.7'"),
    (Recipe(chain=Anchor()), POCKET, ("chain", "kind"), "takes none"),
    (Recipe(chain=Windows(8)), POCKET, ("chain",), "every clip must bring new frames"),
    (Recipe(prior=FreeNoise(), chain=VidRD(4)), POCKET, ("chain",), "freenoise"),
    (Recipe(chain=NoChain()), FROM_PICTURES, ("start_image",), "from a picture only"),
    (Recipe(), IMAGE, (), "makes no clips"),
    (Recipe(Cfg(3.0, start=0.8, stop=0.2)), POCKET, ("guidance", "start"), "guidance begins after 0.8"),
    (Recipe(CfgPlusPlus(0.6, start=0.8, stop=0.2)), POCKET, ("guidance", "start"), "would never act"),
    (Recipe(stg=Stg(start=0.8, stop=0.2)), POCKET, ("stg", "start"), "stg begins after 0.8 .* ends after 0.2"),
    (Recipe(Cfg(6.0, rescale=0.7), chain=NoChain()), DISTILLED, ("guidance", "rescale"), "one branch"),
    (Recipe(Cfg(6.0, stop=0.5), chain=NoChain()), DISTILLED, ("guidance", "stop"), "guidance.stop is 0.5"),
    (Recipe(CfgPlusPlus(0.6), videoguide=VideoGuide(DISTILLED.ref())), POCKET, ("videoguide", "teacher"), "distilled"),
    (Recipe(videoguide=VideoGuide(FROM_PICTURES.ref())), POCKET, ("videoguide", "teacher"), "is shown none"),
    (Recipe(videoguide=VideoGuide(COARSE.ref())), POCKET, ("videoguide", "teacher"), "multiples of 96"),
]


@pytest.mark.parametrize(("recipe", "card", "at", "why"), REFUSED)
def test_what_does_not_is_refused_with_a_reason_and_a_way_out(
    recipe: Recipe, card: ModelCard, at: tuple[str, ...], why: str
) -> None:
    frames = 9 if card is CAUSAL else 8
    wrong = [one for one in found(recipe, card, frames) if one.at == at]
    assert wrong, found(recipe, card, frames)
    assert re.search(why, wrong[0].what)
    assert wrong[0].instead


def test_a_start_image_needs_a_model_that_takes_one() -> None:
    assert [one.at for one in found(Recipe(), image=True)] == [("start_image",)]
    assert found(Recipe(chain=NoChain()), FROM_PICTURES, image=True) == []


def test_what_works_and_was_hardly_meant_is_said() -> None:
    def said(recipe: Recipe, sampler: Sampler = Sampler(), card: ModelCard = POCKET) -> str:
        return " ".join(warnings(recipe, sampler, card, CARDS))

    assert said(Recipe()) == ""
    assert "makes sound, too" in said(Recipe(), card=replace(POCKET, family="ltx2"))
    assert "through pictures" in said(Recipe(videoguide=VideoGuide(ELSEWHERE.ref())))
    assert "start anew at each step" in said(Recipe(), Sampler("dpmpp_2m"))
    assert said(Recipe(chain=Windows(4)), Sampler("dpmpp_2m")) == ""
    assert "prices multiply" in said(Recipe(videoguide=VideoGuide(), iv_mixed=mixed()))
    assert said(Recipe(videoguide=VideoGuide(), iv_mixed=replace(mixed(), start=0.5))) == ""


def test_a_name_without_digest_is_not_looked_up_here() -> None:
    with pytest.raises(KeyError):
        found(Recipe(iv_mixed=IvMixed(ModelRef("somewhere"))))


def test_every_clip_of_a_model_that_needs_a_picture_has_one() -> None:
    def wrong(recipe: Recipe, chained: bool) -> list[tuple[str, ...]]:
        return [each.at for each in nonsense(recipe, FROM_PICTURES, CARDS, 8, True, chained)]

    assert wrong(Recipe(), chained=True) == [("chain", "kind")]
    assert wrong(Recipe(chain=NoChain()), chained=True) == [("chain", "kind")]
    assert wrong(Recipe(chain=Anchor()), chained=True) == []
    assert wrong(Recipe(), chained=False) == []
