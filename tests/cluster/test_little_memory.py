"""A camera whose device has too little memory: it goes on further down, says so, and remembers."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from cluster.camera import Camera
from cluster.job import ClipDone, Event, Job, JobDone, JobFailed
from shots.made_up import save
from shots.models import describe
from shots.spec import ClipSpec, NoChain, Recipe, Sampler


def clip(model: str, seed: int) -> tuple[ClipSpec, ...]:
    recipe = Recipe(chain=NoChain())
    return (ClipSpec(describe(model).ref(), 16, 16, 3, "a boat", "", seed, 0, Sampler(steps=2), recipe),)


def rendered(camera: Camera, job: Job) -> list[Event]:
    events: list[Event] = []
    camera.shoot(job, events.append, lambda: False)
    return events


def test_a_camera_climbs_down_remembers_and_gives_up_at_last(tmp_path: Path) -> None:
    tiny_folder = save("animatediff", tmp_path / "tiny")
    camera = Camera(tmp_path / "files", device="cpu", threads=1)
    undisturbed = rendered(camera, Job("a", "f", "s", 1, clip(str(tiny_folder), 1)))
    assert isinstance(undisturbed[-1], JobDone)
    assert undisturbed[-1].rung == 0
    assert camera.worker().memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    lacking = {1, 3}
    count = iter(range(10**6))

    def before(*_: object) -> None:
        if next(count) in lacking:
            raise torch.OutOfMemoryError("CUDA out of memory")

    (model,) = camera._models.values()
    model.backbone.network.register_forward_pre_hook(before)
    again = rendered(camera, Job("b", "f", "s", 1, clip(str(tiny_folder), 1)))
    assert isinstance(again[-1], JobDone)
    assert again[-1].rung == 2
    first, second = (next(e.take for e in events if isinstance(e, ClipDone)) for events in (undisturbed, again))
    assert (first.latents, first.frames_digest, first.nfe) == (second.latents, second.frames_digest, second.nfe)

    # The next clip of this size begins there, without trying; a director may say so, too.
    assert rendered(camera, Job("c", "f", "s", 1, clip(str(tiny_folder), 2)))[-1].rung == 2  # type: ignore[union-attr]
    told = rendered(camera, Job("d", "f", "s", 1, clip(str(tiny_folder), 3), rung=3))
    assert told[-1].rung == 3  # type: ignore[union-attr]

    lacking.update(range(10**4))
    failed = rendered(camera, Job("e", "f", "s", 1, clip(str(tiny_folder), 4)))[-1]
    assert isinstance(failed, JobFailed)
    assert (failed.failure.error, failed.failure.memory, failed.failure.machine) == ("NotEnoughMemory", True, True)
    assert "CUDA out of memory" in failed.failure.message
    camera.close()
