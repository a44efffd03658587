"""Hours of cameras that a film may cost: what is spent, and the words when all is."""

from __future__ import annotations

import time

from .planned import Plan
from .underway import FilmUnderWay


def exhausted(film: FilmUnderWay) -> str:
    """Why a film gets no more cameras: '' while it may, or when it needs none."""
    limit = film.plan.terms.gpu_hours
    if limit is None or not film.missing - film.left:
        return ""
    spent = film.camera_seconds(time.monotonic()) / 3600
    return f"gpu_hours: {limit:g} are allowed for the film and {spent:.3g} are spent" if spent >= limit else ""


def left_to_do(film: FilmUnderWay) -> str:
    """What is still to be rendered, for the message of a film whose hours are spent."""
    clips = {clip.key: clip.nfe for clip in film.plan.everything if clip.key in film.missing}
    nfe = sum(clips.values())
    more = _more(film.plan, film, nfe)
    spent = max(film.plan.terms.gpu_hours or 0.0, film.spent / 3600)
    guess = f", about {more:.2g} hours at its pace so far" if more else ""
    return (
        f"{len(clips)} clips are left ({nfe} NFE{guess}). What is finished is kept; to go on, raise gpu_hours "
        f"in the storyboard or say --gpu-hours {spent + max(more, 0.1 * spent):.2g}"
    )


def _more(plan: Plan, film: FilmUnderWay, nfe: int) -> float:
    """Hours that so many NFE take, by what all productions of the film have spent on what is there; 0: unknown."""
    done = sum({clip.key: clip.nfe for clip in plan.everything if clip.key not in film.missing}.values())
    return film.spent / 3600 * nfe / done if done else 0.0
