"""What a perturbed pass of STG computes, on every kind of network: our own naive form of it, and that of diffusers."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from diffusers.guiders import SkipLayerGuidance
from diffusers.hooks import LayerSkipConfig
from diffusers.hooks.layer_skip import apply_layer_skip
from torch.nn import functional as F

from shots.backbones.skip import Skip, list_layers, skipping
from tests.shots.skipped import alone, middle, passes, paths, runner, without
from tests.shots.small_networks import NETWORKS, network_of, noise

JOINT = ("cogvideox", "mochi", "hunyuan_video", "hunyuan_video15")

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with alone():
        yield


@pytest.mark.parametrize("name", NETWORKS)
def test_stg_r_is_the_network_with_the_blocks_taken_out(name: str) -> None:
    network, run = runner(name)
    cond, perturbed, full = passes(name, middle(name))
    expected = without(network, paths(network, middle(name)))(**network_of(name)[1]()).sample
    assert torch.equal(perturbed, full)
    # Another copy of the weights lies elsewhere in memory, which can move the last bits of a convolution (3e-6 seen).
    torch.testing.assert_close(perturbed, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(cond, run())
    assert not torch.allclose(cond, expected, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("unet")])
def test_stg_r_of_all_blocks_is_the_network_without_blocks(name: str) -> None:
    network, _ = runner(name)
    skip = Skip(list_layers(network))
    _, perturbed, _ = passes(name, skip)
    assert torch.equal(perturbed, without(network, paths(network, skip))(**network_of(name)[1]()).sample)


def self_attentions(network: torch.nn.Module, blocks: list[str]) -> list[str]:
    """Written out once more, by the modules' names: attn2 sees the text but in temporal modules of UNets."""
    found = []
    for path in blocks:
        over_time = any(word in path for word in ("motion_modules", "temp_attentions", "transformer_in"))
        wanted = ("attn1", "attn2") if over_time else ("attn1", "attn", "audio_attn1")
        found += [
            f"{path}.{name}" for name, _ in network.get_submodule(path).named_modules() if name.split(".")[-1] in wanted
        ]
    return found


@contextmanager
def replaced(modules: list[torch.nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    for module in modules:
        module.__dict__["forward"] = lambda *args, m=module, **kwargs: forward(m, *args, **kwargs)
    yield
    for module in modules:
        del module.__dict__["forward"]


def values_alone(attention: Any, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """softmax(...) := identity: to_out(V)."""
    value = attention.to_v(hidden_states)
    if getattr(attention, "to_gate_logits", None) is not None:  # LTX-2's gates, one for each head
        gates = 2 * torch.sigmoid(attention.to_gate_logits(hidden_states))
        value = (value.unflatten(2, (attention.heads, -1)) * gates.unsqueeze(-1)).flatten(2, 3)
    return attention.to_out[1](attention.to_out[0](value))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in JOINT])
def test_stg_a_is_attention_whose_scores_are_the_identity(name: str) -> None:
    network, run = runner(name)
    skip = middle(name, "attention")
    cond, perturbed, full = passes(name, skip)
    named = self_attentions(network, paths(network, skip))
    assert named
    with replaced([network.get_submodule(path) for path in named], values_alone):
        expected = run()
    assert torch.equal(perturbed, full)
    torch.testing.assert_close(perturbed, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(cond, expected, atol=1e-3)


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("rows", [4096, 5])
def test_stg_a_of_joint_attention_cuts_video_from_video(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one dense attention with a mask over all pairs of tokens, as the authors' code for Mochi has it."""
    network, run = runner(name)
    skip = middle(name, "attention")
    monkeypatch.setattr("shots.backbones.skip.ROWS", rows)
    cond, perturbed, full = passes(name, skip)
    assert torch.equal(perturbed, full)
    before, inside = F.scaled_dot_product_attention, []

    def dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, **_: Any) -> Any:
        if not inside:
            return before(query, key, value, attn_mask=attn_mask)
        size = query.shape[2]
        video = torch.arange(size) >= size - 12 if name == "cogvideox" else torch.arange(size) < 12
        allowed = ~(video[:, None] & video[None, :]) | torch.eye(size, dtype=torch.bool)
        if attn_mask is not None:
            allowed = allowed & attn_mask
        return before(query, key, value, attn_mask=allowed.expand(*query.shape[:2], size, size))

    def marked(attention: Any, *args: Any, **kwargs: Any) -> Any:
        inside.append(attention)
        try:
            return type(attention).forward(attention, *args, **kwargs)
        finally:
            inside.pop()

    monkeypatch.setattr(F, "scaled_dot_product_attention", dense)
    modules = [network.get_submodule(path) for path in self_attentions(network, paths(network, skip))]
    with replaced(modules, marked):
        expected = run()
    torch.testing.assert_close(perturbed, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(cond, expected, atol=1e-3)


@pytest.mark.parametrize("name", JOINT)
def test_stg_a_of_joint_attention_leaves_the_text_as_it_is(name: str) -> None:
    network, run = runner(name)
    skip = middle(name, "attention")
    (path,) = self_attentions(network, paths(network, skip))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    handle = network.get_submodule(path).register_forward_hook(lambda _m, _i, output: seen.append(output))
    with skipping(network, skip) as s:
        s.conditional(run)
        s.perturbed(run)
    handle.remove()
    (video, text), (cut, same) = seen
    torch.testing.assert_close(same, text, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(cut, video, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in JOINT])
def test_a_token_under_stg_a_does_not_see_other_tokens(name: str) -> None:
    network, run = runner(name)
    skip = middle(name, "attention")
    path = self_attentions(network, paths(network, skip))[0]
    attention = network.get_submodule(path)
    given: list[tuple[Any, Any]] = []
    handle = attention.register_forward_pre_hook(
        lambda _m, args, kwargs: given.append((args, kwargs)), with_kwargs=True
    )
    with skipping(network, skip) as s:
        s.conditional(run)
        handle.remove()
        args, kwargs = given[0]
        tokens = args[0] if args else kwargs.pop("hidden_states")
        order = torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))
        straight, mixed = (
            s.perturbed(lambda x=x: attention(x, *args[1:], **kwargs), reuse=False)
            for x in (tokens, tokens[:, order].contiguous())
        )
        attending = attention(tokens[:, order].contiguous(), *args[1:], **kwargs)
    torch.testing.assert_close(mixed, straight[:, order], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(attending, straight[:, order], atol=1e-3)


def test_stg_a_on_ltx2_is_its_own_guidance() -> None:
    network, call = network_of("ltx2")
    _, perturbed, _ = passes("ltx2", middle("ltx2", "attention"))
    assert torch.equal(perturbed, network(**call(), spatio_temporal_guidance_blocks=[2]).sample)


@pytest.mark.parametrize("name", ["ltx", "wan", "cogvideox", "mochi", "hunyuan_video"])
def test_stg_r_is_the_layer_skip_of_diffusers(name: str) -> None:
    network, call = network_of(name)
    theirs = copy.deepcopy(network)
    stack = paths(network, middle(name))[0].rpartition(".")[0]
    apply_layer_skip(theirs, LayerSkipConfig(indices=[2], fqn=stack))
    assert torch.equal(passes(name, middle(name))[1], theirs(**call()).sample)


def test_mixed_as_published_it_is_the_guidance_of_diffusers() -> None:
    """u + w (c - u) + g (c - p), diffusers evaluating its own three passes."""
    network, call = network_of("ltx")
    w, g = 3.0, 1.5
    cond, uncond = call(seed=0), call(seed=0) | {"encoder_hidden_states": noise(9, 1, 5, 8)}
    with skipping(network, Skip(("2",))) as s:
        c = s.conditional(lambda: network(**cond).sample)
        p = s.perturbed(lambda: network(**cond).sample)
        u = network(**uncond).sample
    guider = SkipLayerGuidance(
        guidance_scale=w,
        skip_layer_guidance_scale=g,
        skip_layer_config=LayerSkipConfig(indices=[2], fqn="transformer_blocks"),
        skip_layer_guidance_start=0.0,
        skip_layer_guidance_stop=1.0,
    )
    # Their window is open at its beginning: the step must not be the first.
    guider.set_state(step=1, num_inference_steps=4, timestep=torch.tensor(500))
    theirs = copy.deepcopy(network)
    states = guider.prepare_inputs({"encoder_hidden_states": (cond["encoder_hidden_states"], noise(9, 1, 5, 8))})
    for state in states:
        guider.prepare_models(theirs)
        state.noise_pred = theirs(**cond | {"encoder_hidden_states": state.encoder_hidden_states}).sample
        guider.cleanup_models(theirs)
    torch.testing.assert_close(u + w * (c - u) + g * (c - p), guider(states).pred, rtol=1e-5, atol=1e-5)
