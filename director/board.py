"""What an author writes, as data: the fields of `longtake.storyboard.v1`. Meaning and limits of each stand here.

Everything is strict (no text read as a number) and closed (an unknown field is an error). What one field
cannot know about another is checked in `settle`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .fields import (
    Colour,
    Decibel,
    FileName,
    FrameRate,
    Frames,
    Identifier,
    InsidePath,
    Line,
    Prompt,
    Seconds,
    SecondsOrZero,
    Seed,
    Size,
    refuse,
)
from .part import Part, ShortPart
from .presets import PRESETS

SCHEMA = "longtake.storyboard.v1"


class Film(Part):
    """The film as a whole."""

    id: Identifier = Field(
        description="Name of the film in the ledger and of its files. Keep it when you edit the storyboard.",
        examples=["harbour"],
    )
    title: str = Field(default="", description="Title for people. Changes no clip.", max_length=500)
    fps: FrameRate = Field(description="Frames a second of the film.", examples=[8, 24, "30000/1001"])
    size: Size | None = Field(
        default=None,
        description="Width and height in pixels that the model makes. Default: the model's own. "
        "`deliver` scales the finished film.",
        examples=[[64, 64]],
    )
    seed: Seed = Field(
        default=0, description="Start of all randomness. Each shot derives its own seed from it and its id."
    )


class Model(ShortPart):
    """The video model: `pocket`, a folder in diffusers format, or a hub id found in the local cache."""

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


class SamplerChoice(ShortPart):
    """How noise becomes a picture."""

    short = "name"
    name: Literal["ddim"] | None = Field(default=None, description="The sampler. Default: ddim.")
    steps: int | None = Field(default=None, ge=1, le=1000, description="Denoising steps. Default: 25.", examples=[25])


class GuidanceChoice(ShortPart):
    """How strongly the prompt pulls."""

    short = "kind"
    kind: Literal["cfg", "cfg_plus_plus"] | None = Field(
        default=None, description="cfg: classifier-free guidance. cfg_plus_plus: CFG++, scale from 0 to 1."
    )
    scale: float | None = Field(
        default=None,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Strength. cfg: 1 is none (half the cost), 3 to 10 usual. cfg_plus_plus: 0 to 1.",
    )


class PriorChoice(ShortPart):
    """The noise that a clip begins with."""

    short = "kind"
    kind: Literal["iid", "pyoco"] | None = Field(
        default=None, description="iid: independent in every frame. pyoco: correlated between frames (PYoCo)."
    )
    mode: Literal["mixed", "progressive"] | None = Field(default=None, description="pyoco: form of the correlation.")
    alpha: float | None = Field(
        default=None, ge=0, le=1000, allow_inf_nan=False, description="pyoco: strength of the correlation; 0 is none."
    )


class ChainChoice(ShortPart):
    """How the clips of one shot hold together."""

    short = "kind"
    kind: Literal["none", "vidrd"] | None = Field(
        default=None,
        description="vidrd: a clip reuses the noise and first frames of the one before (VidRD). none: no bond.",
    )
    overlap: int | None = Field(
        default=None, ge=0, le=1000, description="vidrd: frames shared with the clip before (M)."
    )
    alpha: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="vidrd: how much of the old noise the new frames keep.",
    )
    beta: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="vidrd: share of the steps that hold the shared frames.",
    )
    schedule: Literal["staged", "constant"] | None = Field(
        default=None, description="vidrd: staged frees the shared frames one after another; constant, all at once."
    )
    order: Literal["forward", "reverse"] | None = Field(
        default=None,
        description="vidrd: forward repeats the last frames in order and the cut drops them; "
        "reverse starts from the mirrored tail and keeps all frames, as published.",
    )


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


class Defaults(Part):
    """What every shot has unless it says otherwise."""

    model: Model | None = Field(default=None, description="Default: pocket.")
    negative_prompt: Line = Field(default="", description="What the pictures should not show.")
    sampler: SamplerChoice | None = None
    recipe: RecipeChoice | None = Field(default=None, description="A preset's name or settings. Default: standard.")
    clip_frames: Frames | None = Field(
        default=None, description="Frames denoised together. Default: the model's own.", examples=[8]
    )


class Beat(Part):
    """A new prompt from some time of the shot on. A clip uses the one in force at its first frame."""

    at: SecondsOrZero | None = Field(default=None, description="Seconds from the shot's beginning.")
    at_frame: int | None = Field(
        default=None, ge=0, le=1_000_000, description="The same in frames; give one of the two."
    )
    prompt: Prompt = Field(description="What is seen from then on.")


class TransitionChoice(ShortPart):
    """The way into a shot."""

    short = "kind"
    kind: Literal["cut", "crossfade", "fade"] = Field(
        description="cut: at once. crossfade: overlaps the end of what is before. fade: through a colour."
    )
    seconds: Seconds | None = Field(default=None, description="Length. Default: half a second.")
    frames: Frames | None = Field(default=None, description="Length in film frames, instead of seconds.")
    colour: Colour | None = Field(default=None, description="fade: the colour that it goes through. Default: black.")


class TitleCard(ShortPart):
    """Text before a shot or over its beginning."""

    short = "text"
    text: str = Field(min_length=1, max_length=500, description="The words. Line breaks are kept.")
    seconds: Seconds | None = Field(default=None, description="Length. Default: two seconds.")
    frames: Frames | None = Field(default=None, description="Length in film frames, instead of seconds.")
    over: Literal["card", "shot"] = Field(
        default="card", description="card: before the shot. shot: over its first frames."
    )
    colour: Colour = Field(default=(0, 0, 0), description="Colour of the card. Default: black.")
    text_colour: Colour = Field(default=(255, 255, 255), description="Colour of the words. Default: white.")


class Audio(ShortPart):
    """A sound file that plays with a shot."""

    short = "file"
    file: InsidePath = Field(description="Path below the storyboard's folder.", examples=["audio/waves.wav"])
    gain: Decibel = Field(default=0.0, description="Decibels; 0 leaves it as it is.")
    start: SecondsOrZero | None = Field(
        default=None, description="When it begins, in seconds from the shot's first frame."
    )
    fade_in: SecondsOrZero | None = Field(default=None, description="Seconds.")
    fade_out: SecondsOrZero | None = Field(default=None, description="Seconds.")


class Bed(Audio):
    """The sound under the whole film."""

    loop: bool = Field(default=False, description="Repeat it until the film ends.")


class Delivery(ShortPart):
    """One finished file."""

    short = "name"
    name: FileName | None = Field(default=None, description="File name. Default: the film's id.", examples=["harbour"])
    size: Size | None = Field(default=None, description="Width and height in pixels. Default: the film's.")
    codec: Literal["h264", "h265", "prores"] = Field(
        default="h264", description="h264 and h265 in .mp4, prores in .mov."
    )
    scaler: Literal["lanczos", "bicubic", "nearest"] = Field(
        default="lanczos", description="How pictures are enlarged."
    )


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class _OneOrMore:
    """In the JSON Schema, a list of deliveries may also be one delivery."""

    @staticmethod
    def __get_pydantic_json_schema__(core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        return {"anyOf": [schema["items"], schema]}


Deliveries = Annotated[list[Delivery], BeforeValidator(_listed), _OneOrMore]


class Shot(Part):
    """One continuous view."""

    id: Identifier = Field(description="Stable name. Seeds derive from it, so moving a shot changes no picture.")
    prompt: Prompt = Field(description="What is seen.", examples=["a red boat drifting right over the sea by day"])
    negative_prompt: Line | None = Field(default=None, description="What should not be seen; replaces the film's.")
    seconds: Seconds | None = Field(default=None, description="Length; give seconds or frames.", examples=[4])
    frames: Frames | None = Field(default=None, description="Length in film frames; give seconds or frames.")
    beats: list[Beat] = Field(
        default=[], description="Prompts that follow the first one, each with its time.", max_length=10_000
    )
    seed: Seed | None = Field(
        default=None, description="Replaces the seed derived from the film's seed and the shot's id."
    )
    model: Model | None = None
    sampler: SamplerChoice | None = None
    recipe: RecipeChoice | None = None
    clip_frames: Frames | None = Field(default=None, description="Frames denoised together, for this shot.")
    transition: TransitionChoice | None = Field(default=None, description="The way into this shot. Default: cut.")
    title: TitleCard | None = None
    audio: list[Audio] = Field(default=[], description="Sounds that play with this shot.", max_length=100)
    notes: str = Field(default="", description="For people. Changes no clip.", max_length=100_000)


class Board(Part):
    """A storyboard: one film."""

    schema_: Literal["longtake.storyboard.v1"] = Field(alias="schema", description="Form of this file.")
    film: Film
    defaults: Defaults = Field(default_factory=Defaults, description="What every shot has unless it says otherwise.")
    shots: list[Shot] = Field(min_length=1, max_length=100_000, description="In film order.")
    bed: Bed | None = Field(default=None, description="Sound under the whole film.")
    deliver: Deliveries = Field(default=[], description="The finished files: one, or a list. Default: one, h264.")
    notes: str = Field(default="", description="For people. Changes no clip.", max_length=100_000)
