"""What storyboards may say, in YAML and JSON, and what they come to."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from director.errors import OutputUnwritable
from director.plan import plan
from director.schema import schema, schema_text
from director.starter import starter
from director.starter import write as write_starter
from director.storyboard import load
from director.syntax import read_json, read_yaml
from shots.spec import Cfg, CfgPlusPlus, Iid, NoChain, Pyoco, VidRD

EXAMPLES = Path(__file__).parents[2] / "examples"


# ---- the two syntaxes ---------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn")), max_size=12).filter(lambda t: t != "<<")
trees = st.recursive(leaves | names, lambda t: st.lists(t, max_size=4) | st.dictionaries(names, t, max_size=4))


@settings(max_examples=80, deadline=None)
@given(trees, st.sampled_from([None, 0, 1, "\t"]))
def test_json_reads_as_the_standard_library_reads_it(tree: Any, indent: Any) -> None:
    text = json.dumps(tree, indent=indent)
    assert read_json(text).data == tree


@settings(max_examples=80, deadline=None)
@given(trees)
def test_a_json_text_is_the_same_in_yaml_values_and_places(tree: Any) -> None:
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    as_json, as_yaml = read_json(text), read_yaml(text)
    assert as_yaml.data == as_json.data
    for path in _paths(tree):
        assert as_yaml.find(path) == as_json.find(path)
        assert as_yaml.find(path, key=True) == as_json.find(path, key=True)


def _paths(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at] + [p for step, child in children for p in _paths(child, (*at, step))]


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "1:30", "0x1f", "010", "1_000", "2026-11-21", "~", "null", "true", "False", "-3", "+4",
     "1.", ".5", "1e3", "1.5E-3", "", "'1'", '"true"', "a b", "#x", "x # y", ">-\n  folded\n  text", "|\n  kept\n"],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str) -> None:
    ours = read_yaml(f"a: {text}\n").data["a"]
    core = YAML(typ="safe", pure=True).load(f"a: {text}\n")["a"]
    beyond_core = {"0x1f": "0x1f", "1_000": "1_000", "2026-11-21": "2026-11-21"}  # ruamel's own; text to us
    assert ours == beyond_core.get(text, core)
    assert type(ours) is type(beyond_core.get(text, core))


def test_a_rare_character_written_in_two_escapes_is_one() -> None:
    text = json.dumps({"a": "\U0001f6a2"})
    assert text == '{"a": "\\ud83d\\udea2"}'
    assert read_yaml(text).data == read_json(text).data == {"a": "\U0001f6a2"}


def test_an_alias_is_what_it_names() -> None:
    document = read_yaml("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}
    assert document.data["a"] is document.data["c"]


def test_places_are_those_of_the_text() -> None:
    document = read_yaml('a: 1\nb:\n  - {é: 2, "c": [3]}\n')
    assert document.find(("b", 0, "c", 0)) == (3, 18)
    assert document.find(("b", 0, "c"), key=True) == (3, 12)
    assert document.find(("b", 0, "missing", "deeper")) == (3, 5)


# ---- fields -------------------------------------------------------------------------------------


def settled(path: Path) -> Any:
    (storyboard,) = load(path)
    return storyboard.shots


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (8, Fraction(8)),
        (23.976, Fraction(2997, 125)),
        ("30000/1001", Fraction(30000, 1001)),
        (29.97, Fraction(2997, 100)),
    ],
)
def test_rates_are_exact(fps: Any, exact: Fraction, write: Any) -> None:
    assert load(write(film={"fps": fps}))[0].board.film.fps == exact


@pytest.mark.parametrize(("colour", "rgb"), [("Navy", (0, 0, 128)), ("#0b1026", (11, 16, 38)), ("#FFFFFF", (255,) * 3)])
def test_colours(colour: str, rgb: tuple[int, ...], write: Any, shot_of: Any) -> None:
    (shot,) = settled(write(shots=[shot_of("a", transition={"kind": "fade", "colour": colour})]))
    assert shot.timed.transition.colour == rgb


def test_a_bare_value_stands_for_its_mapping(write: Any, shot_of: Any, sound: Path) -> None:
    short = shot_of("a", model="pocket", recipe="draft", title="Hello", transition="fade", audio=["audio/harbour.wav"])
    long = shot_of(
        "a",
        model={"id": "pocket"},
        recipe={"preset": "draft"},
        title={"text": "Hello", "seconds": 2},
        transition={"kind": "fade", "seconds": 0.5},
        audio=[{"file": "audio/harbour.wav"}],
    )
    shorter = plan(load(write("s.yaml", shots=[short], deliver="x", bed="audio/harbour.wav"))[0])
    longer = plan(load(write("l.yaml", shots=[long], deliver=[{"name": "x"}], bed={"file": "audio/harbour.wav"}))[0])
    assert shorter == longer


def test_recipes_stack(write: Any, shot_of: Any) -> None:
    defaults = {"clip_frames": 8, "recipe": {"guidance": {"scale": 5}, "chain": {"overlap": 2}}}
    shots = [
        shot_of("film"),
        shot_of("changed", recipe={"chain": {"beta": 1}}),
        shot_of("anew", recipe="published/pyoco"),
        shot_of("anew-changed", recipe={"preset": "published/vidrd", "chain": {"order": "forward"}}),
        shot_of(
            "other", recipe={"guidance": "cfg_plus_plus", "chain": "none", "prior": {"kind": "pyoco", "mode": "mixed"}}
        ),
    ]
    film, changed, anew, anew_changed, other = (s.recipe for s in settled(write(defaults=defaults, shots=shots)))
    assert (film.guidance, film.prior, film.chain) == (Cfg(5.0), Iid(), VidRD(overlap=2))
    assert (changed.guidance, changed.chain) == (Cfg(5.0), VidRD(overlap=2, beta=1.0))
    assert (anew.guidance, anew.prior, anew.chain) == (Cfg(), Pyoco("progressive", 2.0), NoChain())
    assert (anew_changed.guidance, anew_changed.chain) == (Cfg(10.0), VidRD(4, 4.0, 0.4, "staged", "forward"))
    assert (other.guidance, other.prior, other.chain) == (CfgPlusPlus(), Pyoco("mixed"), NoChain())


def test_steps_come_from_the_shot_then_the_film_then_the_preset(write: Any, shot_of: Any) -> None:
    shots = [shot_of("a"), shot_of("b", recipe="draft"), shot_of("c", recipe="draft", sampler={"steps": 3})]
    assert [s.sampler.steps for s in settled(write(shots=shots))] == [25, 8, 3]
    film = {"clip_frames": 8, "sampler": {"steps": 11}}
    assert [s.sampler.steps for s in settled(write(shots=shots, defaults=film))] == [11, 11, 3]


def test_an_overlap_that_nobody_wrote_fits_short_clips_and_says_so(write: Any, shot_of: Any) -> None:
    (shot,) = settled(write(shots=[shot_of("a", clip_frames=4)]))
    assert shot.recipe.chain.overlap == 2
    assert shot.notes == ("the chain's overlap 4 leaves no new frames in clips of 4 latent frames: made 2",)


def test_a_prompt_is_one_line_however_it_is_folded(tmp_path: Path) -> None:
    text = (EXAMPLES / "minimal.yaml").read_text()
    path = tmp_path / "a.yaml"
    path.write_text(text.replace("prompt: a red boat", "prompt: >\n      a red\n      boat  "))
    assert load(path)[0].shots[0].timed.beats == load(EXAMPLES / "minimal.yaml")[0].shots[0].timed.beats


def test_lists_and_globs(write: Any, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(f"{name}.yaml", film={"id": name})
    films = [s.board.film.id for s in load([tmp_path / "c.yaml", str(tmp_path / "*.yaml")])]
    assert films == ["c", "a", "b"]


# ---- what ships ---------------------------------------------------------------------------------


@pytest.fixture
def examples(tmp_path: Path, sound: Path) -> Path:
    """The examples, with a short silence as their sound."""
    for path in EXAMPLES.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def plain(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def test_the_schema_that_ships_is_the_models_own() -> None:
    shipped = (EXAMPLES / "storyboard.schema.json").read_text()
    assert shipped == schema_text(), "run: longtake schema > examples/storyboard.schema.json"
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_field_of_the_schema_is_described() -> None:
    bare = [
        f"{name}.{field}"
        for name, part in _mappings(schema())
        for field, value in part["properties"].items()
        if "description" not in value and "$ref" not in value and "anyOf" not in value
    ]
    assert bare == []


def _mappings(made: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    parts = [(n, p) for n, d in made["$defs"].items() for p in (d, *d.get("anyOf", [])) if "properties" in p]
    return [("storyboard", made), *parts]


def test_the_examples_load_and_fit_the_schema(examples: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    paths = sorted(examples.glob("*.yaml"))
    assert [p.stem for p in paths] == ["every_field", "harbour", "methods", "minimal"]
    for path, storyboard in zip(paths, load(paths), strict=True):
        assert list(validator.iter_errors(plain(path))) == []
        assert path.read_text().startswith("# yaml-language-server: $schema=storyboard.schema.json\n")
        assert plan(storyboard).warnings == ()


def test_every_field_is_shown_by_the_example_of_every_field(examples: Path) -> None:
    text = (examples / "every_field.yaml").read_text()
    missing = {f for _, part in _mappings(schema()) for f in part["properties"] if f"{f}:" not in text}
    assert missing == set()


@pytest.mark.parametrize(
    "edit",
    [
        {"film": {"id": "f", "fps": 8, "colour": 1}},
        {"shots": []},
        {"shots": [{"id": "a", "prompt": "x"}]},
        {"shots": [{"id": "a", "prompt": "x", "seconds": 1, "frames": 2}]},
        {"shots": [{"id": "a", "prompt": "x", "seconds": 1, "transition": "wipe"}]},
    ],
)
def test_the_schema_refuses_what_load_refuses(edit: dict[str, Any], write: Any) -> None:
    path = write()
    data = json.loads(path.read_text()) | edit
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(data))


def test_the_harbour_is_a_film_worth_watching(examples: Path) -> None:
    made = plan(load(examples / "harbour.yaml")[0])
    kinds = [s.transition.kind for s in made.shots]
    assert len(made.shots) >= 5
    assert max(len(s.clips) for s in made.shots) >= 6
    assert "crossfade" in kinds
    assert any(s.transition.kind == "fade" and s.transition.colour != (0, 0, 0) for s in made.shots)
    assert any(s.title for s in made.shots)
    assert made.bed is not None
    assert made.deliver[0].size == (512, 512)


@pytest.mark.parametrize("name", ["film.yaml", "My Film!.yaml", "--.yaml"])
def test_the_starter_is_a_storyboard(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_starter(path)
    made = plan(load(path)[0])
    assert made.warnings == ()
    assert len(made.shots) == 3
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(plain(path))) == []
    with pytest.raises(OutputUnwritable, match="exists and is left as it is"):
        write_starter(path)
    assert path.read_text() == starter(path)


def test_a_starter_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputUnwritable, match="cannot be written: No such file or directory"):
        write_starter(tmp_path / "no" / "film.yaml")
