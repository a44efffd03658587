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
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .deadline import Deadline
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
    WebAddress,
)
from .methods import Model, RecipeChoice, SamplerChoice
from .part import Part, ShortPart

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
    font: InsidePath | None = Field(
        default=None,
        description="Font of all titles: a .ttf, .otf or .ttc file below the storyboard's folder. "
        "Default: a built-in one of basic Latin letters. Changes no clip.",
        examples=["fonts/title.ttf"],
    )


class DraftChoice(Part):
    """Cheap versions to choose from: a take is rendered so until it is picked."""

    stop_after: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Make only the first steps of the full take and show what they promise. The take that is picked "
        "goes on from there: no step is made twice. Not together with steps or size.",
        examples=[8],
    )
    steps: int | None = Field(
        default=None, ge=1, le=1000, description="Denoising steps of a draft that is rendered anew.", examples=[8]
    )
    size: Size | None = Field(default=None, description="Width and height of a draft in pixels.", examples=[[32, 32]])


Takes = Annotated[int, Field(ge=1, le=64)]


class Defaults(Part):
    """What every shot has unless it says otherwise."""

    model: Model | None = Field(default=None, description="Default: pocket.")
    negative_prompt: Line = Field(default="", description="What the pictures should not show.")
    sampler: SamplerChoice | None = None
    recipe: RecipeChoice | None = Field(default=None, description="A preset's name or settings. Default: standard.")
    clip_frames: Frames | None = Field(
        default=None, description="Frames denoised together. Default: the model's own.", examples=[8]
    )
    takes: Takes = Field(default=1, description="Takes of every shot, each with a seed of its own, to choose from.")
    draft: DraftChoice | None = Field(default=None, description="Takes are drafts with these settings until picked.")


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
    font: InsidePath | None = Field(
        default=None, description="Font of this title: a file below the storyboard's folder; replaces the film's."
    )


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


class WebHook(ShortPart):
    """A web address that is told, by POST with a JSON object."""

    short = "url"
    url: WebAddress = Field(description="http:// or https://.", examples=["https://example.org/longtake"])


WebHooks = Annotated[list[WebHook], BeforeValidator(_listed), Field(max_length=20), _OneOrMore]


class Told(Part):
    """Who is told of what happens to the film. Commands are given when rendering, with --hook, and never here."""

    film_begun: WebHooks = Field(default=[], description="Rendering begins.")
    clip_done: WebHooks = Field(default=[], description="A clip is stored.")
    shot_failed: WebHooks = Field(default=[], description="A shot is given up in this run.")
    film_done: WebHooks = Field(default=[], description="The film is cut.")
    film_partial: WebHooks = Field(default=[], description="The run ended and shots are missing.")
    film_failed: WebHooks = Field(default=[], description="The film could not be cut, or another run took it over.")
    run_stopped: WebHooks = Field(default=[], description="The run was stopped, or broke off.")


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
    takes: Takes | None = Field(default=None, description="Takes of this shot to choose from; replaces the film's.")
    draft: DraftChoice | None = Field(default=None, description="Draft of this shot; replaces the film's.")
    start_image: InsidePath | None = Field(
        default=None,
        description="Picture that the shot begins with (image-to-video models), below the storyboard's folder.",
        examples=["stills/quay.png"],
    )
    transition: TransitionChoice | None = Field(default=None, description="The way into this shot. Default: cut.")
    title: TitleCard | None = None
    audio: list[Audio] = Field(default=[], description="Sounds that play with this shot.", max_length=100)
    notes: str = Field(default="", description="For people. Changes no clip.", max_length=100_000)


class ProductionChoice(Part):
    """How the film is produced beside others. Changes no clip, and no name of one."""

    priority: int = Field(
        default=0, ge=-1000, le=1000, description="Films with a higher one are rendered first.", examples=[10]
    )
    deadline: Deadline | None = Field(
        default=None,
        description="When the film should be done: a time of day (the next one), or a date and time. "
        "It goes before others of its priority when it would be late otherwise.",
        examples=["07:00", "2026-12-24 18:00"],
    )
    gpu_hours: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Hours of cameras that may be spent on the film, over all its productions. Then it stops; "
        "what is finished stays.",
        examples=[6],
    )
    share: float = Field(
        default=1.0, ge=0.01, le=100, description="Share of the cameras against films of the same priority."
    )


class Board(Part):
    """A storyboard: one film."""

    schema_: Literal["longtake.storyboard.v1"] = Field(alias="schema", description="Form of this file.")
    film: Film
    defaults: Defaults = Field(default_factory=Defaults, description="What every shot has unless it says otherwise.")
    shots: list[Shot] = Field(min_length=1, max_length=100_000, description="In film order.")
    bed: Bed | None = Field(default=None, description="Sound under the whole film.")
    deliver: Deliveries = Field(default=[], description="The finished files: one, or a list. Default: one, h264.")
    production: ProductionChoice = Field(
        default_factory=ProductionChoice, description="How the film is produced beside others."
    )
    on: Told | None = Field(default=None, description="Web addresses that are told of what happens to the film.")
    notes: str = Field(default="", description="For people. Changes no clip.", max_length=100_000)
