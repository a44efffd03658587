"""The model card, written from what was recorded (training.json) and measured (evaluation.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .evaluate import ATTRIBUTES, markdown
from .vocabulary import BACKGROUNDS, COLOURS, FILLERS, KINDS, MOTIONS


@dataclass(frozen=True)
class About:
    """What a card says of one model beside the numbers. `shown`: the stage whose direction probe it tells of."""

    title: str
    pipeline: str
    purpose: str
    parts: str
    trained: str
    limits: tuple[str, ...]
    shown: str = ""


_ONE = "One subject. No camera motion, no text, no people. 64x64 pixels; no other size was trained."
_WOBBLE = "Outlines wobble more than in true scenes: compare area_jitter, acceleration and overlap with the first row."
_MIDDLE = (
    "A clip always crosses the middle of the picture: a subject that moves left starts right of the middle in every"
    " clip, so a chain of clips with a moving subject starts its path anew in each clip unless the chaining method"
    " prevents it. `floating` is the motion for long chains."
)
_UNET = (
    "a frozen `CLIPTextModel` with one fixed random vector a concept, an f8 `AutoencoderKL` with 16 latent channels,"
    " and a `DDIMScheduler` (v prediction, zero terminal SNR, trailing)"
)

MODELS = {
    "pocket": About(
        "a text-to-video model of {megabytes:.1f} MB",
        "AnimateDiffPipeline",
        "It makes clips of 64x64 pixels and 8 frames. It is for trying storyboards, for tests, and for seeing what a"
        " sampling method does. It is not a general video model.",
        f"a `UNet2DConditionModel` (64 and 128 channels) with a `MotionAdapter`, {_UNET}",
        "The last stage trains on clips and on single frames in turn, so the image UNet is a model of its own:"
        " `pocket-image`.",
        (_ONE, "Other clip lengths than 8 frames were not trained.", _MIDDLE, _WOBBLE),
        "together",
    ),
    "pocket-teacher": About(
        "pocket with deeper motion modules, {megabytes:.1f} MB",
        "AnimateDiffPipeline",
        "It makes the same clips as `pocket`, in the same latent space: a teacher for VideoGuide.",
        f"the image UNet of `pocket`, with a `MotionAdapter` of two transformer blocks a module, {_UNET}. All but the"
        " motion adapter is stored once, with `pocket`",
        "It starts as `pocket`, bit for bit; then only the motion modules are trained.",
        (_ONE, _MIDDLE, _WOBBLE),
        "teacher",
    ),
    "pocket-image": About(
        "the image model inside pocket, {megabytes:.1f} MB",
        "StableDiffusionPipeline",
        "It makes single pictures in the latent space of `pocket`: the image model of IV-Mixed sampling.",
        f"the image UNet of `pocket` without its motion modules, {_UNET}. Everything is stored once, with `pocket`",
        "It is trained together with `pocket`; the words start, middle and end, after a motion, say where in its path"
        " the subject is.",
        (_ONE, "A picture shows no motion, so none is measured."),
    ),
    "pocket-dit": About(
        "a flow-matching video transformer of {megabytes:.1f} MB",
        "LTXPipeline",
        "It makes clips of 64x64 pixels and 9 frames with the architecture of LTX-Video: patches in a sequence, a"
        " causal video VAE whose latent frames stand for four pictures, rectified flow. It is for skip guidance and for"
        " everything that is different on such models. It is not a general video model.",
        "an `LTXVideoTransformer3DModel` (6 blocks, 5 heads of 32), an `AutoencoderKLLTXVideo` of its own, a frozen"
        " `T5EncoderModel` with one fixed random vector a concept, and a `FlowMatchEulerDiscreteScheduler`",
        "Single frames first, since the first latent frame of a causal VAE is one picture; then clips.",
        (_ONE, "Other clip lengths than 9 frames were not trained.", _MIDDLE, _WOBBLE),
        "dit_video",
    ),
}
"""Folder name -> what its card says."""

_HEAD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: {tag}
---
# {name}: {title}

A small latent diffusion model in diffusers format, shipped with longtake so that a machine without a network and
without a GPU can render honest films: one coloured subject on one of five backgrounds. {purpose}

```python
from diffusers import {pipeline}

pipe = {pipeline}.from_pretrained("shots/pocket/weights/{name}")
{call}
```
"""

_ABOUT = """
## What is in it
`{pipeline}` with {parts}. Weights are fp16 safetensors: {sizes}.

## How it was trained
On procedural scenes only (`shots/pocket/scenes.py`), from random initialisation, with the project's own program
(`shots/pocket/train.py`); no photograph, no video and no other model was used. One attribute combination in ten is
never shown in training. {trained}

| stage | steps | samples seen | minutes, one CPU core |
|---|---|---|---|
{stages}
{probe}
Not trained on a GPU, so no time on one is known.

## Measured
{n} prompts, {steps} steps, CFG {cfg:g}, new seeds; half the prompts name held-out combinations, half use other
wordings than the plain caption. Mean+-standard error; chance is .20 for colour, motion and background, .25 for
kind. The reader is checked on true scenes and on VAE reconstructions (PSNR {psnr} dB), first rows. What each column
means: `shots/pocket/measures.py`. Sampling took {seconds} s a clip on {threads} CPU thread(s), fp32.

{table}

By what was asked (share right):

{by_value}

## Limits
{limits}

Weights: sha256 `{weights}` (parts in the order of their names; `networks.digest`).

## Licence
Apache-2.0, like the rest of the project. The training data are generated by the project and carry no other rights.
"""

_PROBE = """
Gate of the last stage: the difference between the x0 estimates for "left" and "right" from pure noise went
from {first} to {last} (an exact model would reach about .6).
"""


UNITS = {
    "vae": "frames",
    "image": "frames",
    "dit_image": "frames",
    "together": "clips (instead of 8 clips, 64 single frames in three steps of ten)",
}


def _stages(training: dict[str, Any]) -> str:
    rows = []
    for name, stage in training["stages"].items():
        unit = UNITS.get(name, "clips")
        rows.append(f"| {name} | {stage['step']} | {stage['samples']} {unit} | {stage['seconds'] / 60:.1f} |")
    return "\n".join(rows)


def _words(group: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(
        f"**{name}**" + (f" ({', '.join(words[1:])})" if words[1:] else "") for name, words in group.items()
    )


def vocabulary_section() -> str:
    """The words, by meaning; words in brackets are exact synonyms."""
    groups = {"Colours": COLOURS, "Kinds": KINDS, "Motions": MOTIONS, "Backgrounds": BACKGROUNDS}
    lines = [f"- {title}: {_words(dict(group))}" for title, group in groups.items()]
    fillers = f"- Accepted and without meaning: {', '.join(FILLERS)}"
    return "\n".join(
        ["## Vocabulary", "Words in brackets are exact synonyms of the word before them.", "", *lines, fillers]
    )


def _by_value(run: dict[str, Any]) -> str:
    lines = []
    for name in (name for name in ATTRIBUTES if name in run["by_value"]):
        cells = [f"{value} {cell['mean']:.2f} (n={cell['n']})" for value, cell in run["by_value"][name].items()]
        lines.append(f"- {name}: " + ", ".join(cells))
    return "\n".join(lines)


def card(name: str, training: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """The text of a model's card. The last run of the evaluation is the one the card is about."""
    about, run = MODELS[name], evaluation["runs"][-1]
    sizes = training["bytes"]
    picture = about.pipeline == "StableDiffusionPipeline"
    head = _HEAD.format(
        tag="text-to-image" if picture else "text-to-video",
        name=name,
        title=about.title.format(megabytes=sum(sizes.values()) / 1e6),
        purpose=about.purpose,
        pipeline=about.pipeline,
        call=_call(evaluation["frames"], run["steps"], run["cfg"]),
    )
    words = sum(len(words) for group in (COLOURS, KINDS, MOTIONS, BACKGROUNDS) for words in group.values())
    knows = (
        f"It knows {words + len(FILLERS)} words; any other word is read as filler (and uses up several of the 24"
        " tokens). Two colours, kinds, motions or backgrounds in one prompt compete, with no defined winner."
    )
    body = _ABOUT.format(
        pipeline=about.pipeline,
        parts=about.parts,
        sizes=", ".join(f"{part} {size / 1e6:.2f} MB" for part, size in sizes.items()),
        trained=about.trained,
        stages=_stages(training),
        probe=_probe(training["stages"].get(about.shown, {}).get("history") or []),
        psnr=evaluation["reference"]["psnr_db"],
        seconds=run["seconds_per_clip"],
        table=markdown({**evaluation, "runs": [run]}),
        by_value=_by_value(run),
        limits="\n".join(f"- {line}" for line in (knows, *about.limits)),
        weights=evaluation["weights"],
        **{key: run[key] for key in ("n", "steps", "cfg", "threads")},
    )
    return f"{head}\n{vocabulary_section()}\n{body}"


def _call(frames: int, steps: int, cfg: float) -> str:
    prompt, size = "a red boat drifting left over the sea at sunset", "height=64, width=64"
    how = f"num_inference_steps={steps}, guidance_scale={cfg:g}"
    if frames == 1:
        return f'picture = pipe("{prompt}", {size},\n               {how}).images[0]'
    return f'clip = pipe("{prompt}", num_frames={frames}, {size},\n            {how}).frames[0]'


def _probe(history: list[dict[str, Any]]) -> str:
    told = [entry["left_right"] for entry in history if "left_right" in entry]
    return _PROBE.format(first=told[0], last=told[-1]) if told else ""


def write_card(model: Path) -> Path:
    """Write README.md beside the weights from the records that lie there."""
    records = [json.loads((model / name).read_text(encoding="utf-8")) for name in ("training.json", "evaluation.json")]
    path = model / "README.md"
    path.write_text(card(model.name, *records), encoding="utf-8")
    return path
