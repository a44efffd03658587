"""The scenes: seeded, in frame, captions that say what is drawn; the vocabulary: what is known, without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from shots.pocket import looks, scenes, vocabulary


def test_scenes_are_a_function_of_the_seed() -> None:
    one, two, other = (scenes.frames_uint8(scenes.draw(6, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert one.shape == (6, 8, 64, 64, 3)
    assert one.dtype == np.uint8
    assert (one == two).all()
    assert (one != other).any()


def test_subjects_stay_in_the_picture() -> None:
    drawn = scenes.draw(2000, np.random.default_rng(0))
    path = scenes.positions(drawn)
    assert path.min() > 14
    assert path.max() < 50


@pytest.mark.parametrize("motion", range(5))
def test_motion_is_as_named(motion: int) -> None:
    drawn = scenes.place(*(np.full(50, value) for value in (0, 0, motion, 0)), np.random.default_rng(0))
    shift = scenes.positions(drawn)[:, -1] - scenes.positions(drawn)[:, 0]
    if motion == looks.FLOATING:
        assert np.abs(shift).max() < 2.1
    else:
        assert ((shift * looks.STEPS[motion]).sum(1) > 12).all()


def test_training_never_draws_a_held_out_combination() -> None:
    drawn = scenes.draw(5000, np.random.default_rng(0), training=True)
    assert not scenes.held_out(drawn.colour, drawn.kind, drawn.motion, drawn.background).any()
    grid = np.meshgrid(range(5), range(4), range(5), range(5))
    share = scenes.held_out(*grid).mean()
    assert 0.05 < share < 0.15
    for values, hidden in zip(grid, [scenes.held_out(*grid)] * 4, strict=True):
        assert set(values[~hidden]) == set(values.ravel())


def test_captions_name_what_is_drawn() -> None:
    rng = np.random.default_rng(4)
    drawn = scenes.draw(300, rng)
    for index in range(300):
        text = scenes.caption(drawn, index, rng, drop=0.0)
        assert vocabulary.unknown_words(text) == []
        expected = {
            "colour": [looks.COLOUR_NAMES[drawn.colour[index]]],
            "kind": [looks.KIND_NAMES[drawn.kind[index]]],
            "motion": [looks.MOTION_NAMES[drawn.motion[index]]],
            "background": [looks.BACKGROUND_NAMES[drawn.background[index]]],
        }
        assert vocabulary.describe(text) == expected, text


def test_every_plain_prompt_is_understood() -> None:
    for colour, kind, motion, background in np.ndindex(5, 4, 5, 5):
        text = scenes.prompt_of(colour, kind, motion, background)
        assert vocabulary.unknown_words(text) == []
        assert len(text.split()) + 2 <= vocabulary.MAX_TOKENS


def test_unknown_words_are_named_once_and_in_order() -> None:
    prompt = "A RED dragon, drifting left; over the sea with a wizard and a dragon!"
    assert vocabulary.unknown_words(prompt) == ["dragon", "wizard"]
    assert vocabulary.unknown_words("a crimson ship sailing westward at dusk") == []
    assert vocabulary.unknown_words("") == []
    assert vocabulary.unknown_words("start") == ["start"], "phase words are for training only"


def test_no_word_means_two_things() -> None:
    words = [word for group in vocabulary.CONCEPTS.values() for word in group]
    assert len(words) == len(set(words))
    assert set(vocabulary.known_words()) == set(words) - set(vocabulary.PHASES)


def test_the_vocabulary_loads_no_torch() -> None:
    program = (
        "import sys; from shots.pocket.vocabulary import unknown_words; unknown_words('a red boat');"
        "assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_contact_sheet(tmp_path) -> None:  # type: ignore[no-untyped-def]
    scenes.main([str(tmp_path / "sheet.png"), "--n", "3"])
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
