"""Commands about models and methods: what there is, and what a method does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, print_json


def models(
    model: Annotated[
        str | None, typer.Argument(help="A model to tell everything about: a name, folder or cached hub id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The families that longtake drives, the models that are here, and what each of them can do."""
    from rich.console import Console

    from shots.models import describe

    from .catalogue import about, families, here, show_here, show_one

    if model is not None:
        told = about(describe(model))
        if as_json:
            print_json({"schema": "longtake.model.v1", **told})
        else:
            Console().print(show_one(told))
        return
    found = here()
    if as_json:
        print_json({"schema": "longtake.models.v1", "families": families(), "models": found})
        return
    for table in show_here(found):
        Console().print(table)


def ablate(
    storyboard: Annotated[Path, typer.Argument(help="A storyboard file.")],
    shot: Annotated[str | None, typer.Option("--shot", help="Which shot. Default: the first.")] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            help="One setting over some values, as a storyboard has them: stg.scale=0,1,2 or chain.kind=none,vidrd.",
            metavar="SETTING=VALUES",
        ),
    ] = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips of the shot at most.")] = 3,
    out: Annotated[Path, typer.Option("--out", help="Folder for the sheet and the video.")] = Path("ablation"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Render one shot with each method on and off, or over one setting, onto a comparison sheet and a video."""
    from .ablation import about, each_method, render, shot_of
    from .ablation_sheet import sheet, side_by_side
    from .errors import UsageError
    from .lettering import film_font
    from .plan import plan
    from .storyboard import load
    from .sweep import swept

    (board,) = load([str(storyboard)])
    planned = plan(board)
    chosen = shot_of(planned.shots, shot)
    settled = next(one for one in board.shots if one.timed.id == chosen.id)
    if sweep is None:
        variants = each_method(settled, clips)
    else:
        setting, equals, values = sweep.partition("=")
        if not equals or not values:
            raise UsageError(f"--sweep {sweep!r}: give SETTING=VALUE,VALUE such as stg.scale=0,1,2")
        variants = swept(settled, setting, values.split(","), clips, board.base)
    shown = []
    for one in render(chosen, variants, clips, device):
        shown.append(one)
        typer.echo(f"{one.variant.name}: {one.nfe} NFE, {one.seconds:.1f} s", err=True)
    left_out = [f"{v.name}: not rendered; {v.why_not}" for v in variants if v.why_not]
    if not shown:
        raise UsageError("; ".join(left_out))
    out.mkdir(parents=True, exist_ok=True)
    name = f"{planned.film}-{chosen.id}" + (f"-{sweep.partition('=')[0]}" if sweep else "")
    picture, video = out / f"{name}.png", out / f"{name}.mp4"
    sheet(
        f"{planned.title}: {chosen.id}. {chosen.prompt}",
        about(chosen, clips),
        shown,
        left_out,
        picture,
        film_font(planned),
    )
    side_by_side(shown, video, planned.fps)
    if as_json:
        rows = [{"name": s.variant.name, "nfe": s.nfe, "seconds": round(s.seconds, 3), **s.measures} for s in shown]
        print_json({"schema": "longtake.ablation.v1", "sheet": str(picture), "video": str(video), "variants": rows})
    else:
        typer.echo(f"{picture}\n{video}")


COMMANDS: tuple[Callable[..., None], ...] = (models, ablate)
