"""A tiny AnimateDiff pipeline with made-up weights, saved to a folder as any real one is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shots.made_up.animatediff import animatediff
from shots.made_up.sizes import TINY
from shots.models import describe
from shots.shoot import Model, load
from shots.spec import Cfg, ClipSpec, Iid, NoChain, Recipe, Sampler

Chain = Callable[..., list[ClipSpec]]


def save_tiny(folder: Path, prediction: str, zero_snr: bool, spacing: str) -> Path:
    animatediff(TINY, prediction, zero_snr, spacing).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predicts v, from pure noise (zero-SNR, trailing), as the pocket model does."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "v_prediction", True, "trailing")


@pytest.fixture(scope="session")
def epsilon_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predicts epsilon, from almost pure noise (leading), as Stable Diffusion does."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-epsilon", "epsilon", False, "leading")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Model:
    return load(describe(str(tiny_folder)), device="cpu", threads=2)


@pytest.fixture(scope="session")
def tiny_epsilon(epsilon_folder: Path) -> Model:
    return load(describe(str(epsilon_folder)), device="cpu", threads=1)


def make_chain(
    model: Model,
    clips: int = 1,
    *,
    recipe: Recipe | None = None,
    frames: int = 6,
    steps: int = 4,
    prompts: tuple[str, ...] = ("a red boat",),
    seed: int = 7,
) -> list[ClipSpec]:
    recipe = recipe or Recipe(Cfg(3.0), Iid(), NoChain())
    specs: list[ClipSpec] = []
    for k in range(clips):
        previous = specs[-1].key if specs and not isinstance(recipe.chain, NoChain) else None
        specs.append(
            ClipSpec(
                model=model.card.ref(),
                width=16,
                height=32,
                frames=frames,
                prompt=prompts[k % len(prompts)],
                negative_prompt="fog",
                seed=seed,
                index=k,
                sampler=Sampler("ddim", steps),
                recipe=recipe,
                previous=previous,
            )
        )
    return specs


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Makes the specs of one chain for a model."""
    return make_chain
