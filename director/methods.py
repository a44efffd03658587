"""What an author may say about models and methods: the fields of `model`, `sampler` and `recipe`.

What a setting means and where it comes from stands beside its class in `shots.settings`; the names are the same.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from shots.quantize import KINDS

from .fields import refuse
from .part import ShortPart
from .presets import PRESETS

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Cutoff = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]
Bend = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
LoraWeight = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Ends = Annotated[list[Strength], Field(min_length=2, max_length=2)]
_START = "Share of the steps after which it begins. Default: 0."
_STOP = "Share of the steps after which it ends. Default: 1."


def _quantizer(value: Any) -> str:
    if isinstance(value, str) and value in KINDS:
        return value
    raise refuse("no such quantization", ", ".join(KINDS), tuple(KINDS))


def _variant(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z]\w{0,39}", value):
        return value
    raise refuse(
        "not a variant", "what stands in the names of the weights files, such as fp16 of model.fp16.safetensors"
    )


Variant = Annotated[str, PlainValidator(_variant), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z]\w{0,39}$"})]
Quantizer = Annotated[str, PlainValidator(_quantizer), WithJsonSchema({"enum": list(KINDS)})]


class Lora(ShortPart):
    """A LoRA: a small file that changes a model. safetensors only."""

    short = "id"
    id: str = Field(
        min_length=1,
        max_length=500,
        description="A .safetensors file, a folder that holds it, or a hub id in the local cache (`@` and a commit).",
        examples=["loras/ink.safetensors"],
    )
    weight: LoraWeight = Field(default=1.0, description="How much of it; 0 is none. Default: 1.")
    file: str | None = Field(
        default=None, min_length=1, max_length=200, description="Which file, where the folder or hub id holds several."
    )
    part: str | None = Field(
        default=None,
        max_length=100,
        description="Which network, where the model has two, such as transformer_2 (Wan 2.2). Default: the first.",
    )


class Quantization(ShortPart):
    """Weights in fewer bits, by one of diffusers' backends; the backend's package must be installed."""

    short = "kind"
    kind: Quantizer = Field(description="Backend and kind of number, such as quanto-int8.")
    parts: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=10,
        description="Parts of the pipeline, such as transformer or text_encoder. Default: its networks.",
    )


def _several(value: Any) -> Any:
    if isinstance(value, str | dict | Lora):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    raise refuse("not a LoRA", "a file, folder or hub id, a mapping with `id` and `weight`, or a list of these")


class _OneOrMore:
    """In the JSON Schema, a list may also be its one entry."""

    @staticmethod
    def __get_pydantic_json_schema__(core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        return {"anyOf": [schema["items"], schema]}


class Model(ShortPart):
    """A model: one that comes with longtake, a folder in diffusers format, or a hub id found in the local cache."""

    short = "id"
    id: str = Field(
        min_length=1,
        max_length=500,
        description="`pocket` (comes with longtake), a folder, or a hub id in the local cache.",
        examples=["pocket", "models/my-model", "guoyww/animatediff-motion-adapter-v1-5-2"],
    )
    revision: str | None = Field(default=None, description="Commit of a hub model.", max_length=200)
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        default=None, description="Number format that the network computes in. Default: the model's own."
    )
    variant: Variant | None = Field(
        default=None, description="Which of several weights files: fp16 loads `model.fp16.safetensors`."
    )
    lora: Annotated[tuple[Lora, ...], BeforeValidator(_several), _OneOrMore] = Field(
        default=(), max_length=20, description="LoRAs, one or a list; their weights add up."
    )
    quantization: Quantization | None = Field(
        default=None, description="Weights in fewer bits: less memory, other pictures."
    )
    tiling: bool = Field(
        default=False, description="The VAE decodes tile by tile: much less memory, slightly other pictures."
    )
    slicing: bool = Field(default=False, description="The VAE decodes picture by picture, where it can.")
    offload: Literal["none", "model", "group", "sequential"] = Field(
        default="none",
        description="What leaves the device while it does not work. model: whole parts. group: blocks. sequential: "
        "single layers. Slower, same pictures; where memory runs out, longtake does it by itself. Default: none.",
    )


class SamplerChoice(ShortPart):
    """How noise becomes a picture."""

    short = "name"
    name: Literal["ddim", "dpmpp_2m"] | None = Field(
        default=None,
        description="ddim: one step at a time (Euler's for flow matching). dpmpp_2m: DPM-Solver++ of second order.",
    )
    steps: int | None = Field(default=None, ge=1, le=1000, description="Denoising steps. Default: 25.", examples=[25])


class GuidanceChoice(ShortPart):
    """How strongly the prompt pulls."""

    short = "kind"
    kind: Literal["cfg", "cfg_plus_plus"] | None = Field(
        default=None, description="cfg: classifier-free guidance. cfg_plus_plus: CFG++, scale from 0 to 1."
    )
    scale: Strength | None = Field(
        default=None, description="Strength. cfg: 1 is none (half the cost), 3 to 10 usual. cfg_plus_plus: 0 to 1."
    )
    rescale: Share | None = Field(
        default=None, description="cfg: share of the prediction's contrast that is set back. Default: 0."
    )
    start: Share | None = Field(default=None, description=_START)
    stop: Share | None = Field(default=None, description=_STOP)


class PriorChoice(ShortPart):
    """The noise that a clip begins with."""

    short = "kind"
    kind: Literal["iid", "pyoco", "freenoise"] | None = Field(
        default=None,
        description="iid: independent in every frame. pyoco: correlated between frames (PYoCo). "
        "freenoise: later clips shuffle the first one's noise (FreeNoise).",
    )
    mode: Literal["mixed", "progressive"] | None = Field(default=None, description="pyoco: form of the correlation.")
    alpha: Correlation | None = Field(default=None, description="pyoco: strength of the correlation; 0 is none.")


class ChainChoice(ShortPart):
    """How the clips of one shot hold together."""

    short = "kind"
    kind: Literal["none", "vidrd", "windows", "anchor"] | None = Field(
        default=None,
        description="vidrd: a clip reuses the noise and first frames of the one before (VidRD). "
        "windows: neighbouring clips overlap and are averaged at every step (MultiDiffusion). "
        "anchor: a clip starts from the last picture of the one before (image-to-video models). none: no bond.",
    )
    overlap: int | None = Field(
        default=None, ge=0, le=1000, description="vidrd, windows: latent frames shared with the clip before (M)."
    )
    alpha: Correlation | None = Field(default=None, description="vidrd: how much of the old noise the new frames keep.")
    beta: Share | None = Field(default=None, description="vidrd: share of the steps that hold the shared frames.")
    schedule: Literal["staged", "constant"] | None = Field(
        default=None, description="vidrd: staged frees the shared frames one after another; constant, all at once."
    )
    order: Literal["forward", "reverse"] | None = Field(
        default=None,
        description="vidrd: forward repeats the last frames in order; reverse, as published, mirrors them.",
    )
    counts: Literal["code", "paper"] | None = Field(
        default=None, description="vidrd: copies as the published code counts them, or one more, as the paper does."
    )
    boundary: Literal["drop", "append", "blend"] | None = Field(
        default=None,
        description="vidrd: what the cut does with the shared frames: drop them from the later clip, append all as "
        "published, or dissolve one into the other. Default: drop (forward), append (reverse). Renders nothing anew.",
    )


class StgChoice(ShortPart):
    """Skip guidance (STG): away from what the network makes with some layers left out."""

    short = "use"
    use: Literal["on", "off"] | None = Field(default=None, description="off: without it, whatever the film says.")
    scale: Strength | None = Field(default=None, description="Strength; 0 is none. Default: 1.")
    mode: Literal["residual", "attention"] | None = Field(
        default=None,
        description="residual: leave the layers out. attention: their attention only passes values on.",
    )
    layers: list[str] | None = Field(
        default=None, description="Layers, as `longtake models` lists them. Default: the family's.", max_length=200
    )
    part: Literal["all", "spatial", "temporal"] | None = Field(
        default=None, description="Which attention, in networks that keep space and time apart."
    )
    rescale: Share | None = Field(default=None, description="Share of the contrast that is set back. Default: 0.")
    start: Share | None = Field(default=None, description=_START)
    stop: Share | None = Field(default=None, description=_STOP)


class VideoGuideChoice(ShortPart):
    """Teacher guidance (VideoGuide): the first steps lean on what another model, or the same, would make of them."""

    short = "use"
    use: Literal["on", "off"] | None = Field(default=None, description="off: without it, whatever the film says.")
    teacher: Model | None = Field(default=None, description="The teacher. Default: the model itself.")
    steps: int | None = Field(default=None, ge=0, le=1000, description="Guided steps, from the first. Default: 5.")
    until: Share | None = Field(default=None, description="Instead of steps: guide down to this share of noise.")
    tau: int | None = Field(default=None, ge=1, le=200, description="Teacher evaluations a guided step. Default: 10.")
    grid: int | None = Field(default=None, ge=2, le=1000, description="Points of the teacher's grid. Default: 25.")
    beta: Share | None = Field(default=None, description="The model's own share; 1 is no guidance. Default: 0.8.")
    low_pass: bool | None = Field(default=None, description="Renew high frequencies of the noise. Default: true.")
    cutoff: Cutoff | None = Field(default=None, description="Where they begin. Default: 0.25.")
    order: int | None = Field(default=None, ge=1, le=20, description="Steepness of that filter. Default: 4.")
    centred: bool | None = Field(default=None, description="Centre the filter for odd lengths, too. Default: false.")


class IvMixedChoice(ShortPart):
    """IV-Mixed sampling: an image model and the video model take turns before each step."""

    short = "use"
    use: Literal["on", "off"] | None = Field(default=None, description="off: without it, whatever the film says.")
    image: Model | None = Field(default=None, description="An image model of the same latent space.")
    order: Literal["ms", "ad"] | None = Field(
        default=None, description="ms: as published for ModelScope. ad: as published for AnimateDiff. Default: ms."
    )
    gamma_image: Ends | None = Field(
        default=None,
        description="The image model's guidance, first and last. Default: 4, 4.",
    )
    gamma_video: Ends | None = Field(
        default=None,
        description="The video model's guidance, first and last. Default: 4, 4.",
    )
    rho: Bend | None = Field(default=None, description="Bend between them. Default: 7.")
    start: Share | None = Field(default=None, description=_START)
    stop: Share | None = Field(default=None, description=_STOP)


def _preset(value: Any) -> str:
    if isinstance(value, str) and value in PRESETS:
        return value
    raise refuse("no such recipe", ", ".join(PRESETS), tuple(PRESETS))


PresetName = Annotated[str, PlainValidator(_preset), WithJsonSchema({"enum": list(PRESETS)})]


class RecipeChoice(ShortPart):
    """Settings of the methods: a preset, and what differs from it."""

    short = "preset"
    preset: PresetName | None = Field(
        default=None, description="Name of a recipe to start from. Default: the film's recipe."
    )
    guidance: GuidanceChoice | None = None
    prior: PriorChoice | None = None
    chain: ChainChoice | None = None
    stg: StgChoice | None = None
    videoguide: VideoGuideChoice | None = None
    iv_mixed: IvMixedChoice | None = None
