"""IV-Mixed sampling's walk down and back up on tiny models, against diffusers' schedulers of both directions."""

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from shots.backbones.capture import Backbone
from shots.branches import Branch
from shots.denoiser import Prediction, read_epsilon
from shots.ivmixed import gamma, zigzag
from shots.levels import Level
from shots.rng import clip_noise
from shots.spec import IvMixed, ModelRef

STEPS, FRAMES = 5, 3


class Network:
    """A tiny model's two branches; x [1, C, F, h, w]. An image model sees each frame by itself."""

    def __init__(self, backbone: Backbone, frames: int) -> None:
        self.backbone, self.frames = backbone, frames
        self.calls = {
            branch: backbone.capture(prompt, 32, 16, frames, STEPS)
            for branch, prompt in (("cond", "a red boat"), ("uncond", "thick fog!"))
        }

    def raw(self, x: torch.Tensor, level: Level, branch: Branch) -> torch.Tensor:
        if self.frames > 1:
            return self.backbone.evaluate(x, level, [self.calls[branch]])
        pictures = x[0].transpose(0, 1)[:, :, None]
        made = self.backbone.evaluate(pictures, level, [self.calls[branch]] * len(pictures))
        return made[:, :, 0].transpose(0, 1)[None]

    def __call__(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        return tuple(read_epsilon(self.raw(x, level, branch), x, level) for branch in branches)

    def weighted(self, x: torch.Tensor, level: Level, weight: float) -> torch.Tensor:
        """e_u + weight (e_c - e_u), plainly."""
        cond, uncond = self.raw(x, level, "cond"), self.raw(x, level, "uncond")
        return uncond + weight * (cond - uncond)


def test_the_walk_of_real_networks_is_made_of_diffusers_steps(load_tiny: Callable[[str], Backbone]) -> None:
    video, image = Network(load_tiny("text_to_video_sd"), FRAMES), Network(load_tiny("stable_diffusion"), 1)
    config = video.backbone.pipe.scheduler.config
    down, up = DDIMScheduler.from_config(config), DDIMInverseScheduler.from_config(config)
    for each in (down, up):
        each.set_timesteps(STEPS)
    levels = video.calls["cond"].levels
    settings, step = IvMixed(ModelRef("pictures")), 1
    here, one, two = levels[step : step + 3]
    assert [level.t for level in (here, one, two)] == [601, 401, 201]

    x = clip_noise(4, "inversion", 0, video.calls["cond"].shape)[None]
    found = zigzag(image, video, settings, levels, levels[-2])(x, here)

    g_image, g_video = (gamma(ends, settings.rho, step, STEPS) for ends in (settings.gamma_image, settings.gamma_video))
    for who, level, weight in ((image, here, g_image), (video, one, g_video)):
        x = down.step(who.weighted(x, level, weight), int(level.t), x).prev_sample
    # The inverse scheduler is told the time that it goes to.
    for who, level, to, weight in ((image, two, one, -g_image), (video, one, here, -g_video)):
        x = up.step(who.weighted(x, level, weight), int(to.t), x).prev_sample
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4 * float(x.abs().max()))
    assert not torch.allclose(found, clip_noise(4, "inversion", 0, video.calls["cond"].shape)[None], atol=0.1)
