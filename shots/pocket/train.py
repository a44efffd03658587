"""Train the pocket models from nothing. Every stage is checkpointed and can be resumed at any point.

    python -m shots.pocket.train --out DIR                        # every stage in order, then export
    python -m shots.pocket.train --out DIR --stage video --minutes 60
    python -m shots.pocket.train --out DIR --adopt shots/pocket/weights/pocket --stage bank --stage together

A stage whose budget is spent is skipped; one that was interrupted goes on where its last checkpoint was. The image
stage sees single frames with a phase word (start, middle, end) in the caption, so that direction x phase -> position is
learnt from pictures; in the video stage the motion modules take over what the phase words said, and these fade out.
Stage `together` makes one set of weights the image model and the video model; `teacher` deepens the motion modules.
The stages that begin with `dit_` are those of the flow-matching transformer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from . import dit_train, folders, networks
from .plan import MINUTES, Plan
from .train_together import averaged, train_teacher, train_together
from .train_unet import train_image, train_video
from .train_vae import load_vae, make_bank, train_vae


def adopt(plan: Plan, weights: Path) -> None:
    """Let exported weights stand for the stages `vae` and `video`, so that later stages can go on from them."""
    if (plan.out / "bank" / "vae.safetensors").exists():
        return
    vae = AutoencoderKL.from_pretrained(weights, subfolder="vae", dtype=torch.float32)
    unet = networks.read_motion_unet(weights)
    networks.save_weights(plan.out / "video" / "average.safetensors", unet.state_dict())
    networks.save_weights(plan.out / "bank" / "vae.safetensors", vae.state_dict())
    (plan.out / "adopted.json").write_text((weights / "training.json").read_text(encoding="utf-8"), encoding="utf-8")


def _history(plan: Plan, *stages: str) -> dict[str, Any]:
    """What the stages behind a model cost and how their losses went; those of adopted weights come first."""
    adopted = plan.out / "adopted.json"
    found = json.loads(adopted.read_text(encoding="utf-8"))["stages"] if adopted.exists() else {}
    batch = {"vae": plan.vae_batch, "image": plan.image_batch}
    for name in stages:
        state = plan.out / name / "state.json"
        if state.exists():
            told = json.loads(state.read_text(encoding="utf-8"))
            size = batch.get(name, plan.clip_batch)
            kept = {key: told[key] for key in ("step", "seconds", "spent", "history")}
            found[name] = {**kept, "batch": size, "samples": size * told["step"]}
    return found


def _record(plan: Plan, folder: Path, *stages: str) -> None:
    sizes = folders.sizes(folder)
    record = {"stages": _history(plan, *stages), "bank_clips": plan.bank_clips, "bytes": sizes}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"export {folder}: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


def export(plan: Plan) -> None:
    """Write the folders `pocket`, `pocket-image` and `pocket-teacher` from the averaged weights."""
    home, vae, unet = plan.weights, load_vae(plan), averaged(plan.out / "together")
    pocket, image, teacher = home / "pocket", home / "pocket-image", home / "pocket-teacher"
    stages = ("vae", "image", "video", "together")
    folders.export(pocket, vae, unet)
    _record(plan, pocket, *stages)
    folders.export_image(image, vae, unet)
    folders.share(image, pocket)
    _record(plan, image, *stages)
    if (plan.out / "teacher" / "average.safetensors").exists():
        deep = averaged(plan.out / "teacher", networks.TEACHER_DEPTH)
        folders.export(teacher, vae, deep, networks.TEACHER_DEPTH)
        folders.share(teacher, pocket)
        _record(plan, teacher, *stages, "teacher")


PROGRAMS = {
    "vae": train_vae,
    "bank": make_bank,
    "image": train_image,
    "video": train_video,
    "together": train_together,
    "teacher": train_teacher,
    "export": export,
    **dit_train.STAGES,
}
"""Stage -> what it runs, in order."""


def main(argv: list[str] | None = None) -> None:
    """Parse the command line and run the stages."""
    parser = argparse.ArgumentParser(prog="python -m shots.pocket.train", description="Train the pocket models.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the bank of latents")
    parser.add_argument("--weights", type=Path, default=networks.ALL_WEIGHTS, help="folder to export the models to")
    parser.add_argument("--stage", choices=PROGRAMS, action="append", help="only this stage (repeatable)")
    parser.add_argument(
        "--adopt", type=Path, metavar="WEIGHTS", help="go on from an exported folder's VAE and motion UNet"
    )
    parser.add_argument(
        "--minutes", type=float, help=f"minutes for each trained stage (default {MINUTES | dit_train.MINUTES})"
    )
    parser.add_argument("--steps", type=int, help="at most so many steps a stage")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    plan = Plan(options.out, options.weights, options.minutes, options.steps, seed=options.seed)
    if options.adopt:
        adopt(plan, options.adopt)
    for stage in options.stage or PROGRAMS:
        PROGRAMS[stage](plan)


if __name__ == "__main__":
    main()
