"""From trained networks to folders that stock diffusers pipelines load. What two models share is stored once.

`pocket-image` and `pocket-teacher` use the VAE, the text encoder and the image UNet of `pocket`: their folders hold
links to them. In an installed package the links are copies; a checkout without symbolic links needs `longtake` to be
installed from a wheel.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AnimateDiffPipeline, AutoencoderKL, StableDiffusionPipeline, UNetMotionModel

from . import networks
from .looks import FRAMES
from .train_together import image_view
from .vocabulary import CONCEPTS


def export(folder: Path, vae: AutoencoderKL, unet: UNetMotionModel, depth: int = 1) -> None:
    """Write a video model as fp16 for `AnimateDiffPipeline.from_pretrained(folder)`: image UNet and motion adapter."""
    adapter = networks.make_adapter(depth)
    adapter.load_state_dict({name: tensor for name, tensor in unet.state_dict().items() if "motion_modules" in name})
    parts = {**_shared(vae), "unet": image_view(unet)}
    pipe = AnimateDiffPipeline(**parts, motion_adapter=adapter)
    # The pipeline's constructor makes one motion UNet of the two; on disk they stay apart, as AnimateDiff has them.
    pipe.register_modules(unet=parts["unet"], motion_adapter=adapter)
    _write(pipe, folder)
    (folder / "longtake.json").write_text(json.dumps({"frames_native": FRAMES}) + "\n", encoding="utf-8")


def export_image(folder: Path, vae: AutoencoderKL, unet: UNetMotionModel) -> None:
    """Write the image model inside a video model for `StableDiffusionPipeline.from_pretrained(folder)`."""
    nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    _write(StableDiffusionPipeline(**_shared(vae), unet=image_view(unet), **nothing), folder)


def _shared(vae: AutoencoderKL) -> dict[str, Any]:
    tokenizer = networks.make_tokenizer()
    encoder = networks.make_text_encoder(tokenizer)
    return {"vae": vae, "text_encoder": encoder, "tokenizer": tokenizer, "scheduler": networks.make_scheduler()}


def _write(pipe: Any, folder: Path) -> None:
    """Save in fp16, beside the folder first, then in its place; the old card and evaluation go with the old weights."""
    full = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    before = {name: {k: v.clone() for k, v in part.state_dict().items()} for name, part in full.items()}
    partial, old = folder.with_name(folder.name + ".partial"), folder.with_name(folder.name + ".old")
    shutil.rmtree(partial, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(partial, safe_serialization=True)
    for name, part in full.items():
        part.to(torch.float32).load_state_dict(before[name])
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    (folder / "vocabulary.json").write_text(json.dumps(CONCEPTS, indent=1) + "\n", encoding="utf-8")


def share(folder: Path, with_folder: Path) -> list[str]:
    """Replace the parts of `folder` that equal those of `with_folder`, byte for byte, by links; returns their names."""
    linked = []
    for part in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        other = with_folder / part.name
        names = sorted(path.name for path in part.iterdir())
        same = other.is_dir() and names == sorted(path.name for path in other.iterdir())
        if same and not any(filecmp.cmpfiles(part, other, names, shallow=False)[1:]):
            shutil.rmtree(part)
            part.symlink_to(os.path.relpath(other, folder), target_is_directory=True)
            linked.append(part.name)
    return linked


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of weights of each part; what is shared with another model counts, too."""
    return {path.parent.name: path.stat().st_size for path in sorted(folder.glob("*/*.safetensors"))}
