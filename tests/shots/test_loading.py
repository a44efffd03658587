"""LoRAs, variants and quantization: what is asked for is what is loaded, it is in the key, and nonsense is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from diffusers import AnimateDiffPipeline

from shots import made_up
from shots.backbones.families import ALL
from shots.errors import ModelError, ModelIncomplete, ModelNotFound, ModelRefuses
from shots.loading import Loading
from shots.models import describe
from shots.quantize import KINDS, installed
from shots.settings import LoraRef, Quantized
from shots.shoot import Model, load, shoot
from shots.spec import Cfg, ClipSpec, Iid, NoChain, Recipe, Sampler
from tests.shots.families import test_parity as parity

Chain = Callable[..., list[ClipSpec]]


def save_lora(pipe: object, network: str, folder: Path, seed: int = 1) -> Path:
    """A LoRA with made-up weights on the attention of a pipeline's network, as diffusers saves it."""
    part = getattr(pipe, network)
    torch.manual_seed(seed)
    part.add_adapter(
        peft.LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, target_modules=["to_q", "to_v"]), f"made-{seed}"
    )
    layers = peft.get_peft_model_state_dict(part, adapter_name=f"made-{seed}")
    kind = "unet" if network == "unet" else "transformer"
    type(pipe).save_lora_weights(folder, **{f"{kind}_lora_layers": layers})  # type: ignore[attr-defined]
    part.delete_adapters(f"made-{seed}")
    return folder


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two LoRAs for the tiny AnimateDiff."""
    root, pipe = tmp_path_factory.mktemp("loras"), made_up.build("animatediff")
    return save_lora(pipe, "unet", root / "ink", 1), save_lora(pipe, "unet", root / "oil", 2)


def made(folder: Path, chain: Chain, *loras: LoraRef, steps: int = 2) -> tuple[ClipSpec, np.ndarray, torch.Tensor]:
    model = load(describe(str(folder), loading=Loading(loras=loras)), device="cpu", threads=1)
    try:
        (spec,) = chain(model, 1, steps=steps)
        (footage,) = shoot([spec], model)
    finally:
        model.close()
    return spec, footage.frames, footage.latents


def test_a_lora_is_that_of_the_stock_pipeline(tmp_path: Path, loras: tuple[Path, Path], tiny_folder: Path) -> None:
    """The same pipeline with the same LoRAs put in by diffusers' own hand gives the same network, to the bit."""
    stock = AnimateDiffPipeline.from_pretrained(tiny_folder)
    for name, folder in zip(("ink", "oil"), loras, strict=True):
        stock.load_lora_weights(folder, adapter_name=name)
    stock.set_adapters(["ink", "oil"], [0.8, -0.5])
    asked = Loading(loras=(LoraRef(str(loras[0]), 0.8), LoraRef(str(loras[1]), -0.5)))
    model = load(describe(str(tiny_folder), loading=asked), device="cpu", threads=1)
    call = model.map(model.backbone.capture, ["a red boat"], [16], [16], [4], [2])[0]
    x = torch.randn(1, *call.shape, generator=torch.Generator().manual_seed(0))

    def theirs(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = stock.unet(sample=x, timestep=call.levels[1].t, **call.kwargs).sample
        return found

    (ours,) = model.map(model.backbone.evaluate, [x], [call.levels[1]], [[call]])
    (expected,) = model.map(theirs, [x])
    assert torch.equal(ours, expected)
    model.close()


def test_weights_decide_pixels_and_weight_zero_is_no_lora(
    loras: tuple[Path, Path], tiny_folder: Path, chain: Chain
) -> None:
    ink = str(loras[0])
    plain, one, half, none = (
        made(tiny_folder, chain, *given) for given in ((), (LoraRef(ink),), (LoraRef(ink, 0.5),), (LoraRef(ink, 0.0),))
    )
    assert none[0].key == plain[0].key
    assert none[0].model == plain[0].model
    assert torch.equal(none[2], plain[2])
    assert np.array_equal(none[1], plain[1])
    assert len({spec.key for spec, _, _ in (plain, one, half)}) == 3
    assert not torch.equal(one[2], plain[2])
    assert not torch.equal(one[2], half[2])


def test_a_lora_s_bytes_are_its_name(loras: tuple[Path, Path], tiny_folder: Path, tmp_path: Path, chain: Chain) -> None:
    ref = describe(str(tiny_folder), loading=Loading(loras=(LoraRef(str(loras[0])),))).ref()
    moved = tmp_path / "elsewhere.safetensors"
    shutil.copy(loras[0] / "pytorch_lora_weights.safetensors", moved)
    card = describe("tiny", tiny_folder.parent, loading=Loading(loras=(LoraRef(str(moved)),)))
    key = lambda ref: ClipSpec(ref, 16, 16, 4, "a", "", 1, 0, Sampler(), Recipe(chain=NoChain())).key  # noqa: E731
    assert key(card.ref()) == key(ref)
    # A spec as a record keeps it finds the same LoRA again, and no other one in its place.
    spec = ClipSpec(card.ref(), 16, 16, 4, "a", "", 1, 0, Sampler(), Recipe(chain=NoChain()))
    assert ClipSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    model = load(spec.model, device="cpu", threads=1)
    assert model.card.ref() == spec.model
    model.close()
    shutil.copy(loras[1] / "pytorch_lora_weights.safetensors", moved)
    with pytest.raises(ModelRefuses, match="but the plan was made for"):
        load(spec.model, device="cpu", threads=1)


def test_a_model_with_other_loras_is_not_the_one_that_a_clip_names(
    loras: tuple[Path, Path], tiny_folder: Path, tiny: Model, chain: Chain
) -> None:
    from dataclasses import replace

    from shots.errors import SpecError

    other = describe(str(tiny_folder), loading=Loading(loras=(LoraRef(str(loras[0])),))).ref()
    (spec,) = chain(tiny, 1)
    with pytest.raises(SpecError, match="other LoRAs"):
        shoot([replace(spec, model=other)], tiny)


def test_two_networks_take_a_lora_each(tmp_path: Path) -> None:
    """Wan 2.2: published LoRAs come in pairs."""
    pipe, case = made_up.build("wan22"), parity.CASES["wan22"]
    pipe.save_pretrained(tmp_path / "wan22")
    high, low = (str(save_lora(pipe, "transformer", tmp_path / name, n)) for n, name in enumerate(("high", "low")))
    asked = Loading(loras=(LoraRef(high, 0.7), LoraRef(low, 0.9, part="transformer_2")))
    model = load(describe(str(tmp_path / "wan22"), loading=asked), device="cpu", threads=1)
    scales = []
    for name in ("transformer", "transformer_2"):
        layer = model.backbone.networks[name].blocks[0].attn1.to_q
        scales.append({adapter: layer.scaling[adapter] for adapter in layer.active_adapters if adapter in layer.lora_A})
    assert scales == [{"longtake_0": 0.7}, {"longtake_1": 0.9}]
    recipe = Recipe(Cfg(3.0), Iid(), NoChain())
    spec = ClipSpec(
        model.card.ref(), case["width"], case["height"], case["frames"], "a", "", 1, 0, Sampler(steps=2), recipe
    )
    (footage,) = shoot([spec], model)
    assert torch.isfinite(footage.latents).all()
    model.close()


def test_loras_that_cannot_be(loras: tuple[Path, Path], tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_lora_weights.bin").write_bytes(b"x")
    (tmp_path / "lora.pt").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        shutil.copy(loras[0] / "pytorch_lora_weights.safetensors", tmp_path / "two" / f"{name}.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((loras[0] / "pytorch_lora_weights.safetensors").read_bytes()[:-9])
    wrong: list[tuple[LoraRef, type[ModelError], str]] = [
        (LoraRef("ink"), ModelNotFound, "no LoRA 'ink' here: no such file or folder"),
        (LoraRef("loras/ink.safetensors"), ModelNotFound, "no such file or folder"),
        (LoraRef("org/ink"), ModelNotFound, "hf download org/ink"),
        (LoraRef("pickled"), ModelRefuses, "are pickles"),
        (LoraRef("lora.pt"), ModelRefuses, "are pickles"),
        (LoraRef("empty"), ModelIncomplete, r"no \.safetensors file in"),
        (LoraRef("two"), ModelRefuses, r"choose one with `file`: a\.safetensors, b\.safetensors"),
        (LoraRef("two", file="c.safetensors"), ModelNotFound, r"no file 'c\.safetensors'.*it holds a\.safetensors"),
        (LoraRef("two", file="../cut.safetensors"), ModelNotFound, "no file"),
        (LoraRef("cut.safetensors"), ModelIncomplete, "not a whole safetensors file"),
        (LoraRef(str(tiny_folder / "unet"), file="diffusion_pytorch_model.safetensors"), ModelRefuses, "holds no LoRA"),
        (LoraRef("two", file="a.safetensors", part="vae"), ModelRefuses, "no network 'vae'; it has unet"),
    ]
    for lora, error, message in wrong:
        with pytest.raises(error, match=message) as caught:
            describe(str(tiny_folder), base=tmp_path, loading=Loading(loras=(lora,)))
        assert caught.value.at[:2] == ("lora", 0)
    found = describe(str(tiny_folder), tmp_path, loading=Loading(loras=(LoraRef("two", file="a.safetensors"),)))
    assert [path.name for path in found.lora_files] == ["a.safetensors"]


def test_a_lora_of_another_model_is_refused_when_it_is_loaded(loras: tuple[Path, Path], tmp_path: Path) -> None:
    made_up.save("ltx", tmp_path / "ltx")
    asked = describe(str(tmp_path / "ltx"), loading=Loading(loras=(LoraRef(str(loras[0])),)))
    with pytest.raises(ModelRefuses, match="not one of LTXPipeline"):
        load(asked, device="cpu", threads=1)


def test_families_say_whether_diffusers_can_put_loras_into_them(tmp_path: Path, loras: tuple[Path, Path]) -> None:
    import diffusers

    for family in ALL:
        can = hasattr(getattr(diffusers, family.pipeline), "load_lora_weights")
        # UNet3D has no place for adapters, though its pipeline has the method.
        assert family.loras == (can and family.name != "text_to_video_sd"), family.name
    made_up.save("latte", tmp_path / "latte")
    with pytest.raises(ModelRefuses, match="LattePipeline takes no LoRA"):
        describe(str(tmp_path / "latte"), loading=Loading(loras=(LoraRef(str(loras[0])),)))


def test_a_variant_is_other_files(tiny_folder: Path, tmp_path: Path, chain: Chain) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "both"))
    half = AnimateDiffPipeline.from_pretrained(tiny_folder, dtype=torch.float16)
    for part in ("unet", "vae", "motion_adapter"):
        if part != "unet":
            getattr(half, part).save_pretrained(folder / part, variant="fp16")
    plain, varied = describe(str(folder)), describe(str(folder), loading=Loading(variant="fp16"))
    assert plain.digest != varied.digest
    model = load(varied.ref(), device="cpu", threads=1)
    weights, expected = model.pipe.vae.decoder.conv_in.weight, half.vae.decoder.conv_in.weight.float()
    assert torch.equal(weights, expected)  # and parts without that variant are as they are
    model.close()
    with pytest.raises(ModelRefuses, match="has no variant 'fp8'; it has 'fp16'") as caught:
        describe(str(folder), loading=Loading(variant="fp8"))
    assert caught.value.at == ("variant",)


def test_quantization_is_refused_where_it_cannot_be(tiny_folder: Path, tmp_path: Path) -> None:
    wrong = [(Quantized("int3", ()), "'int3' is not known; use one of bitsandbytes-int8")]
    missing = [name for name, kind in KINDS.items() if not installed(kind.package)]
    wrong += [(Quantized(name, ()), "is not installed here; pip install") for name in missing]
    for quantized, message in wrong:
        with pytest.raises(ModelRefuses, match=message) as caught:
            describe(str(tiny_folder), loading=Loading(quantized=quantized))
        assert caught.value.at == ("quantization",)
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "stored"))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "nowhere"}}))
    with pytest.raises(ModelRefuses, match="part unet, which is saved quantized by nowhere"):
        describe(str(folder))


@pytest.mark.parametrize("name", KINDS)
def test_quantized_weights_make_other_pixels_under_another_key(name: str, tiny_folder: Path, chain: Chain) -> None:
    """Where a backend is installed; longtake itself needs none of them."""
    if not installed(KINDS[name].package) or (KINDS[name].needs_gpu and not torch.cuda.is_available()):
        pytest.skip(f"{KINDS[name].package} cannot compute here")
    plain = describe(str(tiny_folder))
    card = describe(str(tiny_folder), loading=Loading(quantized=Quantized(name, ())))
    assert card.loading.quantized == Quantized(name, ("unet",))
    with pytest.raises(ModelRefuses, match="of animatediff is text_encoder, unet"):
        describe(str(tiny_folder), loading=Loading(quantized=Quantized(name, ("vae",))))
    model = load(card, device="cpu", threads=1)
    (spec,) = chain(model, 1, steps=2)
    (footage,) = shoot([spec], model)
    assert torch.isfinite(footage.latents).all()
    assert spec.model.digest == plain.digest
    model.close()
    keyed = {
        ref: ClipSpec(ref, 16, 16, 4, "a", "", 1, 0, Sampler(), Recipe(chain=NoChain())).key
        for ref in (plain.ref(), card.ref())
    }
    assert len(set(keyed.values())) == 2
