"""Which of the network's branches a step needs: the one rule that guidance follows and the bill is made from. No torch.

A branch is a forward pass: `cond` with the prompt, `uncond` with the negative prompt, `skip` with the prompt and
some layers skipped (STG). What a step does not use is not evaluated.
"""

from __future__ import annotations

from typing import Literal

from .errors import SpecError
from .spec import Cfg, CfgPlusPlus, Recipe, within

Branch = Literal["cond", "uncond", "skip"]


def branches(recipe: Recipe, step: int, steps: int, distilled: bool = False) -> tuple[Branch, ...]:
    """The branches that guidance asks for at `step` (from 0) of `steps`, in the order in which they are asked.

    distilled: the network was trained to take the guidance scale as an input (HunyuanVideo), so there is no
    unconditional pass.

    Raises:
        SpecError: CFG++ for a distilled network, which has no unconditional noise to go back to.
    """
    asked: list[Branch] = ["cond"]
    if _guided(recipe, step, steps, distilled):
        asked.append("uncond")
    if skips(recipe, step, steps):
        asked.append("skip")
    return tuple(asked)


def _guided(recipe: Recipe, step: int, steps: int, distilled: bool) -> bool:
    guidance = recipe.guidance
    if distilled:
        if isinstance(guidance, CfgPlusPlus):
            raise SpecError(
                "guidance cfg_plus_plus renoises with the unconditional noise, and a guidance-distilled model has no"
                " unconditional pass; use cfg, whose scale such a model takes as an input"
            )
        return False
    neutral = isinstance(guidance, Cfg) and guidance.scale == 1.0
    return not neutral and within(step, steps, guidance.start, guidance.stop)


def skips(recipe: Recipe, step: int, steps: int) -> bool:
    """Does STG act at this step?"""
    stg = recipe.stg
    return stg is not None and stg.scale != 0.0 and within(step, steps, stg.start, stg.stop)


def passes(recipe: Recipe, steps: int, distilled: bool = False, made: int | None = None) -> int:
    """Network evaluations that guidance costs one clip: its branches at every step. Methods' own come on top.

    made: so many of the steps are made, from the first; None: all.
    """
    return sum(len(branches(recipe, step, steps, distilled)) for step in range(steps if made is None else made))


def breaks(recipe: Recipe, steps: int, guided: int = 0, distilled: bool = False) -> frozenset[int]:
    """Steps at which the last step's x0 says nothing about this one's, since it was made in another way.

    A multistep solver must begin anew there: where a window opens or closes, and at the first `guided` steps and the
    one after them, whose x0 VideoGuide draws towards a teacher's with fresh noise.
    """
    asked = [branches(recipe, step, steps, distilled) for step in range(steps)]
    changed = {step for step in range(1, steps) if asked[step] != asked[step - 1]}
    return frozenset(changed | set(range(1, min(guided + 1, steps))))
