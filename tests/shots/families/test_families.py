"""What each family says of itself, and what its network sees, on tiny models of every one."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from shots import made_up
from shots.backbones.capture import Backbone
from shots.backbones.families import ALL, BY_NAME, FAMILIES
from shots.backbones.family import Traits, coloured, folded, unfolded, whitened
from shots.errors import ModelRefuses
from shots.levels import Level, levels_of, noising_of, sampling_scheduler
from shots.model_files import configs_of, parts_of, read_json
from shots.models import describe
from shots.rng import clip_noise
from shots.spec import ClipSpec, NoChain, Recipe, Sampler

Load = Callable[[str], Backbone]
Folder = Callable[[str], Path]

# (frames, width, height) that every model of a kind can make, and the latents' (C, F, h, w).
CASES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int, int]]] = {
    "animatediff": ((3, 16, 32), (4, 3, 16, 8)),
    "text_to_video_sd": ((3, 16, 32), (4, 3, 16, 8)),
    "stable_diffusion": ((3, 16, 32), (4, 3, 16, 8)),
    "ltx": ((9, 32, 64), (8, 3, 8, 4)),
    "ltx2": ((9, 32, 64), (4, 3, 8, 4)),
    "wan": ((9, 32, 48), (16, 3, 6, 4)),
    "wan22": ((9, 32, 48), (16, 3, 6, 4)),
    "wan22_5b": ((9, 32, 48), (16, 3, 6, 4)),
    "wan_unipc": ((9, 32, 48), (16, 3, 6, 4)),
    "cogvideox": ((9, 32, 48), (4, 3, 6, 4)),
    "cogvideox15": ((9, 32, 48), (4, 4, 6, 4)),
    "mochi": ((7, 32, 48), (12, 2, 6, 4)),
    "hunyuan_video": ((9, 32, 48), (4, 3, 6, 4)),
    "hunyuan_video15": ((9, 32, 48), (4, 3, 3, 2)),
    "latte": ((4, 16, 32), (4, 4, 16, 8)),
}
# Without those that differ from another in their schedule or their experts alone.
DIFFERENT = [name for name in CASES if name not in ("wan22", "wan22_5b", "wan_unipc")]


def configs(folder: Path) -> Any:
    index = read_json(folder / "model_index.json")
    family = FAMILIES[index["_class_name"]]
    return family, configs_of(folder, parts_of(folder, index, family))


def capture(backbone: Backbone, name: str, prompt: str = "a red boat", **told: Any) -> Any:
    frames, width, height = CASES[name][0]
    return backbone.capture(prompt, width, height, frames, 4, **told)


def sample(backbone: Backbone, name: str, seed: int = 5) -> torch.Tensor:
    return clip_noise(seed, "families", 0, capture(backbone, name).shape)[None]


def test_every_family_has_a_name_a_pipeline_and_a_licence() -> None:
    import diffusers

    assert len(BY_NAME) == len(ALL)
    assert len(FAMILIES) == sum(1 + len(family.aliases) for family in ALL)
    for family in ALL:
        assert all(hasattr(diffusers, name) for name in (family.pipeline, *family.aliases))
        assert family.licence
        assert set(family.weights) | set(family.optional) <= set(family.parts)


@pytest.mark.parametrize("name", CASES)
def test_the_captured_call_has_the_shape_that_traits_and_limits_promise(
    name: str, load_tiny: Load, tiny_models: Folder
) -> None:
    family, parts = configs(tiny_models(name))
    (frames, width, height), shape = CASES[name]
    limits, traits = family.limits(parts), family.traits(parts)
    assert (frames - limits.frames_min) % limits.frames_step == 0
    assert width % limits.size_multiple == height % limits.size_multiple == 0
    assert (limits.frames_native - limits.frames_min) % limits.frames_step == 0
    assert all(side % limits.size_multiple == 0 for side in limits.size_native)
    call = capture(load_tiny(name), name)
    assert call.shape == shape
    assert call.shape[1] == traits.latent_frames(frames)
    assert not {load_tiny(name).family.sample, load_tiny(name).family.timestep} & call.kwargs.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_grid_can_be_known_from_configs_alone(name: str, load_tiny: Load, tiny_models: Folder) -> None:
    family, parts = configs(tiny_models(name))
    frames, width, height = CASES[name][0]
    scheduler = sampling_scheduler(load_tiny(name).pipe.scheduler)
    told = family.scheduled(parts, width, height, frames, 4)
    assert noising_of(scheduler).grid(4, **told) == capture(load_tiny(name), name).levels


@pytest.mark.parametrize("name", CASES)
def test_the_fewest_steps_that_a_model_takes_have_levels(name: str, tiny_models: Folder) -> None:
    """A grid that ends at a given level has no single step, nor has Mochi's of two halves."""
    card = describe(str(tiny_models(name)))
    frames, width, height = CASES[name][0]
    fewest = 2 if name in ("ltx", "ltx2", "mochi") else 1
    if fewest > 1:
        with pytest.raises(ModelRefuses, match="cannot sample in 1 steps; it takes 2 to 1000"):
            card.check_steps(1)
    card.check_steps(fewest)
    spec = ClipSpec(card.ref(), width, height, frames, "a", "", 1, 0, Sampler("ddim", fewest), Recipe(chain=NoChain()))
    assert all(math.isfinite(level.alpha + level.sigma) for level in card.grid(spec))


@pytest.mark.parametrize("name", DIFFERENT)
def test_decoding_gives_the_frames_that_were_asked_for_and_encoding_goes_back(name: str, load_tiny: Load) -> None:
    backbone, ((frames, width, height), shape) = load_tiny(name), CASES[name]
    latents = 0.3 * clip_noise(1, "latents", 0, shape)
    with torch.inference_mode():
        video = backbone.video_of(latents)
        assert video.shape == (1, 3, frames, height, width)
        again = backbone.latents_of(video)
        # The frames lead back to latents of the same shape, and other frames to other latents.
        assert again.shape == shape
        assert not torch.allclose(again, backbone.latents_of(-video), atol=1e-3)
        assert torch.equal(backbone.latents_of(video), again)
    assert backbone.decode(latents).shape == (frames, height, width, 3)


@pytest.mark.parametrize("name", ["ltx", "ltx2", "wan", "cogvideox", "mochi", "hunyuan_video", "hunyuan_video15"])
def test_clips_that_are_decoded_at_the_same_time_do_not_know_each_other(name: str, load_tiny: Load) -> None:
    """As the clips of a group are on a CPU, a thread each; some VAEs keep what they are doing in themselves."""
    backbone, (_, shape) = load_tiny(name), CASES[name]
    latents = [0.3 * clip_noise(seed, "latents", 0, shape) for seed in range(3)]
    alone = [backbone.decode(each) for each in latents]

    def decode(each: torch.Tensor) -> Any:
        with torch.inference_mode():
            return backbone.decode(each)

    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(decode, latents))
    assert all((one == other).all() for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("name", DIFFERENT)
def test_samples_of_a_batch_do_not_know_each_other(name: str, load_tiny: Load) -> None:
    backbone = load_tiny(name)
    calls = [capture(backbone, name, prompt) for prompt in ("a red boat", "a long walk along the harbour")]
    x = torch.cat([sample(backbone, name, seed) for seed in (1, 2)])
    level = calls[0].levels[1]
    with torch.inference_mode():
        together = backbone.evaluate(x, level, calls)
        for k, call in enumerate(calls):
            alone = backbone.evaluate(x[k : k + 1], level, [call])[0]
            torch.testing.assert_close(together[k], alone, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(backbone.evaluate(x[:1], level, calls[1:]), together[:1], atol=1e-6)


@pytest.mark.parametrize("name", ["animatediff", "cogvideox", "wan", "mochi"])
def test_the_network_can_be_asked_between_two_training_steps(name: str, load_tiny: Load) -> None:
    backbone = load_tiny(name)
    call, x = capture(backbone, name), sample(backbone, name)
    times: list[float] = []
    hook = backbone.network.register_forward_pre_hook(
        lambda _, args, kwargs: times.append(kwargs[backbone.family.timestep].flatten()[0].item()), with_kwargs=True
    )
    try:
        below, between = (backbone.evaluate(x, backbone.noising.level(t), [call]) for t in (500, 500.5))
    finally:
        hook.remove()
    assert times == [500, 500.5]
    assert not torch.equal(between, below)


def test_wan_asks_its_second_expert_below_the_boundary(load_tiny: Load) -> None:
    backbone = load_tiny("wan22")
    call, x = capture(backbone, "wan22"), sample(backbone, "wan22")
    asked: list[str] = []
    hooks = [
        network.register_forward_hook(lambda *_, name=name: asked.append(name))
        for name, network in backbone.networks.items()
    ]
    try:
        for level in call.levels[:-1]:
            backbone.evaluate(x, level, [call])
    finally:
        for hook in hooks:
            hook.remove()
    assert asked == ["transformer" if level.t >= 875 else "transformer_2" for level in call.levels[:-1]]
    assert len(set(asked)) == 2


def test_tokens_of_the_small_wan_have_a_time_each(load_tiny: Load) -> None:
    assert capture(load_tiny("wan22_5b"), "wan22_5b").time.shape == (1, 3 * 3 * 2)
    assert capture(load_tiny("wan"), "wan").time.shape == (1,)


def test_a_wan_folder_with_a_multistep_scheduler_is_walked_along_its_own_grid(load_tiny: Load) -> None:
    backbone = load_tiny("wan_unipc")
    scheduler = backbone.pipe.scheduler
    scheduler.set_timesteps(4)
    assert capture(backbone, "wan_unipc").levels == levels_of(scheduler)


def test_the_picture_of_ltx2_does_not_know_of_any_sound(load_tiny: Load) -> None:
    backbone = load_tiny("ltx2")
    call, x = capture(backbone, "ltx2"), sample(backbone, "ltx2")
    level = call.levels[0]
    before = backbone.evaluate(x, level, [call])
    call.kwargs["audio_hidden_states"].add_(3.0)
    try:
        assert torch.equal(backbone.evaluate(x, level, [call]), before)
    finally:
        call.kwargs["audio_hidden_states"].sub_(3.0)
    assert call.kwargs["audio_hidden_states"].shape[1] == 1


def test_a_distilled_model_takes_its_guidance_as_an_input(load_tiny: Load, tiny_models: Folder) -> None:
    backbone, name = load_tiny("hunyuan_video"), "hunyuan_video"
    x = sample(backbone, name)
    weak, strong = (capture(backbone, name, scale=scale) for scale in (1.0, 9.0))
    assert (weak.kwargs["guidance"].item(), strong.kwargs["guidance"].item()) == (1000.0, 9000.0)
    level = weak.levels[0]
    assert not torch.allclose(backbone.evaluate(x, level, [weak]), backbone.evaluate(x, level, [strong]), atol=1e-6)
    family, parts = configs(tiny_models(name))
    assert family.traits(parts).distilled
    plain = parts | {"transformer": parts["transformer"] | {"guidance_embeds": False}}
    assert not family.traits(plain).distilled


def test_an_image_model_sees_a_clip_as_so_many_pictures(load_tiny: Load) -> None:
    backbone = load_tiny("stable_diffusion")
    three, one = capture(backbone, "stable_diffusion"), backbone.capture("a red boat", 16, 32, 1, 4)
    x, level = sample(backbone, "stable_diffusion"), three.levels[1]
    with torch.inference_mode():
        together = backbone.evaluate(x, level, [three])
        alone = [backbone.evaluate(x[:, :, j : j + 1], level, [one]) for j in range(3)]
        torch.testing.assert_close(together, torch.cat(alone, dim=2), rtol=1e-4, atol=1e-5)
        expected = backbone.pipe.unet(x[:, :, 1], level.t, encoder_hidden_states=one.kwargs["encoder_hidden_states"])
        torch.testing.assert_close(alone[1][:, :, 0], expected.sample)


def test_capturing_in_one_thread_lets_another_thread_s_calls_run(load_tiny: Load) -> None:
    backbone = load_tiny("ltx")
    call, x = capture(backbone, "ltx"), sample(backbone, "ltx")
    expected = backbone.evaluate(x, call.levels[0], [call])
    found: list[torch.Tensor] = []
    encode = backbone.pipe.encode_prompt

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        def ask() -> None:
            with torch.inference_mode():
                found.append(backbone.evaluate(x, call.levels[0], [call]))

        other = threading.Thread(target=ask)
        other.start()
        other.join()
        return encode(*args, **kwargs)

    backbone.pipe.encode_prompt = meanwhile
    try:
        capture(backbone, "ltx", "something else")
    finally:
        del backbone.pipe.encode_prompt
    assert torch.equal(found[0], expected)


def test_an_image_for_a_pipeline_that_takes_none_is_refused_by_name(load_tiny: Load) -> None:
    import numpy as np

    with pytest.raises(ModelRefuses, match="AnimateDiffPipeline takes no start image"):
        capture(load_tiny("animatediff"), "animatediff", image=np.zeros((32, 16, 3), np.uint8))


def test_latent_frames_are_counted_as_causal_vaes_count_them() -> None:
    assert [Traits(4).latent_frames(n) for n in (1, 5, 9, 81)] == [1, 2, 3, 21]
    assert [Traits(4, latent_multiple=2).latent_frames(n) for n in (1, 9, 17, 81)] == [2, 4, 6, 22]
    assert [Traits().latent_frames(n) for n in (1, 16)] == [1, 16]


def test_whitening_and_folding_are_undone_exactly_where_they_should_be() -> None:
    x = clip_noise(2, "whiten", 0, (3, 4, 5, 6))[None]
    mean, std = [0.5, -1.0, 2.0], [0.5, 2.0, 4.0]
    white = whitened(x, mean, std, 8.0)
    torch.testing.assert_close(white[0, 2], (x[0, 2] - 2.0) * 2.0)
    torch.testing.assert_close(coloured(white, mean, std, 8.0), x)
    assert torch.equal(unfolded(folded(x), 4), x)
    assert torch.equal(folded(x)[1], x[0, :, 1])


@pytest.mark.parametrize("name", CASES)
def test_time_is_given_as_the_pipeline_gives_it(name: str, load_tiny: Load) -> None:
    backbone = load_tiny(name)
    call = capture(backbone, name)
    seen: list[Any] = []
    network = backbone.network_at(call.levels[0])
    hook = network.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    try:
        backbone.evaluate(sample(backbone, name), call.levels[0], [call])
    finally:
        hook.remove()
    time = seen[0][backbone.family.timestep]
    assert torch.equal(time, call.time)
    assert time.dtype == call.time.dtype


def test_levels_are_numbered_from_nought(load_tiny: Load) -> None:
    levels = capture(load_tiny("mochi"), "mochi").levels
    assert [level.i for level in levels] == list(range(5))
    assert levels[-1] == Level(4, None, 1.0, 0.0)
    assert made_up.BUILDERS.keys() >= CASES.keys()


def test_a_folder_that_was_saved_by_a_sister_pipeline_is_driven_as_the_family_s_own(
    tiny_models: Folder, tmp_path: Path
) -> None:
    import shutil

    from shots.model import load
    from shots.models import describe

    folder = Path(shutil.copytree(tiny_models("ltx"), tmp_path / "ltx"))
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("LTXPipeline", "LTXConditionPipeline"))
    model = load(describe(str(folder)), device="cpu", threads=1)
    try:
        assert type(model.pipe).__name__ == "LTXPipeline"
        assert model.backbone.capture("a red boat", 32, 64, 9, 4).shape == CASES["ltx"][1]
    finally:
        model.close()
