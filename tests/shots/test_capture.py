"""Capture and replay: our loop around the real network makes what the stock pipeline makes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from shots.priors import draw
from shots.shoot import Model, shoot
from shots.spec import Cfg, CfgPlusPlus, ClipSpec, Iid, NoChain, Recipe

Chain = Callable[..., list[ClipSpec]]


def stock(model: Model, spec: ClipSpec, scale: float, output: str) -> Any:
    """The pipeline itself, from the same noise."""
    noise = draw(spec, (4, spec.frames, spec.height // 2, spec.width // 2))
    return model.pipe(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        width=spec.width,
        height=spec.height,
        num_frames=spec.frames,
        num_inference_steps=spec.sampler.steps,
        guidance_scale=scale,
        latents=noise[None],
        output_type=output,
    ).frames[0]


@pytest.mark.parametrize("which", ["tiny", "tiny_epsilon"])
@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("steps", [4, 10])
def test_latents_are_the_stock_pipeline_s(
    which: str, scale: float, steps: int, chain: Chain, request: pytest.FixtureRequest
) -> None:
    """For steps that divide the training length: elsewhere diffusers' DDIM aims one index beside the next timestep."""
    model: Model = request.getfixturevalue(which)
    (spec,) = chain(model, recipe=Recipe(Cfg(scale), Iid(), NoChain()), steps=steps)
    (footage,) = shoot([spec], model)
    expected = stock(model, spec, scale, "latent")
    assert float((footage.latents - expected).abs().max() / expected.abs().max()) < 1e-5
    assert not torch.allclose(expected, draw(spec, tuple(expected.shape)), rtol=0.1)


def test_frames_are_the_stock_pipeline_s_pictures(tiny: Model, chain: Chain) -> None:
    (spec,) = chain(tiny, recipe=Recipe(Cfg(4.0), Iid(), NoChain()))
    (footage,) = shoot([spec], tiny)
    pictures = stock(tiny, spec, 4.0, "np")
    assert footage.frames.shape == (6, 32, 16, 3)
    # Equal up to the rounding of values that lie between two.
    assert abs(footage.frames.astype(float) - 255 * pictures).max() < 0.5 + 1e-2


def test_the_prompt_and_the_negative_prompt_both_matter(tiny: Model, chain: Chain) -> None:
    made = [
        next(shoot(chain(tiny, prompts=(prompt,), recipe=Recipe(guidance, Iid(), NoChain())), tiny)).latents
        for prompt in ("a red boat", "a blue star")
        for guidance in (Cfg(1.0), Cfg(4.0), CfgPlusPlus(0.6))
    ]
    for i, one in enumerate(made):
        assert not any(torch.allclose(one, other, atol=1e-4) for other in made[:i])


def test_capture_leaves_the_network_and_the_random_state_as_they_were(tiny: Model) -> None:
    backbone = tiny.backbone
    before = (dict(backbone.network.__dict__), torch.random.get_rng_state())
    call = backbone.capture("a red ball", 16, 16, 3, 5)
    assert call.shape == (4, 3, 8, 8)
    assert [level.t for level in call.levels] == [999, 799, 599, 399, 199, None]
    assert call.kwargs["encoder_hidden_states"].shape == (3, 12, 16)
    assert "sample" not in call.kwargs
    assert "timestep" not in call.kwargs
    assert backbone.network.__dict__ == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_a_capture_that_fails_leaves_the_network_as_it_was(tiny: Model) -> None:
    network = tiny.backbone.network
    with pytest.raises(ValueError, match="divisible by 8"):
        tiny.backbone.capture("a red ball", 17, 16, 3, 5)
    assert "forward" not in network.__dict__


def test_a_hook_that_someone_else_set_is_put_back(tiny: Model) -> None:
    network = tiny.backbone.network
    theirs = network.forward
    network.forward = theirs
    try:
        tiny.backbone.capture("a hook of another", 16, 16, 3, 5)
        assert network.__dict__["forward"] is theirs
    finally:
        del network.__dict__["forward"]


def test_a_call_is_captured_once(tiny: Model) -> None:
    first = tiny.backbone.capture("once", 16, 16, 3, 5)
    assert tiny.backbone.capture("once", 16, 16, 3, 5) is first
    assert tiny.backbone.capture("once", 16, 16, 4, 5) is not first
    for n in range(40):
        tiny.backbone.capture(f"another {n}", 16, 16, 1, 5)
    assert len(tiny.backbone._calls) == 32


def test_a_prompt_of_100_000_characters_is_cut_as_the_tokenizer_cuts_it(tiny: Model) -> None:
    call = tiny.backbone.capture("boat " * 20_000, 16, 16, 2, 5)
    assert call.kwargs["encoder_hidden_states"].shape == (2, 12, 16)
