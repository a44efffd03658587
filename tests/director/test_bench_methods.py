"""`longtake bench methods`: every family is measured, against what its own pipeline really does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from director.bench import methods, run
from director.bench.subjects import SMALL, Subject
from director.errors import UsageError
from shots import made_up
from shots.backbones.families import ALL
from shots.made_up.full import FULL
from shots.memory import RUNGS
from shots.models import describe
from shots.price import bill
from shots.shoot import Model, load
from tests.commandline import Longtake

STEPS = 4


@pytest.fixture
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A tiny model of the kind that is named."""
    card = describe(str(made_up.save(request.param, tmp_path / "model")))
    size = (card.size_multiple * 2, card.size_multiple * 2, card.snap_frames(9))
    model = load(card, device="cpu", threads=1)
    made_up.lighten(model.pipe)
    found = Subject(request.param, model, size, STEPS, prompt="a red boat")
    yield found
    found.close()


def test_every_family_that_makes_video_of_words_is_measured() -> None:
    families = {f.name for f in ALL if f.makes_video and f.start_image != "must" and not f.name.endswith("_image")}
    assert families | {"wan22", "cogvideox15"} == set(SMALL)


@pytest.mark.parametrize(
    "subject", ["animatediff", "ltx", "ltx2", "wan22", "hunyuan_video", "hunyuan_video15", "latte"], indirect=True
)
def test_the_stock_rival_asks_the_network_as_often_as_cfg_does(subject: Subject) -> None:
    samples = 0

    def counted(module: torch.nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        nonlocal samples
        sample = kwargs.get("hidden_states", args[0] if args else kwargs.get("sample"))
        samples += len(sample)

    hooks = [net.register_forward_hook(counted, with_kwargs=True) for net in subject.model.backbone.networks.values()]
    try:
        subject.stock()()
    finally:
        for hook in hooks:
            hook.remove()
    (spec,) = subject.clips(subject.recipes()["CFG"])
    assert samples == sum(bill(spec, subject.card.traits.distilled).values())


@pytest.mark.parametrize("subject", ["ltx"], indirect=True)
def test_rows_of_a_model(subject: Subject) -> None:
    rows = {row.what: row for row in methods.rows_of(subject, 1, (1, 2))}
    assert list(rows) == [
        "ltx: stock pipeline, CFG",
        "ltx: CFG",
        "ltx: CFG++",
        "ltx: PYoCo",
        "ltx: VidRD",
        "ltx: STG",
        "ltx: VideoGuide (I 3, tau 3)",
        "ltx: perturbed pass of STG, prefix reused",
        "ltx: 1 chained clips in lockstep",
        "ltx: 2 chained clips in lockstep",
    ]
    assert rows["ltx: STG"].value.startswith(f"{3 * STEPS} NFE, ")
    assert "three full passes" in rows["ltx: STG"].rival
    assert rows["ltx: perturbed pass of STG, prefix reused"].met


@pytest.mark.parametrize("subject", ["wan22"], indirect=True)
def test_an_accelerator_is_asked_what_each_rung_of_the_memory_ladder_costs(subject: Subject) -> None:
    """Without a pool of CPU threads a model goes the accelerator's way, also here."""
    there = Model(subject.card, subject.model.backbone, torch.device("cpu"), None)
    rows = [row.what for row in methods.rows_of(replace(subject, model=there), 1, ())]
    assert rows[-5:] == [f"wan22: rung {n}, {told}" for n, told in enumerate(RUNGS)]


def test_a_distilled_model_has_no_cfg_plus_plus_and_one_branch(tmp_path: Path) -> None:
    card = describe(str(made_up.save("hunyuan_video", tmp_path)))
    model = load(card, device="cpu", threads=1)
    subject = Subject("hunyuan_video", model, (32, 32, 5), STEPS)
    assert "CFG++" not in subject.recipes()
    assert bill(subject.clips(subject.recipes()["CFG"])[0], card.traits.distilled) == {"guidance": STEPS}
    model.close()


@pytest.mark.parametrize(
    ("name", "network", "parameters"),
    [
        ("LTX-Video 2B", "transformer", 1.92),
        ("Wan 2.1 1.3B", "transformer", 1.42),
        ("AnimateDiff SD 1.5", "unet", 1.31),
    ],
)
def test_full_sizes_are_the_published_ones(name: str, network: str, parameters: float) -> None:
    """In units of 10^9: as the published files hold. AnimateDiff: 0.86 of Stable Diffusion 1.5, 0.45 of motion."""
    with torch.device("meta"):
        pipe = FULL[name]()
    assert sum(p.numel() for p in pipe.components[network].parameters()) / 1e9 == pytest.approx(parameters, abs=0.01)


def test_a_model_of_ones_own(longtake: Longtake, tmp_path: Path) -> None:
    made_up.save("latte", tmp_path / "mine")
    done = longtake("bench", "methods", "--model", "mine", "--quick", "--json")
    assert '"mine: CFG"' in done.stdout
    assert "STG" in done.stdout
    missing = longtake("bench", "methods", "--model", "nothing", code=2)
    assert "no model 'nothing' here" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_only_methods_takes_a_model() -> None:
    with pytest.raises(UsageError, match="only `methods` takes a model"):
        run(["splice"], True, "pocket")
