"""The reader against scenes whose truth is known, and the measures against chains made to be good or bad."""

from __future__ import annotations

import numpy as np
import pytest

from shots.pocket import looks, measures, reader, scenes


@pytest.fixture(scope="module")
def truth() -> scenes.Scenes:
    return scenes.draw(200, np.random.default_rng(11))


@pytest.fixture(scope="module")
def clips(truth: scenes.Scenes) -> np.ndarray:
    return scenes.frames_uint8(truth)


@pytest.fixture(scope="module")
def readings(clips: np.ndarray) -> list[reader.Reading]:
    return [reader.read(clip) for clip in clips]


@pytest.mark.parametrize("attribute", ["colour", "kind", "motion", "background"])
def test_true_scenes_are_read_right(truth: scenes.Scenes, readings: list[reader.Reading], attribute: str) -> None:
    seen = [getattr(reader.summarise(reading), attribute) for reading in readings]
    assert (np.array(seen) == getattr(truth, attribute)).mean() >= 0.97


@pytest.mark.parametrize("attribute", ["colour", "kind", "background"])
def test_every_single_frame_is_read_right(truth: scenes.Scenes, readings: list[reader.Reading], attribute: str) -> None:
    right = [getattr(one, attribute) == getattr(truth, attribute)[i] for i, one in enumerate(readings)]
    assert np.mean(right) >= 0.97


def test_position_and_size_are_read_to_a_fraction_of_a_pixel(
    truth: scenes.Scenes, readings: list[reader.Reading]
) -> None:
    found = np.stack([np.stack([one.x, one.y], -1) for one in readings])
    assert np.abs(found - scenes.positions(truth)).mean() < 0.25
    assert np.abs(np.stack([one.size for one in readings]) - truth.radius[:, None]).mean() < 0.5


def test_an_empty_backdrop_has_no_subject(truth: scenes.Scenes) -> None:
    bare = scenes.backdrops(truth).round().byte().permute(0, 2, 3, 1).numpy()
    reading = reader.read(bare)
    assert (reading.colour == reader.MISSING).mean() > 0.9
    assert (reading.background == truth.background).mean() >= 0.97
    seen = reading.colour == reader.MISSING
    assert (reading.kind[seen] == reader.MISSING).all()
    assert np.isnan(reading.x[seen]).all()
    subject = reader.summarise(reader.read(np.repeat(bare[seen][:1], 8, 0)))
    assert subject.names()["motion"] == subject.names()["colour"] == "none"


def test_noise_and_flat_pictures_are_read_without_an_error() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    for frames, flat in ((noise, False), (np.zeros_like(noise), True), (np.full_like(noise, 255), True)):
        assert (measures.stability(frames).flicker == 0) == flat
        assert (measures.chain_report(frames, [0, 4])["seam_join"] == 0) == flat


@pytest.mark.parametrize("shape", [(8, 32, 32, 3), (64, 64, 3), (8, 3, 64, 64)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        reader.read(np.zeros(shape, np.uint8))


def one_clip(motion: str, frames: int = 8, centre: float = 32.0) -> np.ndarray:
    index = looks.MOTION_NAMES.index(motion)
    drawn = scenes.place(*(np.array([value]) for value in (0, 2, index, 0)), np.random.default_rng(3))
    drawn.centre_x[:] = centre
    return scenes.frames_uint8(drawn, frames)[0]


def test_a_chain_that_plays_backwards_is_caught() -> None:
    clip = one_clip("left")
    report = measures.chain_report(np.concatenate([clip, clip[::-1], clip]), [0, 8, 16])
    assert report["seam_ratio"] < 0.05, "a seam measure alone calls this perfect"
    assert report["mirror_motion"] > 0.8
    assert report["mirror_pixels"] > 0.9


def test_a_chain_that_goes_on_scores_well() -> None:
    report = measures.chain_report(one_clip("right", 16), [0, 8])
    assert 0.8 < report["seam_ratio"] < 1.3
    assert report["mirror_motion"] < -0.5
    assert abs(report["mirror_pixels"]) < 0.2
    assert abs(report["jump_px"]) < 0.3
    assert report["dynamic_degree"] > 1.7
    assert report["drift_background"] < 0.005


def test_a_chain_that_starts_anew_has_a_seam() -> None:
    clip = one_clip("right")
    report = measures.chain_report(np.concatenate([clip, clip]), [0, 8])
    assert report["seam_ratio"] > 3
    assert report["jump_px"] > 10
    assert report["mirror_pixels"] == -1


def test_floating_hardly_moves() -> None:
    report = measures.chain_report(one_clip("floating", 24), [0, 8, 16])
    assert report["dynamic_degree"] < 0.7
    assert abs(report["mirror_motion"]) < 0.5


def test_drift_sees_another_subject_and_another_background() -> None:
    rng = np.random.default_rng(0)
    drawn = scenes.place(np.array([0, 3]), np.array([2, 0]), np.array([4, 4]), np.array([0, 2]), rng)
    away = measures.drift(scenes.frames_uint8(drawn).reshape(16, 64, 64, 3), [0, 8])
    assert away.same_kind.tolist() == away.same_colour.tolist() == [1, 0]
    assert away.tint[0] == away.background[0] == 0
    assert away.tint[1] > 0.2
    assert away.background[1] > 0.2


@pytest.mark.parametrize("starts", [[], [1], [0, 0], [0, 8, 4], [0, 99]])
def test_bad_starts_are_refused(starts: list[int]) -> None:
    with pytest.raises(ValueError, match="starts"):
        measures.seams(one_clip("left"), starts)


def test_estimates_carry_their_error() -> None:
    assert measures.estimate([1.0] * 98).error == pytest.approx(0.01, rel=0.1)
    assert measures.estimate([1.0, 2.0, 3.0]).error == pytest.approx(1 / np.sqrt(3))
    assert measures.estimate([float("nan")]).n == 0
