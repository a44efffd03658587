"""How the clips of a shot meet: which latent frames they share, and what the cut does with the pictures. No torch.

A clip has N latent frames. A VAE that works frame by frame makes one picture of each. A causal one makes one picture
of the first and r of each other (`frames_per_latent`), so 1 + r (N - 1) in all, and latent frame j > 0 stands for
the pictures r (j - 1) + 1 to r j. In forward order, latent frame j < M of a clip is latent frame N - M + j of the
one before. Its last picture is picture r j here and picture r (N - M + j) there: always r (N - M) apart. So the two
clips share

    W = 1 + r (M - 1)

pictures, the first W of the later clip and the last W of the earlier one. The copied latents were r M pictures
there; the r - 1 earliest have no counterpart, since a clip's first latent frame becomes one picture only. Without its
first W pictures a clip adds r (N - M), the length of K clips is 1 + r (N + (K - 1) (N - M) - 1), and that is what
one decoding of all their latent frames together would give.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import SpecError
from .settings import Anchor, Chain, FreeNoise, NoChain, Prior, VidRD, Windows


@dataclass(frozen=True)
class Join:
    """What the cut does where a clip follows another of its chain, in pictures.

    shared: pictures that both clips show, at the end of one and the beginning of the other. dropped: leading ones
    that the cut leaves out. dissolved: leading ones that are mixed with the last of the clip before, 0 or `shared`.
    """

    shared: int
    dropped: int
    dissolved: int

    @property
    def weights(self) -> tuple[float, ...]:
        """The later clip's share in each dissolved picture: (i + 1) / (W + 1). The earlier clip has the rest."""
        return tuple((i + 1) / (self.dissolved + 1) for i in range(self.dissolved))


def join_of(chain: Chain, frames_per_latent: int = 1) -> Join:
    """How a clip joins the one before it.

    forward VidRD and windows share W pictures (above): left out, kept twice, or dissolved. reverse VidRD begins with
    the mirrored tail, so only its first picture shows what the clip before ended with: `drop` leaves that one out.
    An anchored clip begins with the picture that it was conditioned on.
    """
    if isinstance(chain, NoChain):
        return Join(0, 0, 0)
    if isinstance(chain, Anchor):
        return Join(1, 1, 0)
    if chain.overlap == 0:
        return Join(0, 0, 0)
    shared = 1 + frames_per_latent * (chain.overlap - 1)
    if isinstance(chain, Windows):
        return Join(shared, shared, 0)
    if chain.order == "reverse":
        shared = 1
    return Join(shared, shared if chain.joint == "drop" else 0, shared if chain.joint == "blend" else 0)


def check_chain_settings(chain: Chain, latent_frames: int, frames_per_latent: int = 1) -> None:
    """Can clips of this many latent frames be joined so?

    Raises:
        SpecError: a setting out of range, or one that makes no sense for this model; which, why, and what instead.
    """
    if isinstance(chain, Windows) and not 0 <= chain.overlap < latent_frames:
        raise SpecError(
            f"windows with overlap {chain.overlap} in clips of {latent_frames} latent frames: every clip must bring"
            f" new frames; give an overlap of 0 to {latent_frames - 1}"
        )
    if isinstance(chain, VidRD):
        _check_vidrd(chain, latent_frames, frames_per_latent)


def _check_vidrd(chain: VidRD, latent_frames: int, frames_per_latent: int) -> None:
    if not (0 <= chain.overlap <= latent_frames and 0 <= chain.beta <= 1 and 0 <= chain.alpha < float("inf")):
        raise SpecError(
            f"a chain with overlap {chain.overlap}, alpha {chain.alpha}, beta {chain.beta}; in clips of"
            f" {latent_frames} latent frames, overlap is 0 to {latent_frames}, alpha 0 or more, beta 0 to 1"
        )
    if chain.order == "reverse" and chain.joint == "blend":
        raise SpecError(
            "chain.boundary blend with order reverse: the shared frames play backwards in the later clip, so mixing the"
            " two would show each picture over another moment; use order forward, or boundary append or drop"
        )
    most = 1 + (frames_per_latent * (latent_frames - 1) - 1) // (2 * frames_per_latent)
    if chain.joint == "blend" and chain.overlap > most:
        raise SpecError(
            f"chain.boundary blend with overlap {chain.overlap} in clips of {latent_frames} latent frames: a clip is"
            f" dissolved at both ends, so the overlap takes up half of it at most; give at most {max(most, 0)}, or"
            " boundary drop"
        )
    if chain.order == "reverse" and frames_per_latent > 1 and chain.overlap and chain.beta:
        raise SpecError(
            f"chain.order reverse on a model whose latent frames hold {frames_per_latent} pictures each, in order:"
            " mirroring latent frames does not turn the time inside them, and the first, which holds one picture,"
            " cannot take the place of one that holds more; use order forward"
        )


def check_prior(prior: Prior, chain: Chain) -> None:
    """May this prior's noise be chained so?

    Raises:
        SpecError: FreeNoise under VidRD; both reuse noise, and a frame could meet its own again.
    """
    if isinstance(prior, FreeNoise) and isinstance(chain, VidRD):
        raise SpecError(
            "prior freenoise with chain vidrd: both bring back the noise of earlier frames, so a frame's noise could be"
            " mixed with itself, or stand twice in a clip; use chain windows or none with freenoise, or prior iid or"
            " pyoco with vidrd"
        )
