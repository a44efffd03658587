"""What is cached, what must be rendered and why, against a real ledger and real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from director.changes import difference
from director.plan import plan
from director.planned import Plan, PlannedClip
from director.storyboard import load
from director.survey import Survey, survey
from storage.files import Files
from storage.ledger import Ledger
from storage.rows import TakeRow
from storage.states import ProductionState
from tests.director.conftest import HEAD, shot


class Studio:
    """A film that is edited, surveyed and rendered, with a few bytes in place of each clip's pixels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger.open(folder / "ledger.sqlite")
        self.files = Files(folder / "files")

    def plan(self, *shots: dict[str, Any], **parts: Any) -> Plan:
        path = self.folder / "film.json"
        path.write_text(json.dumps(HEAD | {"defaults": {"clip_frames": 8}, "shots": list(shots)} | parts))
        return plan(load(path)[0])

    def survey(self, *shots: dict[str, Any], **parts: Any) -> Survey:
        return survey(self.plan(*shots, **parts), self.ledger, self.files)

    def begin(self, made: Survey) -> int:
        p = made.plan
        return self.ledger.start_production(
            p.film, p.title, str(p.storyboard), p.storyboard_digest, p.to_json(), made.slate_rows()
        )

    def render(self, *shots: dict[str, Any], **parts: Any) -> Survey:
        made = self.survey(*shots, **parts)
        production = self.begin(made)
        for clip in made.missing:
            (attempt,) = self.ledger.begin_attempts(production, [clip.key], device="cpu", worker="local")
            self.ledger.finish_attempt(attempt, self.take(clip))
        self.ledger.end_production(production, ProductionState.DONE)
        return made

    def take(self, clip: PlannedClip) -> TakeRow:
        video, latents, tail = (self.files.put_bytes(f"{kind} {clip.key}".encode()) for kind in ("v", "l", "t"))
        spec = clip.spec
        seconds = {"network": 2.0, "vae": 0.5, "total": 2.5}
        return TakeRow(
            clip.key, video, latents, tail, spec.frames, spec.width, spec.height, "d", clip.nfe, seconds, 1_000,
            "0", model_digest=spec.model.digest,
        )  # fmt: skip


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path)
    yield studio
    studio.ledger.close()


A, B = shot("a", frames=20), shot("b", frames=20)  # four clips each, 8 + 4 + 4 + 4 frames


def why(made: Survey, name: str) -> list[str]:
    """`state: reasons` of each clip of a shot."""
    return [f"{c.state}: {'; '.join(c.why)}" for c in made.clips if c.clip.slate.shot == name]


def test_where_nothing_has_been_rendered_all_is_new(studio: Studio) -> None:
    made = survey(studio.plan(A, B), None, None)
    assert why(made, "a") == ["render: new"] * 4
    assert (len(made.missing), made.nfe, made.seconds, made.bytes) == (8, 400, None, None)
    assert studio.survey(A, B) == made


def test_a_rendered_film_is_cached(studio: Studio) -> None:
    studio.render(A, B)
    made = studio.survey(A, B)
    assert why(made, "a") + why(made, "b") == ["cached: "] * 8
    assert (made.missing, made.nfe, made.seconds, made.bytes) == ((), 0, 0.0, 0)
    assert set(made.takes) == {c.key for c in made.plan.clips}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"prompt": "a blue boat"}, 'prompt changed: "a red boat moving left over the sea by day" -> "a blue boat"'),
        ({"negative_prompt": "snow"}, 'negative prompt changed: "" -> "snow"'),
        ({"sampler": {"steps": 9}}, "steps changed: 25 -> 9"),
        ({"recipe": {"guidance": {"scale": 7.5}}}, "recipe: guidance.scale 3 -> 7.5"),
        ({"model": {"id": "pocket", "dtype": "float16"}}, "number format changed: float32 -> float16"),
    ],
)
def test_an_edit_is_named(edit: dict[str, Any], reason: str, studio: Studio) -> None:
    studio.render(A, B)
    made = studio.survey(A | edit, B)
    assert why(made, "a") == [f"render: {reason}"] * 4
    assert why(made, "b") == ["cached: "] * 4


def test_a_changed_seed_is_named(studio: Studio) -> None:
    studio.render(A | {"seed": 1})
    assert why(studio.survey(A | {"seed": 2}), "a") == ["render: seed changed: 1 -> 2"] * 4


def test_a_changed_size_is_one_change(studio: Studio) -> None:
    studio.render(A)
    film = HEAD["film"] | {"size": [96, 80]}  # type: ignore[operator]
    assert why(studio.survey(A, film=film), "a") == ["render: size changed: 64x64 -> 96x80"] * 4


def test_a_method_that_is_exchanged_is_named(studio: Studio) -> None:
    studio.render(shot("a", frames=8))
    made = studio.survey(shot("a", frames=8, recipe={"prior": {"kind": "pyoco", "alpha": 0.5}}))
    assert why(made, "a") == ["render: prior: iid -> pyoco (mode progressive, alpha 0.5)"]


def test_a_change_travels_down_its_chain(studio: Studio) -> None:
    beat = {"beats": [{"at_frame": 8, "prompt": "a blue boat"}, {"at_frame": 12, "prompt": A["prompt"]}]}
    studio.render(A)
    assert why(studio.survey(A | beat), "a") == [
        "cached: ",
        'render: prompt changed: "a red boat moving left over the sea by day" -> "a blue boat"',
        "render: clip 2 of this chain changed",
        "render: clip 2 of this chain changed",
    ]


def test_a_longer_shot_renders_its_end(studio: Studio) -> None:
    studio.render(A)
    made = studio.survey(A | {"frames": 28}, B)
    assert why(made, "a") == ["cached: "] * 4 + ["render: the shot has become longer"] * 2
    assert why(made, "b") == ["render: new"] * 4


def test_a_take_is_found_wherever_it_was_made(studio: Studio) -> None:
    studio.render(A | {"seed": 1})
    studio.render(A | {"seed": 2})
    assert why(studio.survey(A | {"seed": 1}), "a") == ["cached: rendered before, in another version or film"] * 4
    moved = studio.survey(shot("renamed", frames=20, seed=2))
    assert why(moved, "renamed") == [f"cached: rendered before as a/{k}" for k in (1, 2, 3, 4)]


def test_the_same_clip_in_two_places_is_rendered_once(studio: Studio) -> None:
    made = studio.survey(A | {"seed": 1}, B | {"seed": 1})
    assert why(made, "b") == [f"render: the same clip as a/{k}: rendered once" for k in (1, 2, 3, 4)]
    assert (len(made.missing), made.nfe) == (4, 200)


def test_a_lost_file_is_told_and_its_take_not_offered(studio: Studio) -> None:
    made = studio.render(A)
    lost = made.missing[1].key
    studio.files.remove(studio.ledger.takes([lost])[lost].video)
    again = studio.survey(A)
    assert why(again, "a") == ["cached: ", "render: file damaged: video file missing", "cached: ", "cached: "]
    assert again.damaged == {lost: "video file missing"}
    assert lost not in again.takes


def test_a_dropped_take_is_told(studio: Studio) -> None:
    made = studio.render(A)
    studio.ledger.drop_take(made.missing[0].key, "hash differs")
    assert why(studio.survey(A), "a") == ["render: file damaged: hash differs", *["cached: "] * 3]


def test_what_failed_or_was_not_reached_is_told(studio: Studio) -> None:
    made = studio.survey(A)
    production = studio.begin(made)
    (attempt,) = studio.ledger.begin_attempts(production, [made.missing[0].key], device="cpu", worker="local")
    studio.ledger.fail_attempt(attempt, "BadFootage", "frame 3 is not a number\nmore of it")
    assert why(studio.survey(A), "a") == [
        "render: failed before: frame 3 is not a number",
        *["render: new (planned before, not rendered yet)"] * 3,
    ]


def test_estimates_come_from_measurements_of_this_model(studio: Studio) -> None:
    studio.render(A)
    made = studio.survey(A, B)
    assert made.seconds == pytest.approx(4 * 2.5)
    assert made.bytes == 4_000
    twice = studio.survey(
        A, B | {"clip_frames": 16, "sampler": {"steps": 50}}
    )  # two clips, twice as long and as many steps
    assert twice.seconds == pytest.approx(2 * 4 * 2.5)
    assert twice.bytes == 2 * 2_000


def test_the_ledger_records_the_reasons(studio: Studio) -> None:
    studio.render(A)
    rows = studio.survey(A | {"seed": 9}, B).slate_rows()
    assert [(r.shot, r.clip) for r in rows] == [(s, k) for s in "ab" for k in (1, 2, 3, 4)]
    assert rows[0].why.startswith("seed changed: ")
    assert json.loads(rows[0].spec_json)["seed"] == 9


def test_a_survey_changes_nothing(studio: Studio) -> None:
    studio.render(A)
    studio.files.remove(next(iter(studio.files.ids())))
    assert studio.survey(A, B) == studio.survey(A, B)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("red", "blue", '"red" -> "blue"'),
        (
            "x" * 40 + " red boat " + "y" * 40,
            "x" * 40 + " blue boat " + "y" * 40,
            '"...xxxxxxxxxxxxxxx red boat yyyyyyyyyy..." -> "...xxxxxxxxxxxxxxx blue boat yyyyyyyyyy..."',
        ),
        ("a" * 100, "a" * 100 + " b", '"...aaaaaaaaaaaaaaaa" -> "...aaaaaaaaaaaaaaaa b"'),
    ],
)
def test_long_texts_are_shown_where_they_differ(old: Any, new: Any, shown: str) -> None:
    assert difference(old, new) == shown


def test_texts_that_differ_throughout_stay_short() -> None:
    assert len(difference("a" * 9_000, "b" * 9_000)) < 250
