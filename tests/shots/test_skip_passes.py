"""Perturbed passes of STG cost what they are billed for, give the same bits for less, and leave no trace."""

import copy
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from shots.backbones.blocks import share
from shots.backbones.skip import Skip, list_layers, skipping
from shots.errors import ModelRefuses
from tests.shots.skipped import MIDDLE, alone, anatomy, middle, passes, patched, runner, without
from tests.shots.small_networks import NETWORKS, network_of

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")

BOTH = pytest.mark.parametrize("mode", ["residual", "attention"])
EVERY = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with alone():
        yield


# The price


@contextmanager
def counting(network: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Which modules ran their own class's forward, and how often."""
    ran: Counter[str] = Counter()
    named = {module: path for path, module in network.named_modules()}
    with monkeypatch.context() as patch:
        for cls in {type(module) for module in named}:

            def forward(self: torch.nn.Module, *args: Any, own: Any = cls.forward, **kwargs: Any) -> Any:
                ran[named.get(self, "")] += 1
                return own(self, *args, **kwargs)

            patch.setattr(cls, "forward", forward)
        yield ran


@BOTH
@EVERY
def test_a_perturbed_pass_runs_the_share_of_blocks_that_it_is_billed_for(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, run = runner(name)
    known, skip = anatomy(network), middle(name, mode)
    blocks = [block.path for block in known.blocks]
    with counting(network, monkeypatch) as ran, skipping(network, skip) as s:
        s.conditional(run)
        assert all(ran[path] == 1 for path in blocks)
        ran.clear()
        s.perturbed(run)
        assert sum(ran[path] for path in blocks) == share(known, skip) * len(blocks)
        ran.clear()
        s.perturbed(run, reuse=False)
        assert sum(ran[path] for path in blocks) == share(known, skip, reuse=False) * len(blocks)
    assert share(known, skip) < share(known, skip, reuse=False) <= 1


@EVERY
def test_blocks_run_in_the_order_that_is_written_down(name: str) -> None:
    network, run = runner(name)
    known, order = anatomy(network), []
    handles = [
        network.get_submodule(block.path).register_forward_pre_hook(lambda *_, path=block.path: order.append(path))
        for block in known.blocks
    ]
    run()
    for handle in handles:
        handle.remove()
    assert order == [block.path for block in known.blocks]


# The prefix


@BOTH
@EVERY
def test_every_layer_and_group_gives_the_same_bits_with_and_without_the_prefix(name: str, mode: Any) -> None:
    network, run = runner(name)
    plain = run()
    # Which blocks come before does not depend on the mode: one mode tries them all, the other every second.
    for layer in list_layers(network)[:: 1 if mode == "residual" else 2]:
        with skipping(network, Skip((layer,), mode)) as s:
            assert torch.equal(s.conditional(run), plain), layer
            perturbed = s.perturbed(run)
            assert torch.equal(perturbed, s.perturbed(run, reuse=False)), layer
            assert not torch.equal(perturbed, plain), layer


@pytest.mark.parametrize("name", ["unet_motion", "unet_3d", "latte"])
def test_space_and_time_are_perturbed_separately(name: str) -> None:
    layers = (MIDDLE[name].rpartition(".")[2] if name == "latte" else MIDDLE[name],)
    whole, space, time = (passes(name, Skip(layers, "residual", part))[1] for part in ("all", "spatial", "temporal"))
    assert not torch.allclose(space, time, atol=1e-3)
    assert not torch.allclose(space, whole, atol=1e-3)
    assert not torch.allclose(time, whole, atol=1e-3)


@EVERY
def test_in_a_batch_only_the_conditional_samples_are_remembered(name: str) -> None:
    """Two clips with and without a prompt in one batch, then their perturbed passes in another."""
    network, call = network_of(name)
    four, two = call(4, 5), call(2, 5)
    for key, value in two.items():
        if isinstance(value, torch.Tensor) and value.dim():
            two[key] = four[key][: len(four[key]) // 2]
    with skipping(network, middle(name)) as s:
        both = s.conditional(lambda: network(**four).sample, kept=2, batch=4)
        perturbed = s.perturbed(lambda: network(**two).sample)
        expected = s.perturbed(lambda: network(**two).sample, reuse=False)
    assert torch.equal(both, network(**four).sample)
    torch.testing.assert_close(perturbed, expected, rtol=1e-4, atol=1e-5)


def test_what_is_remembered_is_used_once() -> None:
    network, run = runner("ltx")
    with skipping(network, Skip(("2",))) as s:
        with pytest.raises(RuntimeError, match="needs the conditional one before it"):
            s.perturbed(run)
        s.conditional(run)
        s.perturbed(run)
        with pytest.raises(RuntimeError, match="needs the conditional one before it"):
            s.perturbed(run)


# Nothing stays behind, and nobody else notices


@BOTH
@EVERY
def test_afterwards_the_network_is_as_it_was(name: str, mode: str) -> None:
    network, run = runner(name)
    before = run()
    with skipping(network, middle(name, mode)) as s:
        assert patched(network)
        s.conditional(run)
        s.perturbed(run)
        assert torch.equal(run(), before), "a call that is neither pass"
    assert not patched(network)
    assert torch.equal(run(), before)


def fail(run: Any) -> None:
    run()
    raise ValueError("after the last block")


def test_a_pass_that_fails_is_over_and_its_error_passes_through() -> None:
    network, run = runner("ltx")
    before = run()
    with skipping(network, Skip(("2",))) as s:
        s.conditional(run)
        with pytest.raises(ValueError, match="after the last block"):
            s.perturbed(lambda: fail(run))
        assert torch.equal(run(), before)
        with pytest.raises(ValueError, match="after the last block"):
            s.conditional(lambda: fail(run))
        with pytest.raises(RuntimeError, match="needs the conditional one"):
            s.perturbed(run)


def test_an_error_within_leaves_nothing_behind() -> None:
    network, run = runner("ltx")
    with pytest.raises(ValueError, match="after the last block"), skipping(network, Skip(("2",))):
        fail(run)
    assert not patched(network)


def test_a_refused_layer_leaves_nothing_behind() -> None:
    early, run = runner("wan")
    late, _ = runner("ltx")
    with pytest.raises(ModelRefuses, match=r"LTXVideoTransformer3DModel has no layer 'blocks\.2'"):  # noqa: SIM117
        with skipping([early, late], Skip(("blocks.2",))):
            fail(run)
    assert not patched(early, late)


def test_hooks_of_others_are_kept_and_put_back() -> None:
    network, run = runner("wan")
    block, called = network.blocks[2], []
    own = block.forward

    def theirs(*args: Any, **kwargs: Any) -> Any:
        called.append(1)
        return own(*args, **kwargs)

    block.forward = theirs
    try:
        with skipping(network, Skip(("2",))) as s:
            s.conditional(run)
            s.perturbed(run)
        assert called == [1]
        assert block.__dict__["forward"] is theirs
    finally:
        del block.forward


@BOTH
@pytest.mark.parametrize("name", ["unet_motion", "ltx", "mochi"])
def test_threads_run_their_passes_side_by_side(name: str, mode: str) -> None:
    """Two threads of a pool, each with clips of its own, while both also make plain calls on the same network."""
    network, call = network_of(name)
    skip = middle(name, mode)
    calls = [call(1, seed) for seed in range(8)]
    expected = [(network(**c).sample, *passes(name, skip, seed)[:2]) for seed, c in enumerate(calls)]
    together = Barrier(2)

    def clip(seed: int) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            together.wait(timeout=60)
            cond = s.conditional(lambda: network(**calls[seed]).sample)
            plain = network(**calls[seed]).sample
            return plain, cond, s.perturbed(lambda: network(**calls[seed]).sample)

    with skipping(network, skip) as s, ThreadPoolExecutor(2) as pool:
        made = list(pool.map(clip, range(8)))
    for ours, theirs in zip(made, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_two_experts_share_one_pair_of_passes() -> None:
    early, call = network_of("wan")
    late = copy.deepcopy(early)
    late.get_submodule("proj_out").weight.data.mul_(2)
    with skipping([early, late], Skip(("2",))) as s:
        for network in (early, late):
            s.conditional(lambda n=network: n(**call()).sample)
            perturbed = s.perturbed(lambda n=network: n(**call()).sample)
            assert torch.equal(perturbed, without(network, ["blocks.2"])(**call()).sample)
    assert not patched(early, late)


def test_attention_that_cannot_be_changed_is_refused_not_ignored() -> None:
    network, call = network_of("unet_motion")
    ours = copy.deepcopy(network)
    ours.set_attn_processor(AttnProcessor())
    with skipping(ours, middle("unet_motion", "attention")) as s:
        with pytest.raises(ModelRefuses, match="scaled_dot_product_attention"):
            s.perturbed(lambda: ours(**call()).sample, reuse=False)
        with pytest.raises(ModelRefuses, match="without its layers' own forward"):
            s.perturbed(lambda: network(**call()).sample, reuse=False)
