"""describe(): what a folder can make, is it whole, what identifies it. Real folders, made wrong one way at a time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shots.backbones.families import Traits
from shots.errors import ModelError, ModelIncomplete, ModelNotFound, ModelRefuses
from shots.model_files import REMEMBER, Remembered
from shots.models import ModelCard, describe, embedded
from shots.shoot import load

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of our own; nothing of this user's caches is read or written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return Path(shutil.copytree(tiny_folder, tmp_path / "work" / "tiny"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_a_card_says(copy: Path) -> None:
    card = describe("tiny", base=copy.parent)
    assert card == describe(str(copy))
    assert (card.id, card.path, card.family, card.revision) == (str(copy), copy, "animatediff", None)
    assert (card.prediction, card.train_steps, card.dtype) == ("v_prediction", 1000, "float32")
    assert (card.frames_min, card.frames_max, card.frames_step, card.frames_native) == (1, 24, 1, 16)
    # VAE of two levels (factor 2), UNet of two (factor 2), and the pipeline's own rule of 8.
    assert (card.size_multiple, card.size_native) == (8, (16, 16))
    assert card.digest.startswith("sha256:")
    assert len(card.digest) == 7 + 64
    assert card.ref().digest == card.digest


def test_the_embedded_model_is_found_by_name() -> None:
    card = describe("pocket")
    assert (card.id, card.family, card.size_native) == ("pocket", "animatediff", (64, 64))
    assert card.path == embedded()["pocket"]
    card.check_size(64, 64)


def test_the_digest_changes_with_pixels_and_with_nothing_else(copy: Path) -> None:
    before = describe(str(copy)).digest
    (copy / "README.md").write_text("hello")
    (copy / "unet" / "picture.png").write_bytes(b"x")
    os.utime(copy / UNET)
    assert describe(str(copy)).digest == before
    data = bytearray((copy / UNET).read_bytes())
    data[-1] ^= 1
    (copy / UNET).write_bytes(data)
    changed = describe(str(copy)).digest
    assert changed != before
    edit(copy / "scheduler" / "scheduler_config.json", beta_end=0.013)
    assert describe(str(copy)).digest not in (before, changed)


def test_a_moved_folder_keeps_its_digest(copy: Path) -> None:
    before = describe(str(copy)).digest
    assert describe(str(copy.rename(copy.parent / "elsewhere"))).digest == before


def truncate(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) - 100])


def pointer(folder: Path) -> None:
    (folder / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def pickled(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def packed(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "unet-Q4_K_M.gguf")


def variant(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")


def own_code(folder: Path) -> None:
    edit(folder / "model_index.json", unet=["my_unet", "MyUNet"])


def scheduler(**values: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "scheduler" / "scheduler_config.json", **values)


WRONG: list[tuple[Callable[[Path], object], type[ModelError], str]] = [
    (truncate, ModelIncomplete, "unet.*not a whole safetensors file: .* bytes, but its header describes"),
    (pointer, ModelIncomplete, "placeholder"),
    (lambda f: (f / UNET).write_bytes(b""), ModelIncomplete, "not a whole safetensors"),
    (lambda f: (f / UNET).unlink(), ModelIncomplete, "unet: no weights"),
    (pickled, ModelRefuses, "diffusion_pytorch_model.bin; such files are pickles"),
    (packed, ModelRefuses, "only unet-Q4_K_M.gguf; GGUF is not loaded: weights are safetensors only"),
    (variant, ModelIncomplete, "found only diffusion_pytorch_model.fp16.safetensors; give `variant: fp16`"),
    (own_code, ModelRefuses, "unet is made by code of 'my_unet'"),
    (lambda f: edit(f / "unet/config.json", auto_map={"a": "b"}), ModelRefuses, "auto_map"),
    (lambda f: edit(f / "model_index.json", _class_name="FluxPipeline"), ModelRefuses, "is a FluxPipeline"),
    (lambda f: edit(f / "model_index.json", _class_name=["x", "Y"]), ModelRefuses, "code of its own"),
    (lambda f: edit(f / "model_index.json", vae=[None, None]), ModelIncomplete, "names no vae"),
    (lambda f: shutil.rmtree(f / "vae"), ModelIncomplete, "vae/config.json: No such file"),
    (lambda f: (f / "vae/config.json").write_text("{"), ModelIncomplete, "vae/config.json"),
    (lambda f: (f / "vae/config.json").write_text("[]"), ModelIncomplete, "not a JSON object"),
    (lambda f: (f / "unet/config.json").write_text("{}"), ModelIncomplete, "'down_block_types'|'sample_size'"),
    (lambda f: (f / "model_index.json").unlink(), ModelIncomplete, "holds no model_index.json"),
    (scheduler(clip_sample=True), ModelRefuses, "clip_sample"),
    (scheduler(prediction_type="epsilon"), ModelRefuses, "rescale_betas_zero_snr"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), WRONG)
def test_a_folder_that_is_wrong_says_how(
    spoil: Callable[[Path], object], error: type[ModelError], message: str, copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(error, match=message):
        describe(str(copy))


@pytest.mark.parametrize("name", ["ltx-Q4_K_M.gguf", "models/ltx.GGUF", "nowhere/else/ltx.gguf"])
def test_gguf_is_refused_whether_it_is_there_or_not(name: str, tmp_path: Path) -> None:
    (tmp_path / "ltx-Q4_K_M.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelRefuses, match=r"GGUF is not loaded.*`quantization`"):
        describe(name, tmp_path)


def test_a_scheduler_without_betas_is_refused(copy: Path) -> None:
    (copy / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "KarrasVeScheduler"}')
    with pytest.raises(ModelRefuses, match="KarrasVeScheduler has neither betas"):
        describe(str(copy))


def test_weights_in_shards_are_all_checked(copy: Path) -> None:
    shard = copy / "unet" / "part-1.safetensors"
    (copy / UNET).rename(shard)
    index = copy / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard.name}}))
    whole = describe(str(copy)).digest
    index.write_text(json.dumps({"weight_map": {"a": shard.name, "b": "part-2.safetensors"}}))
    with pytest.raises(ModelIncomplete, match=r"part-2\.safetensors"):
        describe(str(copy))
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(ModelIncomplete, match="beside their index"):
        describe(str(copy))
    assert whole.startswith("sha256:")


def test_what_diffusers_cannot_load_is_incomplete(copy: Path) -> None:
    (copy / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelIncomplete, match="diffusers cannot load it"):
        load(describe(str(copy)), device="cpu", threads=1)


def test_another_scheduler_s_grid_becomes_ddim_s(copy: Path) -> None:
    scheduler(_class_name="PNDMScheduler", skip_prk_steps=True, prediction_type="v_prediction")(copy)
    edit(copy / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    model = load(describe(str(copy)), device="cpu", threads=1)
    assert type(model.pipe.scheduler).__name__ == "DDIMScheduler"
    assert [level.t for level in model.backbone.capture("a", 16, 16, 1, 4).levels] == [999, 749, 499, 249, None]
    model.close()


def hub(copy: Path, tmp_path: Path, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder as the Hugging Face libraries would have cached it."""
    home = tmp_path / "hub"
    folder = home / "models--org--tiny-motion"
    shutil.copytree(copy, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(home))


def test_a_hub_id_is_found_in_the_cache_and_named_with_its_commit(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(copy, tmp_path, "c0ffee", monkeypatch)
    card = describe("org/tiny-motion", base=tmp_path)
    assert (card.id, card.revision) == ("org/tiny-motion@c0ffee", "c0ffee")
    assert card.digest == describe(str(copy)).digest
    # What a clip spec keeps finds the same files again.
    for again in (describe(card.ref().id, base=tmp_path), describe("org/tiny-motion", tmp_path, "c0ffee")):
        assert again == card


def test_models_that_are_not_here_say_what_is_and_how_to_fetch_them(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(copy, tmp_path, "c0ffee", monkeypatch)
    base = copy.parent
    cases = {
        "poket": "Did you mean 'pocket'",
        "tinyy": "Did you mean 'tiny'",
        "org/tiny-notion": r"hf download org/tiny-notion\..*Did you mean 'org/tiny-motion'",
        "org/tiny-motion@v2": r"org/tiny-motion at revision v2.*hf download org/tiny-motion --revision v2",
        "/no/such/folder": "Known here: pocket, pocket-dit, pocket-image, pocket-teacher, tiny, org/tiny-motion",
        "": "no model ''",
        "a\0b": "no model",
        "~nobody/model!": "no model",
        "x" * 5000: "no model",
    }
    for name, message in cases.items():
        with pytest.raises(ModelNotFound, match=message):
            describe(name, base=base)


CARD = ModelCard("m", Path("/m"), "sha256:0", "f", "float32", "epsilon", 1000, 9, 49, 8, 17, 16, (64, 64))


@given(n=st.integers(-10, 200))
def test_frames_snap_to_the_nearest_that_can_be_made(n: int) -> None:
    allowed = range(9, 50, 8)
    found = CARD.snap_frames(n)
    assert found in allowed
    assert all(abs(found - n) <= abs(other - n) for other in allowed)
    if n in allowed:
        CARD.check_frames(n)
    else:
        with pytest.raises(ModelRefuses, match=f"clips of {n} frames; it makes 9 to 49 in steps of 8"):
            CARD.check_frames(n)


def test_a_grid_that_does_not_reach_its_end_is_respected() -> None:
    assert replace(CARD, frames_max=48).snap_frames(48) == 41


@given(width=st.integers(-64, 400), height=st.integers(-64, 400))
def test_sizes_are_multiples(width: int, height: int) -> None:
    if width > 0 and height > 0 and width % 16 == height % 16 == 0:
        CARD.check_size(width, height)
        return
    with pytest.raises(ModelRefuses, match=r"multiples of 16\. The nearest size is (\d+)x(\d+)") as caught:
        CARD.check_size(width, height)
    nearest = str(caught.value).split("nearest size is ")[1].split(";")[0]
    CARD.check_size(*map(int, nearest.split("x")))


def test_big_files_are_hashed_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(REMEMBER)
    with Remembered() as first:
        found = first.sha256(big)
    kept = json.loads(first.path.read_text())
    assert list(kept.values()) == [found]
    first.path.write_text(json.dumps(dict.fromkeys(kept, "0" * 64)))
    assert Remembered().sha256(big) == "0" * 64  # the memory is what answers
    with big.open("r+b") as file:
        file.write(b"changed")
    os.utime(big, ns=(1, 1))
    assert Remembered().sha256(big) not in (found, "0" * 64)
    first.path.write_text("not JSON")
    assert Remembered().known == {}


def test_an_unwritable_memory_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Remembered() as memory:
        memory.known["x"], memory.changed = "0" * 64, True
    assert (tmp_path / "cache").is_file()


HEAVY = ("torch", "diffusers", "transformers", "numpy", "ray", "sqlalchemy", "pydantic", "rich", "typer")


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh Python has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(done.stdout.split())


def test_planning_loads_nothing_heavy() -> None:
    code = "from shots.models import describe\nimport shots.price, shots.spec, shots.errors\ndescribe('pocket')"
    assert loaded_after(code) == set()


def test_shooting_loads_no_other_room_s_packages() -> None:
    code = "from shots.shoot import load\nfrom shots.models import describe\nload(describe('pocket'), 'cpu', 1)"
    assert loaded_after(code) == {"torch", "diffusers", "transformers", "numpy"}


def test_a_model_may_tell_the_clip_length_it_was_made_for(copy: Path) -> None:
    folder = copy
    before = describe(str(folder))
    (folder / "longtake.json").write_text('{"frames_native": 3}')
    told = describe(str(folder))
    assert told.frames_native == 3 != before.frames_native
    assert told.digest == before.digest
    (folder / "longtake.json").write_text('{"frames_native": 99999}')
    with pytest.raises(ModelIncomplete, match="99999"):
        describe(str(folder))
    (folder / "longtake.json").write_text('{"size_native": [48, 24]}')
    assert describe(str(folder)).size_native == (48, 24)
    (folder / "longtake.json").write_text('{"size_native": [50, 24]}')
    with pytest.raises(ModelIncomplete, match="50x24 is no multiple of 8"):
        describe(str(folder))


def test_the_embedded_transformer_says_what_size_it_was_trained_at() -> None:
    card = describe("pocket-dit")
    assert (card.frames_native, card.size_native) == (9, (64, 64))


def test_pictures_end_where_positions_do() -> None:
    card = replace(CARD, traits=Traits(size_most=(96, 64)))
    card.check_size(96, 64)
    for size in ((112, 64), (96, 80)):
        with pytest.raises(ModelRefuses, match="its positions end at 96x64"):
            card.check_size(*size)
