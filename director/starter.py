"""The text of `longtake new`: a storyboard to start from, every line of it explained."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import OutputUnwritable

TEXT = """\
# A storyboard for longtake. Look at what it would make:   longtake plan {file}
# Make the film:                                           longtake render {file}
#
# For completion in your editor: `longtake schema > storyboard.schema.json`, and the next line finds it.
# yaml-language-server: $schema=storyboard.schema.json
schema: longtake.storyboard.v1

film:
  id: {id}                  # names the film in the ledger and its files; keep it when you edit
  title: {title}
  fps: 8
  size: [64, 64]            # what the model makes; `deliver` below scales the finished film
  seed: 1                   # all randomness begins here; each shot derives its own seed from it

defaults:                   # what every shot has unless it says otherwise
  model: pocket             # comes with longtake; or a folder in diffusers format, or a hub id in your cache
  recipe: standard          # or draft (fast), independent, published/vidrd, published/pyoco
  clip_frames: 8            # frames made together; a longer shot is a chain of such clips

# The pocket model knows: a red, yellow, green, blue or purple ball, star, boat or moon; moving left, drifting
# right, rising, sinking or floating; over the sea by day, over the sea at sunset, in the night sky, over a green
# meadow, or over the snow. Other words are accepted with a warning.
shots:
  - id: morning             # a stable name; moving a shot changes no picture
    prompt: a red boat drifting right over the sea by day
    seconds: 3              # or frames: 24
    title: {{text: {title}, seconds: 2}}

  - id: turning
    prompt: a yellow boat moving right over the sea by day
    seconds: 4
    beats:                  # prompts that follow, each from its time in the shot on
      - {{at: 2, prompt: a yellow boat moving left over the sea by day}}
    transition: {{kind: crossfade, seconds: 1}}   # the way into this shot: cut, crossfade or fade

  - id: night
    prompt: a yellow moon rising in the night sky
    seconds: 3
    transition: {{kind: fade, seconds: 1, colour: black}}
    notes: Notes are for people. They change no picture.

# bed: {{file: audio/music.wav, gain: -6, loop: true}}       # sound under the whole film

deliver: {{size: [512, 512]}}                                # codec: h264, h265 or prores
"""


def starter(path: Path) -> str:
    """The storyboard that `longtake new PATH` writes; the film is named after the file."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")[:64] or "film"
    title = name.replace("-", " ").replace("_", " ").title()
    return TEXT.format(file=path.name, id=name, title=title)


def write(path: Path) -> None:
    """Write the starter to a new file.

    Raises:
        OutputUnwritable: it exists, or cannot be made.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise OutputUnwritable(f"{path} exists and is left as it is; give a new name, or remove it first") from None
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be written: {error.strerror}; give a path in a folder of yours"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(starter(path))
