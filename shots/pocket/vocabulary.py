"""The words the pocket model knows, grouped by what they mean. Standard library only: a planner asks without torch.

Every word belongs to one concept, and the words of one concept share one embedding vector in the model's frozen text
encoder. So `ship` and `boat` are the same thing to the model, exactly, and a synonym costs no training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

COLOURS: Mapping[str, tuple[str, ...]] = {
    "red": ("red", "scarlet", "crimson"),
    "yellow": ("yellow", "golden", "gold"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet", "magenta"),
}
KINDS: Mapping[str, tuple[str, ...]] = {
    "ball": ("ball", "balloon", "buoy", "lantern"),
    "star": ("star", "starfish"),
    "boat": ("boat", "ship", "sailboat", "yacht"),
    "moon": ("moon", "crescent"),
}
MOTIONS: Mapping[str, tuple[str, ...]] = {
    "left": ("left", "leftward", "westward"),
    "right": ("right", "rightward", "eastward"),
    "up": ("up", "rising", "climbing", "upward"),
    "down": ("down", "sinking", "falling", "downward"),
    "floating": ("floating", "resting", "still", "waiting", "anchored", "hovering"),
}
BACKGROUNDS: Mapping[str, tuple[str, ...]] = {
    "sea": ("sea", "ocean", "harbour", "harbor", "water", "bay"),
    "sunset": ("sunset", "dusk", "evening"),
    "night": ("night", "midnight"),
    "meadow": ("meadow", "field", "grass"),
    "snow": ("snow", "snowy", "winter"),
}
PHASES: Mapping[str, tuple[str, ...]] = {"start": ("start",), "middle": ("middle",), "end": ("end",)}
"""Where in its path the subject of a single picture is; used while the image model trains, never in a video prompt."""

FILLERS: tuple[str, ...] = (
    *(
        "a",
        "an",
        "the",
        "over",
        "in",
        "on",
        "at",
        "to",
        "of",
        "by",
        "and",
        "with",
        "across",
        "above",
        "toward",
        "towards",
    ),
    *("is", "it", "its", "while", "then", "against"),
    *("moving", "drifting", "sailing", "gliding", "flying", "travelling", "slowly", "gently", "quietly"),
    *("day", "sky", "hills", "open", "calm", "quiet", "small", "big", "bright", "lone", "single"),
)
"""Words that are accepted and mean nothing to the model: they all share one neutral vector."""

CONCEPTS: Mapping[str, tuple[str, ...]] = {
    **COLOURS,
    **KINDS,
    **MOTIONS,
    **BACKGROUNDS,
    **PHASES,
    "": FILLERS,
}
"""Concept -> its words; the empty concept holds the fillers."""

MAX_TOKENS = 24
"""Length of the model's text input, the two end markers included; a longer prompt is cut there."""

_WORD = re.compile(r"[^\W\d_]+|\d+", re.UNICODE)
_CONCEPT_OF = {word: concept for concept, words in CONCEPTS.items() for word in words}


def known_words() -> list[str]:
    """All the words a prompt may use, sorted; the phase words of the image stage are left out."""
    return sorted(set(_CONCEPT_OF) - set(PHASES))


def split_words(prompt: str) -> list[str]:
    """The prompt's words in order, lower case, punctuation dropped."""
    return _WORD.findall(prompt.lower())


def unknown_words(prompt: str) -> list[str]:
    """The words of the prompt that the model does not know, each once, in order of appearance."""
    known = set(known_words())
    return list(dict.fromkeys(word for word in split_words(prompt) if word not in known))


def _named(words: Iterable[str], group: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(_CONCEPT_OF[word] for word in words if _CONCEPT_OF.get(word) in group))


def describe(prompt: str) -> dict[str, list[str]]:
    """What the model will read: attribute -> the concepts named (none: the model chooses; two: they compete).

    >>> describe("a crimson ship drifting left at dusk")
    {'colour': ['red'], 'kind': ['boat'], 'motion': ['left'], 'background': ['sunset']}
    """
    words = split_words(prompt)
    groups = {"colour": COLOURS, "kind": KINDS, "motion": MOTIONS, "background": BACKGROUNDS}
    found = {name: _named(words, group) for name, group in groups.items()}
    if "sea" in found["background"] and len(found["background"]) > 1:
        found["background"].remove(
            "sea"
        )  # "over the sea at sunset" is taught as sunset, "over the sea at night" as night
    return found
