"""The arithmetic of joins, against a list of which picture shows what; and which settings are refused."""

import itertools

import pytest

from shots.errors import SpecError
from shots.joins import Join, check_chain_settings, check_prior, join_of
from shots.settings import Anchor, Chain, FreeNoise, Iid, NoChain, Prior, Pyoco, VidRD, Windows

Picture = tuple[int, int]
"""(latent frame of the shot, place within what that latent frame stands for)."""


def pictures(first: int, frames: int, per_latent: int) -> list[Picture]:
    """What a decoder makes of latent frames `first` to `first + frames - 1`: one of the first, r of each other."""
    rest = [(first + j, p) for j in range(1, frames) for p in range(per_latent)]
    return [(first, per_latent - 1), *rest]


GRIDS = [(n, m, r) for n in (1, 3, 6) for m in range(n) for r in (1, 4, 8)]


@pytest.mark.parametrize(("n", "m", "r"), GRIDS)
@pytest.mark.parametrize("kind", [VidRD, Windows])
def test_dropped_pictures_leave_the_shot_as_one_decoding_would_give_it(n: int, m: int, r: int, kind: type) -> None:
    clips = [pictures(k * (n - m), n, r) for k in range(4)]
    join = join_of(kind(m), r)
    kept = clips[0] + [picture for clip in clips[1:] for picture in clip[join.dropped :]]
    if m:
        assert kept == pictures(0, n + 3 * (n - m), r)
        assert all(a[len(a) - join.shared :] == b[: join.shared] for a, b in itertools.pairwise(clips))
    else:
        assert join == Join(0, 0, 0)


@pytest.mark.parametrize(("n", "m", "r"), GRIDS)
def test_what_is_dissolved_shows_the_same_moments_and_costs_as_many_pictures(n: int, m: int, r: int) -> None:
    drop, blend = join_of(VidRD(m), r), join_of(VidRD(m, boundary="blend"), r)
    assert (blend.dropped, blend.dissolved) == (0, drop.dropped)
    assert len(blend.weights) == blend.dissolved
    assert list(blend.weights) == pytest.approx([1 - w for w in reversed(blend.weights)])
    assert all(0 < w < 1 for w in blend.weights)
    assert list(blend.weights) == sorted(blend.weights)


@pytest.mark.parametrize("per_latent", [1, 4, 6, 8])
@pytest.mark.parametrize("latents", range(1, 9))
def test_no_picture_is_dissolved_at_both_ends_of_its_clip(latents: int, per_latent: int) -> None:
    length = 1 + per_latent * (latents - 1)
    for overlap in range(latents + 1):
        chain = VidRD(overlap, boundary="blend")
        if 2 * join_of(chain, per_latent).dissolved <= length:
            check_chain_settings(chain, latents, per_latent)
        else:
            with pytest.raises(SpecError, match="boundary blend"):
                check_chain_settings(chain, latents, per_latent)


@pytest.mark.parametrize(
    ("chain", "join"),
    [
        (NoChain(), Join(0, 0, 0)),
        (Anchor(), Join(1, 1, 0)),
        (VidRD(4), Join(4, 4, 0)),
        (VidRD(4, boundary="append"), Join(4, 0, 0)),
        (VidRD(4, boundary="blend"), Join(4, 0, 4)),
        (VidRD(4, order="reverse"), Join(1, 0, 0)),
        (VidRD(4, order="reverse", boundary="drop"), Join(1, 1, 0)),
        (VidRD(0, boundary="blend"), Join(0, 0, 0)),
        (Windows(3), Join(3, 3, 0)),
    ],
)
def test_joins_of_a_vae_that_works_frame_by_frame(chain: Chain, join: Join) -> None:
    assert join_of(chain) == join


def test_two_shared_latents_of_eight_pictures_are_nine_pictures() -> None:
    assert join_of(VidRD(2), 8) == Join(9, 9, 0)
    assert join_of(VidRD(3, boundary="blend"), 8) == Join(17, 0, 17)


@pytest.mark.parametrize(
    ("chain", "latents", "per_latent", "message"),
    [
        (VidRD(7), 6, 1, "in clips of 6 latent frames, overlap is 0 to 6"),
        (VidRD(-1), 6, 1, "overlap -1"),
        (VidRD(2, alpha=float("nan")), 6, 1, "alpha nan"),
        (VidRD(2, beta=1.5), 6, 1, "beta 0 to 1"),
        (VidRD(2, order="reverse", boundary="blend"), 6, 1, "use order forward, or boundary append or drop"),
        (VidRD(2, order="reverse"), 6, 4, "latent frames hold 4 pictures each.* use order forward"),
        (VidRD(4, boundary="blend"), 6, 1, "give at most 3, or boundary drop"),
        (VidRD(4, boundary="blend"), 6, 4, "give at most 3, or boundary drop"),
        (VidRD(1, boundary="blend"), 1, 1, "give at most 0, or boundary drop"),
        (Windows(6), 6, 1, "give an overlap of 0 to 5"),
        (Windows(-1), 6, 1, "windows with overlap -1"),
    ],
)
def test_chains_that_make_no_sense_are_refused(chain: Chain, latents: int, per_latent: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_chain_settings(chain, latents, per_latent)


@pytest.mark.parametrize(
    ("chain", "per_latent"),
    [
        (VidRD(6), 1),
        (VidRD(6, order="reverse"), 1),
        (VidRD(2), 8),
        (VidRD(3, boundary="blend"), 1),
        (VidRD(3, boundary="blend"), 4),
        (VidRD(0, order="reverse"), 4),
        # Noise alone may be mirrored: at pure noise no latent frame stands for anything yet.
        (VidRD(2, beta=0.0, order="reverse"), 4),
        (Windows(5), 1),
        (Windows(0), 4),
        (NoChain(), 4),
        (Anchor(), 4),
    ],
)
def test_chains_that_make_sense_are_not(chain: Chain, per_latent: int) -> None:
    check_chain_settings(chain, 6, per_latent)


@pytest.mark.parametrize("chain", [NoChain(), Windows(2), VidRD(2), Anchor()])
@pytest.mark.parametrize("prior", [Iid(), Pyoco(), FreeNoise()])
def test_freenoise_and_vidrd_do_not_go_together_and_all_else_does(prior: Prior, chain: Chain) -> None:
    if isinstance(prior, FreeNoise) and isinstance(chain, VidRD):
        with pytest.raises(SpecError, match="use chain windows or none with freenoise"):
            check_prior(prior, chain)
    else:
        check_prior(prior, chain)
