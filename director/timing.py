"""A shot's time in whole film frames: its length, beats, transition, title and sounds. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path as FilePath

from .board import Audio, Shot, TitleCard, TransitionChoice
from .findings import Findings
from .planned import Sound, Title, Transition
from .problems import Path


@dataclass(frozen=True)
class TimedShot:
    """beats: (first frame, prompt), ascending, the shot's own prompt first. notes: what rounding changed."""

    id: str
    frames: int
    beats: tuple[tuple[int, str], ...]
    transition: Transition
    title: Title | None
    audio: tuple[Sound, ...]
    notes: tuple[str, ...]

    @property
    def card(self) -> int:
        """Film frames of the title card, 0 without one."""
        return self.title.frames if self.title and self.title.over == "card" else 0


def decimal(value: Fraction) -> str:
    """A rational for people: at most three decimals, no trailing zeros."""
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


@dataclass
class Timer:
    """Times the shots of a film of `fps` frames a second. font: of titles that name none."""

    fps: Fraction
    findings: Findings
    font: str | None = None

    def shot(self, index: int, shot: Shot) -> TimedShot:
        """The shot at `index` of the file; `frames` is 0 where its length could not be told."""
        at: Path = ("shots", index)
        notes: list[str] = []
        frames = shot.frames or 0
        if shot.seconds is not None and shot.frames is None:
            frames = self.length(at, shot.seconds, notes)
        return TimedShot(
            shot.id,
            frames,
            self.beats(at, shot),
            self.transition((*at, "transition"), shot.transition, notes),
            self.title((*at, "title"), shot.title, notes),
            tuple(self.sound(a, False) for a in shot.audio),
            tuple(notes),
        )

    def frame(self, seconds: Fraction) -> int:
        """The frame nearest to a time; the later of two equally near."""
        return int(seconds * self.fps + Fraction(1, 2))

    def length(self, at: Path, seconds: Fraction, notes: list[str] | None = None, name: str = "") -> int:
        """Whole frames of a duration, 0 after a problem; what rounding changed goes to `notes`."""
        count, asked = self.frame(seconds), seconds * self.fps
        if count == 0:
            what = f"shorter than half a frame at {decimal(self.fps)} frames a second"
            least = f"at least {decimal(1 / self.fps)} seconds, which is one frame"
            self.findings.add((*at, "seconds"), what, float(seconds), allowed=least)
        elif count != asked and notes is not None:
            notes.append(
                f"{name}{decimal(seconds)} s is {decimal(asked)} frames at {decimal(self.fps)} fps: made {count}"
            )
        return count

    def given(self, at: Path, seconds: Fraction | None, default: Fraction, notes: list[str], name: str) -> int:
        """Frames of a duration that has a default; only what the author wrote is worth a note."""
        return self.length(at, seconds, notes, name) if seconds is not None else max(1, self.frame(default))

    def beats(self, at: Path, shot: Shot) -> tuple[tuple[int, str], ...]:
        found = [(0, shot.prompt)]
        for k, beat in enumerate(shot.beats):
            path = (*at, "beats", k)
            start = self.frame(beat.at) if beat.at is not None else beat.at_frame
            if start is None:
                continue  # checks has told
            if start < found[-1][0] or (k and start == found[-1][0]):
                what = f"a beat must begin after the one before it (frames {found[-1][0]} and {start})"
                self.findings.add(path, what)
            found.append((start, beat.prompt))
        return tuple(found)

    def transition(self, at: Path, choice: TransitionChoice | None, notes: list[str]) -> Transition:
        if choice is None or choice.kind == "cut":
            for name in ("seconds", "frames", "colour"):
                if choice and getattr(choice, name) is not None:
                    self.findings.add(
                        (*at, name), f"a cut has no {name}", allowed="crossfade or fade, or no such field"
                    )
            return Transition()
        if choice.kind == "crossfade" and choice.colour is not None:
            self.findings.add(
                (*at, "colour"), "a crossfade goes through no colour", allowed="`kind: fade`, or no colour"
            )
        frames = choice.frames or self.given(at, choice.seconds, Fraction(1, 2), notes, f"{choice.kind}: ")
        return Transition(choice.kind, max(frames, 1), choice.colour or (0, 0, 0))

    def title(self, at: Path, choice: TitleCard | None, notes: list[str]) -> Title | None:
        if choice is None:
            return None
        frames = choice.frames or self.given(at, choice.seconds, Fraction(2), notes, "title: ")
        font = choice.font or self.font
        drawn = choice.colour, choice.text_colour, FilePath(font) if font else None
        return Title(choice.text, frames, choice.over, *drawn)

    def sound(self, audio: Audio, loop: bool) -> Sound:
        start = self.frame(audio.start or Fraction(0))
        fades = audio.fade_in or Fraction(0), audio.fade_out or Fraction(0)
        return Sound(FilePath(audio.file), audio.gain, start, *fades, loop=loop)


def taken(transition: Transition) -> tuple[int, int]:
    """Frames that a transition takes from the end of what is before, and from the beginning of its shot."""
    if transition.kind == "crossfade":
        return transition.frames, transition.frames
    return transition.frames // 2, transition.frames - transition.frames // 2


def check_joins(findings: Findings, shots: Mapping[int, TimedShot]) -> None:
    """Transitions and titles must fit into the shots that they join. A shot of unknown length has room for all."""
    for index, shot in shots.items():
        before, after = shots.get(index - 1), shots.get(index + 1)
        _check_way_in(findings, index, shot)
        _check_way_out(findings, index, shot, before)
        if after is not None:
            _check_both_ends(findings, index + 1, shot, after)
        if shot.frames and shot.title and shot.title.over == "shot" and shot.title.frames > shot.frames:
            what = f"a title of {shot.title.frames} frames is longer than its shot"
            findings.add(("shots", index, "title"), what, allowed=f"at most {shot.frames} frames, or `over: card`")


def _check_way_in(findings: Findings, index: int, shot: TimedShot) -> None:
    into = taken(shot.transition)[1]
    if shot.frames and into > shot.frames:
        kind, frames = shot.transition.kind, shot.transition.frames
        what = f"a {kind} of {frames} frames is longer than the shot that it leads into"
        most = shot.frames if kind == "crossfade" else 2 * shot.frames
        findings.add(("shots", index, "transition"), what, allowed=f"at most {most} frames")


def _check_way_out(findings: Findings, index: int, shot: TimedShot, before: TimedShot | None) -> None:
    at: Path = ("shots", index, "transition")
    kind, frames, out = shot.transition.kind, shot.transition.frames, taken(shot.transition)[0]
    if index == 0 and not shot.card:
        if kind == "crossfade":
            findings.add(
                at, "the first shot has nothing before it to crossfade from", allowed="cut, fade, or a title card"
            )
        return
    length = shot.card or (before.frames if before else 0)
    if length and out > length:
        name = "its title card" if shot.card else f"shot {before.id!r}" if before else ""
        what = f"a {kind} of {frames} frames is longer than what it leaves, {name}"
        most = length if kind == "crossfade" else 2 * length + 1
        findings.add(at, what, allowed=f"at most {most} frames")


def _check_both_ends(findings: Findings, index: int, shot: TimedShot, after: TimedShot) -> None:
    """The ways into and out of a shot may not share frames. index: of the shot after."""
    into = taken(shot.transition)[1]
    out = 0 if after.card else taken(after.transition)[0]
    if into <= shot.frames and out <= shot.frames < into + out:
        what = f"the transitions into and out of shot {shot.id!r} share frames ({into} + {out} of {shot.frames})"
        findings.add(("shots", index, "transition"), what, allowed=f"together at most {shot.frames} frames")
