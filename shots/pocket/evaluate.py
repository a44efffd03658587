"""How well does a pocket model do what the prompt says? Sample it through the stock pipeline, read the pixels, count.

    python -m shots.pocket.evaluate --model DIR --n 100 --steps 25 --cfg 3
    python -m shots.pocket.evaluate --model DIR --n 40 --cfg 1.5 3 5 --json scales.json --sheet sheet.png

Half of the prompts name attribute combinations that training never showed, half of them use other wordings than the
plain caption, and the seeds are new. Every number comes with its n and standard error; true scenes and their VAE
reconstructions are measured beside it. `--card` writes the JSON into the model's folder and the model card from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .looks import FRAMES, MOTION_NAMES
from .measures import Estimate, Stability, estimate, stability
from .networks import WEIGHTS, digest, load_weights
from .reader import Frames, Subject, read, summarise
from .scenes import Scenes, caption, draw, frames_uint8, held_out, prompt_of, sheet
from .stock import frames_of, load, reconstruct, sample

ATTRIBUTES = ("colour", "kind", "motion", "background")


@dataclass(frozen=True)
class Prompt:
    """A prompt, what it asks for, whether training never saw the combination, whether the wording is the plain one."""

    text: str
    truth: Subject
    held_out: bool
    plain: bool


def prompts(n: int, seed: int) -> list[Prompt]:
    """N prompts in rounds of 20: each motion four times, held out or not, in plain or in other words."""
    rng = np.random.default_rng([seed, 77])
    chosen: list[Prompt] = []
    while len(chosen) < n:
        scenes = draw(1, rng)
        truth = Subject(*(int(getattr(scenes, name)[0]) for name in ATTRIBUTES))
        hidden = bool(held_out(scenes.colour, scenes.kind, scenes.motion, scenes.background)[0])
        index = len(chosen)
        plain = index % 4 < 2
        if hidden == (index % 2 == 0) and truth.motion == index // 4 % len(MOTION_NAMES):
            text = prompt_of(*asdict(truth).values()) if plain else caption(scenes, 0, rng, drop=0.0)
            chosen.append(Prompt(text, truth, hidden, plain))
    return chosen


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive parts of at most `size`."""
    yield from (items[first : first + size] for first in range(0, len(items), size))


@dataclass(frozen=True)
class Score:
    """One clip's marks: which attributes are as asked, and how steady it is."""

    right: dict[str, bool]
    steady: Stability
    held_out: bool = False
    plain: bool = True


def score(clip: Frames, truth: Subject, hidden: bool = False, plain: bool = True) -> Score:
    """Compare what a clip shows with what was asked. A single picture shows no motion, so none is asked of it."""
    reading = read(clip)
    seen = summarise(reading)
    asked = [name for name in ATTRIBUTES if len(clip) > 1 or name != "motion"]
    right = {name: getattr(seen, name) == getattr(truth, name) for name in asked}
    return Score({**right, "all parts": all(right.values())}, stability(clip, reading), hidden, plain)


def table_of(scores: Sequence[Score]) -> dict[str, Estimate]:
    """The marks and the stability of some clips, each with n and standard error."""
    names = (*scores[0].right,)
    table = {name: estimate(float(one.right[name]) for one in scores) for name in names}
    return table | {name: estimate(getattr(one.steady, name) for one in scores) for name in Stability.__annotations__}


def evaluate(
    pipe: Any, n: int, steps: int, cfg: float, seed: int, batch: int, frames: int = FRAMES
) -> tuple[dict[str, Any], Frames]:
    """Sample and score n prompts; returns the run as plain data, and its clips."""
    asked = prompts(n, seed)
    began, clips = time.monotonic(), []
    for part in batches(range(n), batch):
        clips.append(sample(pipe, [asked[i].text for i in part], [10_000 * seed + i for i in part], steps, cfg, frames))
    seconds = time.monotonic() - began
    made = np.concatenate(clips)
    scores = [score(clip, one.truth, one.held_out, one.plain) for clip, one in zip(made, asked, strict=True)]
    groups = {
        "all": scores,
        "seen combinations": [one for one in scores if not one.held_out],
        "held-out combinations": [one for one in scores if one.held_out],
        "plain wording": [one for one in scores if one.plain],
        "other wordings": [one for one in scores if not one.plain],
    }
    by_group = {name: _plain(table_of(group)) for name, group in groups.items() if group}
    by_value = {name: _by_value(asked, scores, name) for name in ATTRIBUTES if name in scores[0].right}
    run = {"n": n, "steps": steps, "cfg": cfg, "seed": seed, "seconds_per_clip": round(seconds / n, 3)}
    return {**run, "threads": torch.get_num_threads(), "groups": by_group, "by_value": by_value}, made


def _plain(table: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: {"mean": round(e.mean, 5), "error": round(e.error, 5), "n": e.n} for name, e in table.items() if e.n}


def _by_value(asked: Sequence[Prompt], scores: Sequence[Score], name: str) -> dict[str, Any]:
    """An attribute's marks apart for each value that was asked: which colour, kind, motion or background fails."""
    values: dict[str, list[float]] = {}
    for one, mark in zip(asked, scores, strict=True):
        values.setdefault(one.truth.names()[name], []).append(float(mark.right[name]))
    return _plain({value: estimate(marks) for value, marks in sorted(values.items())})


def truth_of(scenes: Scenes) -> list[Subject]:
    """The attributes of each scene."""
    return [Subject(*(int(getattr(scenes, name)[i]) for name in ATTRIBUTES)) for i in range(len(scenes))]


def reference(vae: Any, n: int, seed: int, frames: int = FRAMES) -> dict[str, Any]:
    """The same table for true scenes and for their VAE reconstructions: the reader's own errors, and the VAE's."""
    scenes = draw(n, np.random.default_rng([seed, 78]))
    clips = frames_uint8(scenes, frames)
    rebuilt = reconstruct(vae, clips)
    noise = np.mean((clips.astype(np.float32) - rebuilt.astype(np.float32)) ** 2)
    rows = {"true scenes": clips, "VAE reconstructions": rebuilt}
    tables = {
        name: [score(clip, t) for clip, t in zip(made, truth_of(scenes), strict=True)] for name, made in rows.items()
    }
    return {
        "psnr_db": round(float(10 * np.log10(255**2 / noise)), 2),
        **{k: _plain(table_of(v)) for k, v in tables.items()},
    }


def row(label: str, table: dict[str, dict[str, float]], columns: Sequence[str]) -> str:
    """One line of a markdown table, mean+-error."""
    cells = [f"{table[c]['mean']:.3g}+-{table[c]['error']:.1g}" for c in columns]
    return f"| {label} | {next(iter(table.values()))['n']} | " + " | ".join(cells) + " |"


def markdown(report: dict[str, Any]) -> str:
    """Prompt-following and stability of every run, with the reference rows above."""
    first = next(iter(report["runs"][0]["groups"].values()))
    columns = list(first)
    lines = ["| what | n | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 2)]
    lines += [row(name, table, columns) for name, table in report["reference"].items() if name != "psnr_db"]
    for run in report["runs"]:
        many = len(report["runs"]) > 1
        groups = run["groups"] if not many else {"all": run["groups"]["all"]}
        label = f"{run['steps']} steps, CFG {run['cfg']:g}"
        lines += [row(f"{label}, {name}", table, columns) for name, table in groups.items()]
    return "\n".join(lines)


def curve(pipe: Any, folder: Path, n: int, steps: int, cfg: float, seed: int, batch: int, frames: int) -> list[str]:
    """A line a snapshot of a training stage's folder (`at-<step>.safetensors`): how good the model was by then."""
    network = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    lines = []
    for path in sorted(folder.glob("at-*.safetensors"), key=lambda path: int(path.stem[3:])):
        load_weights(network, path)
        table = evaluate(pipe, n, steps, cfg, seed, batch, frames)[0]["groups"]["all"]
        lines.append(row(f"step {path.stem[3:]}", table, list(table)))
    return lines


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, evaluate, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m shots.pocket.evaluate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="diffusers folder (default: the shipped weights)")
    parser.add_argument("--n", type=int, default=300, help="prompts (default 300)")
    parser.add_argument("--steps", type=int, nargs="+", default=[25], help="sampler steps, one or more (default 25)")
    parser.add_argument("--cfg", type=float, nargs="+", default=[3.0], help="guidance scales, one or more (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=20, help="clips sampled at once (default 20)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--sheet", type=Path, help="write a PNG of the last run's first 20 clips here")
    parser.add_argument(
        "--snapshots", type=Path, help="only the curve of a training stage: its folder, such as checkpoints/together"
    )
    parser.add_argument("--card", action="store_true", help="keep the report in the model's folder and write its card")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    pipe = load(options.model)
    frames = frames_of(options.model)
    if options.snapshots:
        how = (options.n, options.steps[0], options.cfg[0], options.seed, options.batch)
        print("\n".join(curve(pipe, options.snapshots, *how, frames)))
        return
    report: dict[str, Any] = {"format": 1, "weights": digest(options.model), "frames": frames, "runs": []}
    report["reference"] = reference(pipe.vae, options.n, options.seed, frames)
    for steps in options.steps:
        for cfg in options.cfg:
            run, clips = evaluate(pipe, options.n, steps, cfg, options.seed, options.batch, frames)
            report["runs"].append(run)
    print(markdown(report))
    if options.sheet:
        from PIL import Image

        texts = [one.text for one in prompts(options.n, options.seed)][:20]
        Image.fromarray(sheet(list(clips[:20]), texts)).save(options.sheet)
    text = json.dumps(report, indent=1) + "\n"
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    if options.card:
        from .card import write_card

        (options.model / "evaluation.json").write_text(text, encoding="utf-8")
        write_card(options.model)


if __name__ == "__main__":
    main()
