"""The shipped weights through the stock pipeline, offline; their card; the training programs, tiny."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AnimateDiffPipeline, LTXPipeline, StableDiffusionPipeline, UNetMotionModel
from safetensors.torch import load_file

from shots.pocket import card, evaluate, networks, train, vocabulary
from shots.pocket.checkpoints import Budget, Training
from shots.pocket.plan import Plan

ALL = networks.ALL_WEIGHTS
VIDEO = ("pocket", "pocket-teacher", "pocket-dit")
MODELS = (*VIDEO, "pocket-image")
PIPELINES = {"pocket-dit": LTXPipeline, "pocket-image": StableDiffusionPipeline}


@pytest.fixture(scope="module")
def pipe() -> AnimateDiffPipeline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        return evaluate.load(networks.WEIGHTS)


@pytest.fixture(autouse=True)
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)


def test_weights_are_small_and_never_pickled() -> None:
    files = {path.resolve() for path in ALL.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files) < 30e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}
    for path in ALL.rglob("*.safetensors"):
        tensors = load_file(path).values()
        assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float16}
        assert all(torch.isfinite(tensor).all() for tensor in tensors)


def test_the_folder_is_a_stock_animatediff_pipeline(pipe: AnimateDiffPipeline) -> None:
    assert isinstance(pipe.unet, UNetMotionModel)
    assert json.loads((networks.WEIGHTS / "model_index.json").read_text())["unet"][1] == "UNet2DConditionModel"
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.scheduler.config.rescale_betas_zero_snr
    assert not pipe.scheduler.config.clip_sample


def test_every_word_is_one_token_and_strangers_are_fillers(pipe: AnimateDiffPipeline) -> None:
    for word in vocabulary.known_words():
        assert len(pipe.tokenizer.tokenize(word)) == 1, word
    states = networks.encode_text(["a zebra", "the zebra"], pipe.tokenizer, pipe.text_encoder)
    assert torch.equal(states[0], states[1])


def test_words_are_far_apart_and_synonyms_identical(pipe: AnimateDiffPipeline) -> None:
    texts = [
        "a red boat moving left at dusk",
        "a red boat moving right at dusk",
        "a scarlet ship sailing westward at sunset",
    ]
    left, right, synonym = networks.encode_text(texts, pipe.tokenizer, pipe.text_encoder)
    assert (left - right).pow(2).mean().sqrt() > 0.5
    assert (left - synonym).pow(2).mean().sqrt() < 1e-5


def test_the_shipped_text_encoder_is_the_one_that_training_builds(pipe: AnimateDiffPipeline) -> None:
    tokenizer = networks.make_tokenizer()
    encoder = networks.make_text_encoder(tokenizer)
    text = ["a golden moon rising over the sea at night, slowly"]
    assert tokenizer(text).input_ids == pipe.tokenizer(text).input_ids
    ours, shipped = (networks.encode_text(text, tokenizer, one) for one in (encoder, pipe.text_encoder))
    assert (ours - shipped).abs().max() < 0.02, "fp16 rounding only"


def test_a_clip_depends_on_its_own_seed_alone(pipe: AnimateDiffPipeline) -> None:
    texts = ["a red boat floating over the sea", "a yellow moon rising at night"]
    both = evaluate.sample(pipe, texts, [1, 2], steps=2, cfg=2.0, frames=8)
    alone = evaluate.sample(pipe, texts[1:], [2], steps=2, cfg=2.0, frames=8)
    assert both.shape == (2, 8, 64, 64, 3)
    assert np.abs(both[1].astype(int) - alone[0].astype(int)).max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_a_stock_pipeline_and_its_card_tells_what_evaluate_found(name: str) -> None:
    folder = ALL / name
    recorded = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert (folder / "README.md").read_text(encoding="utf-8") == card.card(name, training, recorded)
    assert recorded["weights"] == networks.digest(folder), "the card is about other weights"
    told = recorded["runs"][-1]
    assert told["n"] >= 300
    pipe = evaluate.load(folder)
    assert type(pipe) is PIPELINES.get(name, AnimateDiffPipeline)
    how = {"steps": told["steps"], "cfg": told["cfg"], "seed": told["seed"] + 1}
    run, _ = evaluate.evaluate(pipe, n=8, batch=8, frames=recorded["frames"], **how)
    for name in run["by_value"]:
        found, claimed = (one["groups"]["all"][name]["mean"] for one in (run, told))
        spread = max(0.02, claimed * (1 - claimed)) / 8
        assert found > claimed - 3.5 * spread**0.5, f"{name}: the card says {claimed}, eight clips say {found}"


def test_vae_keeps_what_the_reader_reads(pipe: AnimateDiffPipeline) -> None:
    table = evaluate.reference(pipe.vae, n=40, seed=5)["VAE reconstructions"]
    for name in evaluate.ATTRIBUTES:
        assert table[name]["mean"] >= 0.9, name


def tiny(out: Path, steps: int) -> Plan:
    return Plan(out, out / "weights", 5, steps, vae_batch=2, image_batch=2, clip_batch=2, bank_clips=4)


def test_every_training_stage_runs_resumes_and_exports(tmp_path: Path) -> None:
    stages = ("vae", "bank", "image", "video", "together", "teacher", "export")
    for steps in (2, 3):
        for stage in stages if steps == 3 else stages[:5]:
            train.PROGRAMS[stage](tiny(tmp_path, steps))
    state = json.loads((tmp_path / "video" / "state.json").read_text(encoding="utf-8"))
    assert state["step"] == 3
    assert not list(tmp_path.rglob("*.p[tk]*")), "nothing pickled"
    for name, frames in (("pocket", 8), ("pocket-teacher", 8), ("pocket-image", 1)):
        exported = evaluate.load(tmp_path / "weights" / name)
        made = evaluate.sample(exported, ["a red boat"], [0], steps=1, cfg=1.0, frames=frames)
        assert made.shape == (1, frames, 64, 64, 3)
        shipped, again = (sorted(p.name for p in (home / name).iterdir()) for home in (ALL, tmp_path / "weights"))
        assert set(again) == set(shipped) - {"README.md", "evaluation.json"}
    assert (tmp_path / "weights/pocket-teacher/unet").resolve() == (tmp_path / "weights/pocket/unet").resolve()


def small_training(folder: Path) -> tuple[Training, Callable[[], torch.Tensor]]:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    groups = [{"params": list(module.parameters()), "lr": 0.1}]
    training = Training(folder, module, groups, Budget(60, steps=6), save_every=0.0, seed=4)

    def loss() -> torch.Tensor:
        data = torch.randn(5, 3) + torch.from_numpy(training.rng.random((5, 3))).float()
        return module(data).pow(2).mean()

    return training, loss


def test_an_interrupted_stage_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    whole, loss = small_training(tmp_path / "whole")
    whole.run(loss)
    broken, its_loss = small_training(tmp_path / "broken")

    def stops_at_the_fourth() -> torch.Tensor:
        if broken.step == 3:
            raise KeyboardInterrupt
        return its_loss()

    with pytest.raises(KeyboardInterrupt):
        broken.run(stops_at_the_fourth)
    resumed, its_loss = small_training(tmp_path / "broken")
    assert resumed.step == 3
    resumed.run(its_loss)
    for name, tensor in whole.average.items():
        assert (tensor - resumed.average[name]).abs().max() < 1e-4, name


def test_direction_is_in_the_trained_model(pipe: AnimateDiffPipeline) -> None:
    noise = torch.randn(1, 16, 8, 8, 8, generator=torch.Generator().manual_seed(5))
    states = networks.encode_text(
        [f"a red ball moving {side} over the sea" for side in ("left", "right")], pipe.tokenizer, pipe.text_encoder
    )
    with torch.no_grad():
        left, right = (
            pipe.unet(noise, torch.tensor([999]), one[None].repeat_interleave(8, 0)).sample for one in states
        )
    assert (left - right).pow(2).mean().sqrt() > 0.2, "the motion words have no effect on the motion"


def test_the_docs_show_the_measured_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pocket.md").read_text(encoding="utf-8")
    for name in MODELS:
        recorded = json.loads((ALL / name / "evaluation.json").read_text(encoding="utf-8"))
        assert evaluate.markdown({**recorded, "runs": recorded["runs"][-1:]}) in page, name
