"""pocket-dit: the shapes, the text path, the folder through the stock pipeline, and training that can be resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, LTXPipeline
from safetensors.torch import load_file

from shots.pocket import dit_networks as networks
from shots.pocket import dit_train, evaluate, vocabulary
from shots.pocket.checkpoints import Training
from shots.pocket.plan import Plan
from shots.pocket.scenes import draw

STEPS = 3
STAGES = ("dit_vae", "dit_bank", "dit_image", "dit_video")


@pytest.fixture(autouse=True)
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, before))
    yield
    torch.set_num_threads(before)


def load(folder: Path) -> LTXPipeline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def plan(out: Path, steps: int) -> Plan:
    return Plan(out, out / "weights", 5, steps, image_batch=2, clip_batch=1, bank_clips=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of each stage, exported: the folder of checkpoints."""
    out = tmp_path_factory.mktemp("dit")
    for stage in (*STAGES, "dit_export"):
        dit_train.STAGES[stage](plan(out, STEPS))
    return out


@pytest.fixture(scope="module")
def pipe(trained: Path) -> LTXPipeline:
    return load(trained / "weights" / "pocket-dit")


def clip(pipe: LTXPipeline, texts: list[str], seeds: list[int], **options: object) -> np.ndarray:
    settings = {"num_frames": 9, "height": 64, "width": 64, "num_inference_steps": 2, "guidance_scale": 2.0}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return pipe(texts, generator=generators, **{"output_type": "np", **settings, **options}).frames


def test_the_folder_is_a_stock_ltx_pipeline_and_small(trained: Path, pipe: LTXPipeline) -> None:
    assert type(pipe) is LTXPipeline
    files = [path for path in (trained / "weights" / "pocket-dit").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}, "nothing pickled"
    assert sum(path.stat().st_size for path in files) < 9.5e6
    for path in files:
        if path.suffix == ".safetensors":
            tensors = load_file(path).values()
            assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.float16}
    assert (pipe.vae.spatial_compression_ratio, pipe.vae.temporal_compression_ratio) == (8, 4)
    assert pipe.scheduler.config.shift == networks.SHIFT
    assert not pipe.scheduler.config.use_dynamic_shifting


def test_the_shipped_folder_is_the_same_kind_of_folder(trained: Path) -> None:
    fresh, shipped = trained / "weights" / "pocket-dit", networks.WEIGHTS
    files = [path for path in shipped.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 9.5e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}, "nothing pickled"
    for path in fresh.glob("*/*.safetensors"):
        ours, theirs = load_file(path), load_file(shipped / path.relative_to(fresh))
        assert {name: (one.shape, one.dtype) for name, one in ours.items()} == {
            name: (one.shape, one.dtype) for name, one in theirs.items()
        }
        assert all(torch.isfinite(one).all() for one in theirs.values())


def test_shipped_weights_show_what_was_asked_and_the_vae_keeps_what_the_reader_reads() -> None:
    pipe = load(networks.WEIGHTS)
    table = evaluate.reference(pipe.vae, n=40, seed=5, frames=networks.CLIP_FRAMES)["VAE reconstructions"]
    for name in evaluate.ATTRIBUTES:
        assert table[name]["mean"] >= 0.9, name
    asked = evaluate.prompts(20, seed=5)[::3]
    made = clip(pipe, [one.text for one in asked], list(range(len(asked))), num_inference_steps=8, guidance_scale=3.0)
    clips = (made * 255).round().astype(np.uint8)
    right = [evaluate.score(shown, one.truth).right for shown, one in zip(clips, asked, strict=True)]
    for name, chance in {"colour": 0.2, "background": 0.2, "motion": 0.2, "kind": 0.25}.items():
        assert np.mean([one[name] for one in right]) > chance + 0.2, name


def test_a_clip_is_finite_and_depends_on_its_own_seed_alone(pipe: LTXPipeline) -> None:
    texts = ["a red boat floating over the sea", "a yellow moon rising at night"]
    both = clip(pipe, texts, [1, 2])
    assert both.shape == (2, 9, 64, 64, 3)
    assert np.isfinite(both).all()
    assert np.abs(both[1] - clip(pipe, texts[1:], [2])[0]).max() < 1 / 255
    assert np.isfinite(clip(pipe, texts, [1, 2], num_frames=17, output_type="latent")).all()


def test_every_word_is_one_token_and_a_stranger_one_filler(pipe: LTXPipeline) -> None:
    for word in vocabulary.known_words():
        assert len(pipe.tokenizer(word).input_ids) == 2, word
    text = "A Crimson star-fish, drifting (slowly) 12!"
    assert pipe.tokenizer.unk_token_id in pipe.tokenizer(text).input_ids
    assert len(pipe.tokenizer(text).input_ids) == len(vocabulary.split_words(text)) + 1
    states = networks.encode_text(["a zebra", "the over"], pipe.tokenizer, pipe.text_encoder)[0]
    assert torch.equal(states[0], states[1])


def test_words_are_orthogonal_and_synonyms_identical(pipe: LTXPipeline) -> None:
    texts = ["left", "right", "red", "westward"]
    left, right, red, west = networks.encode_text(texts, pipe.tokenizer, pipe.text_encoder)[0][:, 0]
    assert torch.equal(left, west)
    for a, b in ((left, right), (left, red), (right, red)):
        assert abs(float(a @ b)) / networks.TEXT_DIM < 1e-3, "fp16 rounding only"


def test_the_shipped_text_encoder_is_the_one_that_training_builds(pipe: LTXPipeline) -> None:
    tokenizer = networks.make_tokenizer()
    encoder = networks.make_text_encoder(tokenizer)
    text = ["a golden moon rising over the sea at night, slowly"]
    assert tokenizer(text).input_ids == pipe.tokenizer(text).input_ids
    ours, shipped = (networks.encode_text(text, tokenizer, one)[0] for one in (encoder, pipe.text_encoder))
    assert (ours - shipped).abs().max() < 0.02, "fp16 rounding only"


def test_padding_a_prompt_to_128_tokens_changes_nothing(pipe: LTXPipeline) -> None:
    tokens = torch.randn(1, 192, networks.LATENT_CHANNELS, generator=torch.Generator().manual_seed(0))
    states, mask, _, _ = pipe.encode_prompt("a red ball", do_classifier_free_guidance=False)
    assert states.shape[1] == 128
    ours = networks.encode_text(["a red ball"], pipe.tokenizer, pipe.text_encoder)
    with torch.no_grad():
        long, short = (
            networks.velocity(pipe.transformer, tokens, torch.ones(1), t) for t in ((states, mask * 1), ours)
        )
    assert (long - short).abs().max() < 1e-5


def test_packing_and_statistics_are_the_pipelines(pipe: LTXPipeline) -> None:
    latents = torch.randn(2, networks.LATENT_CHANNELS, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(networks.pack(latents), pipe._pack_latents(latents, 1, 1))
    vae = pipe.vae
    theirs = pipe._denormalize_latents(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
    assert (networks.normalise(vae, theirs) - latents).abs().max() < 1e-4


@torch.no_grad()
def test_the_encoder_is_causal_and_the_first_latent_is_one_picture(pipe: LTXPipeline) -> None:
    x, masks = dit_train.clips_of(draw(2, np.random.default_rng(3)))
    assert x.shape == (2, 3, 9, 64, 64)
    assert masks.shape == (2, 1, 9, 64, 64)
    whole = pipe.vae.encode(x).latent_dist.mode()
    assert whole.shape == (2, networks.LATENT_CHANNELS, networks.LATENT_FRAMES, 8, 8)
    for frames in (1, 5):
        part = pipe.vae.encode(x[:, :, :frames]).latent_dist.mode()
        assert (whole[:, :, : part.shape[2]] - part).abs().max() < 1e-5
        assert pipe.vae.decode(part).sample.shape == (2, 3, frames, 64, 64)
    assert float(pipe.vae.encode(x).latent_dist.std.max()) < 0.01, "image-to-video samples the posterior"
    changed = x.clone()
    changed[:, :, 5:] = 0
    other = pipe.vae.encode(changed).latent_dist.mode()
    assert (whole[:, :, :2] - other[:, :, :2]).abs().max() < 1e-5
    assert (whole[:, :, 2] - other[:, :, 2]).abs().max() > 1e-3


def test_clean_first_tokens_are_given_and_do_not_count(trained: Path) -> None:
    flow = dit_train.Flow(plan(trained, STEPS))
    transformer = dit_train.load_transformer(trained / "dit_video" / "average.safetensors")
    x0, prompts = flow.batch(2, np.random.default_rng(0), networks.LATENT_FRAMES)
    seen: list[torch.Tensor] = []
    watch = transformer.register_forward_pre_hook(lambda _, __, given: seen.append(given), with_kwargs=True)
    torch.manual_seed(0)
    loss = flow.loss(transformer, (x0, prompts), np.random.default_rng(1), given=64)
    watch.remove()
    assert torch.isfinite(loss)
    assert torch.equal(seen[0]["hidden_states"][:, :64], x0[:, :64])
    assert not torch.equal(seen[0]["hidden_states"][:, 64:], x0[:, 64:])
    assert torch.count_nonzero(seen[0]["timestep"][:, :64]) == 0
    assert torch.all(seen[0]["timestep"][:, 64:] > 0)


class Interrupted(Training):
    """Saves after every step and is stopped after two."""

    def __post_init__(self) -> None:
        self.save_every = 0.0
        super().__post_init__()

    def rate(self) -> float:
        if self.step == 2:
            raise KeyboardInterrupt
        return super().rate()


def test_interrupted_stages_end_with_the_weights_of_undisturbed_ones(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in STAGES:
        if stage != "dit_bank":
            with monkeypatch.context() as patch:
                patch.setattr(dit_train, "Training", Interrupted)
                with pytest.raises(KeyboardInterrupt):
                    dit_train.STAGES[stage](plan(tmp_path, STEPS))
        dit_train.STAGES[stage](plan(tmp_path, STEPS))
        name = "bank.safetensors" if stage == "dit_bank" else "state.safetensors"
        whole, broken = (load_file(out / stage / name) for out in (trained, tmp_path))
        assert set(whole) == set(broken)
        worst = max(float((whole[key].double() - broken[key].double()).abs().max()) for key in whole)
        assert worst == 0, f"{stage} {worst}"
