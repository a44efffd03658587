"""LoRAs into a loaded pipeline, by diffusers' own loader on peft. Nothing is fused: they stay beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from .errors import ModelRefuses
from .settings import LoraRef


def add_loras(pipe: Any, loras: Sequence[LoraRef], files: Sequence[Path]) -> None:
    """Put LoRAs into the pipeline, each with its weight: the network gives `W x + sum_k weight_k scale_k B_k A_k x`.

    Raises:
        ModelRefuses: one is of another model: its tensors have other names or shapes.
    """
    names = [f"longtake_{k}" for k in range(len(loras))]
    for name, lora, file in zip(names, loras, files, strict=True):
        # diffusers knows one pipeline of two networks; whichever is not asked for stays as it is.
        second = {"load_into_transformer_2": True} if lora.part == "transformer_2" else {}
        where = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
        try:
            pipe.load_lora_weights(str(file.parent), adapter_name=name, **where, **second)
        except (ValueError, KeyError, RuntimeError, TypeError, AttributeError, IndexError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            raise ModelRefuses(f"LoRA {file} is not one of {type(pipe).__name__} of this size: {said}") from None
        _check_taken(pipe, name, file)
    if loras:
        pipe.set_adapters(names, adapter_weights=[lora.weight for lora in loras])


def _check_taken(pipe: Any, name: str, file: Path) -> None:
    """Tensors that have no place in the pipeline are left aside by the library, with a word in its log at most."""
    taken = sum(
        sum(name in layer.lora_A or name in layer.lora_B for layer in part.modules() if hasattr(layer, "lora_A"))
        for part in pipe.components.values()
        if hasattr(part, "modules")
    )
    with safe_open(file, framework="pt") as tensors:
        given = sum("lora_A" in key or "lora_down" in key or ".down." in key for key in tensors.keys())  # noqa: SIM118
    if not taken or taken < given:
        raise ModelRefuses(
            f"LoRA {file} is not one of {type(pipe).__name__}: of its {given or 'unknown'} layers {taken} are there;"
            " use one that was made for this model"
        )
