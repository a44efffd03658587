"""The `model:` mapping: what it says reaches the clips, and what cannot be is refused at its own place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from director.errors import StoryboardError
from director.plan import plan
from director.storyboard import load
from shots.settings import LoraRef

BOARD = """\
schema: longtake.storyboard.v1
film: {{id: f, fps: 8}}
defaults:
  model: {model}
shots:
  - {{id: a, prompt: a red boat, seconds: 1}}
"""


@pytest.fixture
def write(tmp_path: Path):
    save_file({"unet.to_q.lora_A.weight": np.zeros((1, 1), np.float32)}, tmp_path / "ink.safetensors")
    save_file({"weight": np.zeros((1, 1), np.float32)}, tmp_path / "none.safetensors")

    def file(model: str) -> Path:
        path = tmp_path / "film.yaml"
        path.write_text(BOARD.format(model=model))
        return path

    return file


def refusal(path: Path) -> str:
    with pytest.raises(StoryboardError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "place", "message"),
    [
        ("{id: pocket, lora: oil.safetensors}", "4:29: defaults.model.lora[0]", "no LoRA 'oil.safetensors' here"),
        (
            "{id: pocket, lora: [ink.safetensors, none.safetensors]}",
            "4:47: defaults.model.lora[1]",
            "none.safetensors holds no LoRA",
        ),
        (
            "{id: pocket, lora: {id: ink.safetensors, weight: 101}}",
            "4:59: defaults.model.lora[0].weight",
            "at most 100",
        ),
        ("{id: pocket, lora: {id: ink.safetensors, wieght: 1}}", "wieght", "did you mean 'weight'"),
        ("{id: pocket, lora: 3}", "4:29: defaults.model.lora", "not a LoRA"),
        ("{id: pocket, variant: fp16}", "4:32: defaults.model.variant", "has no variant 'fp16'"),
        ("{id: pocket, variant: ../x}", "4:32: defaults.model.variant", "not a variant"),
        ("{id: pocket, quantization: int3}", "defaults.model.quantization", "no such quantization"),
        ("{id: pocket, quantization: bitsandbytes-int9}", "quantization", "did you mean 'bitsandbytes-int8'"),
        ("{id: pocket, offload: all}", "4:32: defaults.model.offload", "none, model, group, sequential"),
        ("{id: pocket, tiling: 1}", "4:31: defaults.model.tiling", "true or false"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(write, model: str, place: str, message: str) -> None:
    said = refusal(write(model))
    assert place in said
    assert message in said


def test_what_a_model_says_reaches_its_clips(write, tmp_path: Path) -> None:
    (board,) = load(write("{id: pocket, lora: {id: ink.safetensors, weight: 0.5}, tiling: true, offload: group}"))
    ref = plan(board).shots[0].clips[0].spec.model
    (lora,) = ref.loras
    assert lora == LoraRef(str(tmp_path / "ink.safetensors"), 0.5, digest=lora.digest)
    assert lora.digest.startswith("sha256:")
    assert (ref.tiling, ref.offload, ref.slicing) == (True, "group", False)


def test_only_what_decides_pixels_is_in_the_key(write) -> None:
    def key(model: str) -> str:
        (board,) = load(write(model))
        return plan(board).shots[0].clips[0].key

    plain = key("pocket")
    neutral = "{id: pocket, lora: {id: ink.safetensors, weight: 0}, tiling: false, slicing: true, offload: sequential}"
    assert key(neutral) == plain
    others = [key("{id: pocket, lora: ink.safetensors}"), key("{id: pocket, tiling: true}")]
    assert len({plain, *others}) == 3
