"""Every family's tiny pipeline, saved to a folder once and loaded from there, as any model is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from shots import made_up
from shots.backbones.capture import Backbone
from shots.backbones.families import FAMILIES

Load = Callable[[str], Backbone]


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name in `made_up.BUILDERS` -> its folder."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = made_up.save(name, root / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def load_tiny(tiny_models: Callable[[str], Path]) -> Load:
    """Name in `made_up.BUILDERS` -> a backbone around the pipeline that diffusers loads from its folder."""
    loaded: dict[str, Backbone] = {}

    def backbone(name: str) -> Backbone:
        if name not in loaded:
            pipe: Any = made_up.lighten(diffusers.DiffusionPipeline.from_pretrained(tiny_models(name)))
            loaded[name] = Backbone(pipe, FAMILIES[type(pipe).__name__])
        return loaded[name]

    return backbone
