"""What a storyboard says about loading a model, as `shots` takes it."""

from __future__ import annotations

from shots.loading import Loading
from shots.settings import LoraRef, Quantized

from .methods import Model


def loading_of(model: Model) -> Loading:
    """LoRAs with nothing looked up yet, quantization, and what saves memory."""
    quantization = model.quantization
    return Loading(
        variant=model.variant,
        loras=tuple(LoraRef(lora.id, lora.weight, lora.file, lora.part) for lora in model.lora),
        quantized=Quantized(quantization.kind, quantization.parts) if quantization else None,
        tiling=model.tiling,
        slicing=model.slicing,
        offload=model.offload,
    )
