"""All methods in their fixed order around real (tiny) networks, against the same written down plainly, clip by clip.

Each method has its own tests; here stands that they are put together as docs/methods.md says, each with its own model,
its own schedule and its own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.pipelines.free_init_utils import FreeInitMixin

from shots.backbones.skip import Skip, Skipping, skipping
from shots.chain import first_noise
from shots.denoiser import Prediction, reading_of
from shots.levels import Level, carry
from shots.made_up.flat import flat_unet
from shots.made_up.sizes import TINY, fill
from shots.models import describe
from shots.priors import draw
from shots.rng import clip_noise
from shots.shoot import Model, load, shoot
from shots.spec import Cfg, CfgPlusPlus, ClipSpec, Guidance, IvMixed, Pyoco, Recipe, Stg, VideoGuide, VidRD
from shots.videoguide import inner_levels

Chain = Callable[..., list[ClipSpec]]
STEPS = 4
STG = Stg(scale=0.7, mode="attention", layers=("mid",), start=0.25)
CHAIN = VidRD(4, 1.0, 0.5, "staged", "forward")


@pytest.fixture(scope="module")
def image(tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """An image model of the same latent space on a schedule of its own."""
    folder, unet = tmp_path_factory.mktemp("models") / "other-image", flat_unet(TINY)
    fill(unet, 5)
    pipe = tiny.pipe
    StableDiffusionPipeline(
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="linear", beta_end=0.008, clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    model = load(describe(str(folder)), device="cpu", threads=1)
    yield model
    model.close()


class Asked:
    """One clip's two branches of one model; x [1, C, F, h, w]."""

    def __init__(self, spec: ClipSpec, model: Model) -> None:
        self.model, self.spec = model, spec
        frames = spec.frames if model.card.video else 1
        size = (spec.width, spec.height, frames, spec.sampler.steps)
        self.calls = [model.backbone.capture(words, *size) for words in (spec.prompt, spec.negative_prompt)]
        self.levels = self.calls[0].levels
        self.reading = reading_of(model.card.prediction, self.levels)

    def __call__(self, x: torch.Tensor, level: Level, branch: int) -> Prediction:
        if not self.model.card.video:
            pictures = [
                self.model.backbone.evaluate(x[:, :, f : f + 1], level, [self.calls[branch]]) for f in range(x.shape[2])
            ]
            return self.reading(torch.cat(pictures, 2), x, level)
        return self.reading(self.model.backbone.evaluate(x, level, [self.calls[branch]]), x, level)

    def mixed(self, x: torch.Tensor, level: Level, weight: float, plus: bool = False) -> Prediction:
        """e_u + weight (e_c - e_u), at the model's own level of equal signal-to-noise."""
        own = self.model.backbone.noising.match(level)
        seen = carry(x, level, own)
        c, u = self(seen, own, 0), self(seen, own, 1)
        return Prediction(u.x0 + weight * (c.x0 - u.x0), u.eps if plus else u.eps + weight * (c.eps - u.eps))


def plainly(specs: list[ClipSpec], student: Model, teacher: Model, image: Model) -> list[torch.Tensor]:
    """docs/methods.md, "Order of a step", one line after another."""
    recipe, shape = specs[0].recipe, (4, specs[0].frames, 16, 8)
    own, theirs, pictures = ([Asked(spec, model) for spec in specs] for model in (student, teacher, image))
    levels = own[0].levels
    noise = first_noise(specs, [draw(spec, shape) for spec in specs], None)
    x = [one[None].clone() for one in noise]
    with skipping(student.backbone.network, Skip(STG.layers, STG.mode)) as skip:
        for i in range(STEPS):
            for k in range(len(specs)):
                x[k] = walked(x[k], i, recipe, own[k], pictures[k], levels)
            for k in range(1, len(specs)):
                for j in range(CHAIN.overlap):
                    if i < CHAIN.copies(j, STEPS):
                        x[k][:, :, j] = x[k - 1][:, :, shape[1] - CHAIN.overlap + j]
            x = [stepped(x[k], i, recipe, own[k], theirs[k], levels, skip) for k in range(len(specs))]
    return [one[0] for one in x]


def walked(
    x: torch.Tensor, i: int, recipe: Recipe, own: Asked, image: Asked, levels: tuple[Level, ...]
) -> torch.Tensor:
    mixed = recipe.iv_mixed
    assert mixed is not None
    if not mixed.start * STEPS <= i < mixed.stop * STEPS:
        return x
    g_image, g_video = mixed.gamma_image[0], mixed.gamma_video[0]
    t, p1, p2 = levels[i], levels[i + 1], levels[i + 2]
    for who, here, there, weight in (
        (image, t, p1, g_image),
        (own, p1, p2, g_video),
        (image, p2, p1, -g_image),
        (own, p1, t, -g_video),
    ):
        x0, eps = who.mixed(x, here, weight)
        x = there.alpha * x0 + there.sigma * eps
    return x


def stepped(
    x: torch.Tensor, i: int, recipe: Recipe, own: Asked, teacher: Asked, levels: tuple[Level, ...], skip: Skipping
) -> torch.Tensor:
    guidance, guide, here, there = recipe.guidance, recipe.videoguide, levels[i], levels[i + 1]
    assert guide is not None
    plus, w = isinstance(guidance, CfgPlusPlus), guidance.scale
    c, u = own(x, here, 0), own(x, here, 1)
    x0, eps = u.x0 + w * (c.x0 - u.x0), u.eps + w * (c.eps - u.eps)
    if i >= STG.start * STEPS:
        p = skip.perturbed(lambda: own(x, here, 0), reuse=False)
        x0, eps = x0 + STG.scale * (c.x0 - p.x0), eps + STG.scale * (c.eps - p.eps)
    eps = u.eps if plus else eps
    if i >= guide.steps:
        return there.alpha * x0 + there.sigma * eps
    spec, shape = own.spec, x.shape[1:]
    start = teacher.model.backbone.noising.match(here)
    y = start.alpha * x0 + start.sigma * clip_noise(spec.seed, f"videoguide/{i}", spec.start, tuple(shape))
    inner = inner_levels(teacher.model.backbone.noising, start, guide)
    for at, after in zip(inner, [*inner[1:], inner[-1]], strict=True):
        target = teacher.mixed(y, at, w, plus)
        y = after.alpha * target.x0 + after.sigma * target.eps
    x0 = guide.beta * x0 + (1 - guide.beta) * target.x0
    x = there.alpha * x0 + there.sigma * eps
    fresh = clip_noise(spec.seed, f"videoguide/refresh/{i}", spec.start, tuple(shape))[None]
    mask = FreeInitMixin()._get_free_init_freq_filter(
        tuple(x.shape), "cpu", "butterworth", guide.order, guide.cutoff, guide.cutoff
    )
    return FreeInitMixin()._apply_freq_filter(x, fresh, mask)


@pytest.mark.parametrize("guidance", [Cfg(3.0), CfgPlusPlus(0.6)], ids=["cfg", "cfg++"])
def test_methods_are_put_together_in_their_order(
    guidance: Guidance, tiny: Model, tiny_epsilon: Model, image: Model, chain: Chain
) -> None:
    recipe = Recipe(
        guidance,
        Pyoco("progressive", 0.5),
        CHAIN,
        STG,
        VideoGuide(tiny.card.ref(), steps=2, tau=2, beta=0.7),
        IvMixed(image.card.ref(), gamma_image=(1.5, 1.5), gamma_video=(2.5, 2.5), stop=0.5),
    )
    others = {model.card.ref(): model for model in (tiny, image)}
    specs = chain(tiny_epsilon, 2, recipe=recipe, steps=STEPS, prompts=("a red boat", "a blue star"))
    found = [footage.latents for footage in shoot(specs, tiny_epsilon, others=others)]
    with torch.inference_mode():
        wanted = plainly(specs, tiny_epsilon, tiny, image)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
