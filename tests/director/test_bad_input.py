"""Every kind of bad storyboard has its own message, with its place, and none is a traceback."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from director.errors import Problem, StoryboardError
from director.plan import plan
from director.storyboard import load

OK = """\
schema: longtake.storyboard.v1
film: {id: f, fps: 8}
shots:
  - id: a
    prompt: a red boat
    seconds: 1
"""
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)
)


def refused(path: Path | str | list[Path]) -> StoryboardError:
    with pytest.raises(StoryboardError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return caught.value


def lines(path: Path | str | list[Path]) -> list[str]:
    """The problems, without folders."""
    return [str(p).replace(f"{Path(p.file).parent}/", "") for p in refused(path).problems]


# ---- files that are no storyboard ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.yaml: the file is empty; `longtake new FILE` writes a starter"),
        (b"# a comment\n", "x.yaml: the file is empty; `longtake new FILE` writes a starter"),
        (bytes(range(256)), "x.yaml: not a text file (it holds zero bytes); a storyboard is YAML or JSON in UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "x.yaml: not UTF-8 text (byte 0, line 1); save it as UTF-8"),
        (b"a: 1\nb: caf\xe9\n", "x.yaml: not UTF-8 text (byte 11, line 2); save it as UTF-8"),
        (b"a: [1, 2\nb: {", "x.yaml:2:2: not YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        (
            b"film:\n\tid: 3\n",
            "x.yaml:2:1: not YAML: while scanning for the next token, found character '\\t' that cannot start any "
            "token; indent with spaces",
        ),
        (b"a: \x01\n", "x.yaml:1:4: not YAML: a control character that no text should hold"),
        (
            b"- a\n",
            "x.yaml: not a storyboard: it must be fields with values, beginning with `schema:` and `film:`",
        ),
        (
            b"hello",
            "x.yaml: not a storyboard: it must be fields with values, beginning with `schema:` and `film:`",
        ),
        (b"a: 1\nb: 2\na: 3\n", "x.yaml:3:1: field 'a' stands here a second time (first in line 1)"),
        (b"1: 2\n", "x.yaml:1:1: the name of a field must be text, not 1"),
        (b"? [a]\n: 1\n", "x.yaml:1:3: the name of a field must be text, not ['a']"),
        (b"a: &a [*a]\n", "x.yaml:1:8: *a stands inside the value that it names"),
        (b'a: "\\ud800"\n', "x.yaml:1:4: half of a character stands here (a lone surrogate escape)"),
        (b"a: *b\n", "x.yaml:1:4: *b names an anchor that is not defined above"),
        (b"a: " + b"[" * 100_000, "x.yaml:1:27: nested too deeply; allowed: 24 levels"),
        (
            b"a: &a {x: 1}\nb: {<<: *a}\n",
            "x.yaml:2:5: merge keys (<<) are not read; allowed: `defaults` for what all shots share, or an alias",
        ),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            "x.yaml:1:4: a tag (tag:yaml.org,2002:python/object/apply:os.system) stands here; "
            "allowed: plain values; remove the tag, or quote the text",
        ),
        (
            b"a: !mine x\n",
            "x.yaml:1:4: a tag (!mine) stands here; allowed: plain values; remove the tag, or quote the text",
        ),
        (b"a: 1\n---\nb: 1\n", "x.yaml:2:1: a second YAML document begins here; allowed: one storyboard a file"),
        (
            BOMB.encode(),
            "x.yaml:6:35: more than 1000000 values, an alias counted as all that it stands for; allowed: fewer values",
        ),
    ],
)
def test_a_text_that_is_not_one_plain_document(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert lines(path) == [message]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1,}', "x.json:1:9: not JSON: Expecting property name enclosed in double quotes"),
        ('{"a": 1,\n "a": 2}', "x.json:2:2: field 'a' stands here a second time (first in line 1)"),
        ('{"a": NaN}', "x.json: not JSON: NaN is not a number that JSON knows"),
        ('{"a": ' + "9" * 5000 + "}", "x.json: not JSON: a number of thousands of digits"),
        ("[" * 100_000, "x.json: nested too deeply; allowed: 24 levels"),
    ],
)
def test_a_text_that_is_not_json(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert lines(path)[0].startswith(message)


def test_an_alias_bomb_is_refused_without_being_expanded(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BOMB)
    began = time.process_time()
    refused(path)
    assert time.process_time() - began < 1


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 2**20)
    assert lines(path) == ["x.yaml: too large for a storyboard (50 MB); allowed: 10 MB"]


def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "film.yaml").write_text(OK)
    assert lines(tmp_path / "pipe.yaml") == ["pipe.yaml: not a regular file"]
    assert "a folder, not a storyboard file; name the files in it" in lines(tmp_path)[0]
    assert lines(tmp_path / "*.yml") == ["*.yml: no file matches this pattern; look at it with `ls`"]
    (missing,) = lines(tmp_path / "fillm.yaml")
    assert missing.startswith("fillm.yaml: no such file; did you mean '")
    assert missing.endswith("film.yaml'?")
    assert lines([]) == ["storyboards: none given; name at least one file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(OK)
    path.chmod(0)
    assert lines(path) == ["x.yaml: cannot be read: Permission denied"]


# ---- fields -------------------------------------------------------------------------------------

SHOT = "film.yaml:6:14: shot 'a', seconds: "
FIELDS = [
    ("seconds: 1", "seconds: 0", SHOT + "duration out of range (given: 0); allowed: a number of seconds, above 0 "
     "and at most 14400"),
    ("seconds: 1", "seconds: -2.5", SHOT + "duration out of range (given: -2.5); allowed: a number of seconds, "
     "above 0 and at most 14400"),
    ("seconds: 1", "seconds: 1e9", SHOT + "duration out of range (given: 1000000000.0); allowed: a number of "
     "seconds, above 0 and at most 14400"),
    ("seconds: 1", "seconds: .nan", SHOT + "duration out of range (given: nan); allowed: a number of seconds, "
     "above 0 and at most 14400"),
    ("seconds: 1", "seconds: two", SHOT + "not a number of seconds (given: 'two'); allowed: a number of seconds, "
     "above 0 and at most 14400"),
    ("seconds: 1", "seconds: 0.01", SHOT + "shorter than half a frame at 8 frames a second (given: 0.01); "
     "allowed: at least 0.125 seconds, which is one frame"),
    ("seconds: 1", "frames: 0", "film.yaml:6:13: shot 'a', frames: out of range (given: 0); allowed: at least 1"),
    ("seconds: 1", "frames: 2.5", "film.yaml:6:13: shot 'a', frames: must be a whole number (given: 2.5)"),
    ("seconds: 1", "frames: 1\n    seconds: 1", "film.yaml:6:13: shot 'a', frames: both seconds and frames are "
     "given; allowed: one of the two"),
    ("seconds: 1", "notes: x", "film.yaml:4:5: shot 'a': neither seconds nor frames is given; allowed: one of the two"),
    ("prompt: a red boat", 'prompt: " "', "film.yaml:5:13: shot 'a', prompt: the prompt is empty (given: ' '); "
     "allowed: text of 1 to 10000 characters"),
    ("prompt: a red boat", "prompt: 12", "film.yaml:5:13: shot 'a', prompt: not text; put it in quotes (given: 12); "
     "allowed: text of 1 to 10000 characters"),
    ("prompt: a red boat", "promt: a red boat", "film.yaml:4:5: shot 'a': field 'prompt' is missing"),
    ("id: a", "id: a/b", "film.yaml:4:9: shot 'a/b', id: not an id (given: 'a/b'); allowed: 1 to 64 letters, "
     "digits, - and _, beginning with a letter or digit"),
    ("id: a", "id: 10", "film.yaml:4:9: shot 1, id: an id is text; put it in quotes (given: 10); allowed: 1 to 64 "
     "letters, digits, - and _, beginning with a letter or digit"),
    ("id: a", "notes: a", "film.yaml:4:5: shot 1: field 'id' is missing"),
    ("fps: 8", "fps: fast", "film.yaml:2:20: film.fps: not a frame rate (given: 'fast'); allowed: frames a second "
     'from 1 to 240: a number such as 24 or 23.976, or a ratio such as "30000/1001"'),
    ("fps: 8", "fps: 8, seed: -1", "film.yaml:2:29: film.seed: out of range (given: -1); allowed: at least 0"),
    ("fps: 8", "fps: 8, seed: 9223372036854775808", "film.yaml:2:29: film.seed: out of range (given: "
     "9223372036854775808); allowed: at most 9223372036854775807"),
    ("fps: 8", "fps: 8, size: [64]", "film.yaml:2:29: film.size: not a size (given: a list of 1); allowed: "
     "[width, height] in pixels, each from 16 to 8192"),
    ("fps: 8", "fps: 8, size: 70x64", "film.yaml:2:29: film.size: model pocket cannot make 70x64; width and height "
     "must be multiples of 16. The nearest size is 64x64; the model was made for 64x64"),
    ("v1", "v2", "film.yaml:1:9: schema: this storyboard is written for a newer longtake; update longtake (given: "
     "'longtake.storyboard.v2'); allowed: longtake.storyboard.v1 (known here)"),
    ("longtake.storyboard.v1", "moviola", "film.yaml:1:9: schema: unknown schema (given: 'moviola'); allowed: "
     "longtake.storyboard.v1"),
    ("schema: longtake.storyboard.v1", "notes: x", "film.yaml:1:1: field 'schema' is missing; allowed: `schema: "
     "longtake.storyboard.v1` as the first line"),
    ("seconds: 1", "seconds: 1\n    transition: crossfad", "film.yaml:7:17: shot 'a', transition.kind: not one of "
     "the known values (given: 'crossfad'); allowed: cut, crossfade, fade; did you mean 'crossfade'?"),
    ("seconds: 1", "seconds: 1\n    recipe: standart", "film.yaml:7:13: shot 'a', recipe.preset: no such recipe "
     "(given: 'standart'); allowed: standard, draft, long_take, film, windows, independent, published/vidrd, "
     "published/pyoco, published/videoguide, published/stg, published/iv_mixed; "
     "did you mean 'standard'?"),
    ("seconds: 1", "seconds: 1\n    recipe: {stg: {scales: 1}}", "film.yaml:7:20: shot 'a', recipe.stg: unknown field "
     "'scales'; allowed: use, scale, mode, layers, part, rescale, start, stop; did you mean 'scale'?"),
    ("seconds: 1", "seconds: 1\n    recipe: {guidance: {kind: VideoGuide}}", "film.yaml:7:31: shot 'a', "
     "recipe.guidance.kind: not one of the known values (given: 'VideoGuide'); allowed: cfg, cfg_plus_plus"),
    ("seconds: 1", "seconds: 1\n    recipe: {prior: {kind: iid, alpha: 1}}", "film.yaml:7:40: shot 'a', "
     "recipe.prior.alpha: iid has no setting 'alpha' (given: 1.0); allowed: no settings"),
    ("seconds: 1", "seconds: 1\n    recipe: {guidance: {kind: cfg_plus_plus, scale: 3}}", "film.yaml:7:53: shot 'a', "
     "recipe.guidance.scale: out of range for cfg_plus_plus (given: 3.0); allowed: 0 to 1"),
    ("seconds: 1", "seconds: 1\n    clip_frames: 33", "film.yaml:7:18: shot 'a', clip_frames: pocket cannot make "
     "clips of this many frames (given: 33); allowed: 1 to 32 frames"),
    ("seconds: 1", "seconds: 1\n    clip_frames: 16\n    recipe: {chain: {overlap: 16}}", "film.yaml:8:31: shot 'a', "
     "recipe.chain.overlap: the chain's overlap 16 leaves no new frames in clips of 16 latent frames; "
     "allowed: 0 to 15"),
    ("seconds: 1", "seconds: 1\n    title: {text: x, colour: blak}", "film.yaml:7:30: shot 'a', title.colour: not a "
     "colour (given: 'blak'); allowed: \"#rrggbb\" (in quotes), or a name: black, white, grey, gray, silver, red, "
     "maroon, orange, yellow, gold, green, lime, teal, cyan, blue, navy, purple, magenta, pink, brown; "
     "did you mean 'black'?"),
    ("seconds: 1", "seconds: 1\n    title: {text: x, over: shot}", "film.yaml:7:12: shot 'a', title: a title of 16 "
     "frames is longer than its shot; allowed: at most 8 frames, or `over: card`"),
    ("seconds: 1", "seconds: 1\n    transition: crossfade", "film.yaml:7:17: shot 'a', transition: the first shot "
     "has nothing before it to crossfade from; allowed: cut, fade, or a title card"),
    ("seconds: 1", "seconds: 1\n    transition: {kind: cut, seconds: 1}", "film.yaml:7:38: shot 'a', "
     "transition.seconds: a cut has no seconds; allowed: crossfade or fade, or no such field"),
    ("seconds: 1", "seconds: 1\n    audio: [{file: x.wav, gain: .inf}, ../x.wav, /etc/x.wav]", "film.yaml:7:20: shot "
     "'a', audio[0].file: no such sound file in FOLDER (given: 'x.wav')"),
    ("seconds: 1", "seconds: 1\nbed: film.yaml", "film.yaml:7:6: bed.file: not a sound file that can be decoded "
     "(given: 'film.yaml')"),
    ("seconds: 1", "seconds: 1\nbed: .", "film.yaml:7:6: bed.file: not a file (given: '.')"),
    ("seconds: 1", "seconds: 1\ndeliver: a/b", "film.yaml:7:10: deliver[0].name: not a plain file name (given: "
     "'a/b'); allowed: a file name without folder, such as harbour or harbour.mp4"),
    ("seconds: 1", "seconds: 1\ndeliver: [{name: F}, {}]", "film.yaml:7:22: deliver[1].name: two deliveries would be "
     "written to f.mp4; allowed: a name of its own for each"),
    ("seconds: 1", "seconds: 1\ndeliver: {name: f.mov}", "film.yaml:7:17: deliver[0].name: codec h264 is written to "
     ".mp4 files (given: 'f.mov'); allowed: .mp4 or no suffix"),
    ("seconds: 1", "seconds: 1\ndefaults: {sampler: {steps: 2000}}", "film.yaml:7:29: defaults.sampler.steps: out of "
     "range (given: 2000); allowed: at most 1000"),
    ("seconds: 1", "seconds: 1\n  - nothing", "film.yaml:7:5: shot 2: must be a mapping of fields (given: 'nothing')"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"), FIELDS, ids=[f"{i}-{new[:40]}" for i, (_, new, _) in enumerate(FIELDS)]
)
def test_the_first_problem_of_a_field(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    assert OK.count(old) == 1
    path.write_text(OK.replace(old, new))
    assert str(refused(path).problems[0]) == f"{tmp_path}/{message}".replace("FOLDER", str(tmp_path))


def test_a_model_that_is_not_here(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(OK + "defaults: {model: pockett}\n")
    (problem,) = refused(path).problems
    assert str(problem).startswith(f"{path}:7:19: defaults.model: no model 'pockett' here")
    assert "'pocket'" in problem.what  # the nearest


def test_the_good_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(OK)
    assert load(path)[0].shots[0].timed.frames == 8


def test_paths_stay_below_the_storyboards_folder(write: Any, shot_of: Any) -> None:
    escapes = ["../x.wav", "a/../../x.wav", "/etc/passwd", "~/x.wav", "C:\\x.wav", "\\\\host\\x.wav", "..\\x.wav"]
    problems = refused(write(shots=[shot_of("a", audio=escapes)])).problems
    assert len(problems) == len(escapes)
    assert all("the storyboard's folder" in p.what for p in problems)


def test_a_link_that_leads_out_of_the_folder(write: Any, sound: Path, tmp_path: Path, shot_of: Any) -> None:
    """A storyboard from somebody else, with a link in its folder, reads nothing that lies beside the folder."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "bed.wav").symlink_to(sound)
    (project / "sounds").symlink_to(sound.parent)
    (project / "round.wav").symlink_to(project / "round.wav")
    shots = [shot_of("a", audio=[{"file": "sounds/harbour.wav"}, {"file": "round.wav"}])]
    path = write(name="project/film.yaml", bed="bed.wav", shots=shots)
    told = [p.what for p in refused(path).problems]
    assert sum(what == f"a link leads out of the storyboard's folder, to {sound}" for what in told) == 2
    assert len(told) == 3
    (project / "bed.wav").unlink()
    (project / "real.wav").write_bytes(sound.read_bytes())
    (project / "bed.wav").symlink_to("real.wav")
    assert load(write(name="project/film.yaml", bed="bed.wav", shots=[shot_of("a")]))[0].bed is not None
    (tmp_path / "elsewhere").symlink_to(project)
    assert load(tmp_path / "elsewhere/film.yaml")[0].bed is not None  # the folder itself may be reached by a link


def test_a_prompt_of_a_hundred_thousand_characters(write: Any, shot_of: Any) -> None:
    (problem,) = refused(write(shots=[shot_of("a", prompt="boat " * 20_000)])).problems
    assert problem.what == "the prompt is too long (99999 characters)"
    assert problem.allowed == "text of 1 to 10000 characters"
    assert len(str(problem)) < 400


def test_two_shots_of_one_id(write: Any, shot_of: Any) -> None:
    (problem,) = refused(write(shots=[shot_of("a"), shot_of("b"), shot_of("a")])).problems
    assert problem.what.startswith("this shot id stands a second time (first in line ")
    assert problem.given == "'a'"


@pytest.mark.parametrize(
    ("transition", "what", "allowed"),
    [
        ({"kind": "crossfade", "frames": 9}, "a crossfade of 9 frames is longer than the shot that it leads into", 8),
        ({"kind": "fade", "frames": 17}, "a fade of 17 frames is longer than the shot that it leads into", 16),
    ],
)
def test_a_transition_longer_than_its_shot(
    transition: dict[str, Any], what: str, allowed: int, write: Any, shot_of: Any
) -> None:
    shots = [shot_of("a"), shot_of("b", frames=8, transition=transition)]
    (problem,) = refused(write(shots=shots)).problems
    assert (problem.what, problem.allowed) == (what, f"at most {allowed} frames")


def test_a_transition_longer_than_what_it_leaves(write: Any, shot_of: Any) -> None:
    cross = {"kind": "crossfade", "frames": 9}
    (problem,) = refused(write(shots=[shot_of("a", frames=8), shot_of("b", transition=cross)])).problems
    assert problem.what == "a crossfade of 9 frames is longer than what it leaves, shot 'a'"
    card = {"text": "x", "frames": 4}
    (problem,) = refused(write(shots=[shot_of("a"), shot_of("b", transition=cross, title=card)])).problems
    assert problem.what == "a crossfade of 9 frames is longer than what it leaves, its title card"


def test_transitions_that_meet_in_the_middle_of_a_shot(write: Any, shot_of: Any) -> None:
    cross = {"kind": "crossfade", "frames": 5}
    shots = [shot_of("a"), shot_of("b", frames=9, transition=cross), shot_of("c", transition=cross)]
    (problem,) = refused(write(shots=shots)).problems
    assert problem.what == "the transitions into and out of shot 'b' share frames (5 + 5 of 9)"
    shots[1]["frames"] = 10
    load(write(shots=shots))


def test_a_film_of_too_many_clips(write: Any, shot_of: Any) -> None:
    shots = [shot_of("a"), shot_of("long", seconds=14_400, clip_frames=1)]
    (problem,) = refused(write(shots=shots)).problems
    assert problem.what == "the film needs 115203 clips, this shot alone 115200"


def test_two_storyboards_of_one_film(write: Any) -> None:
    first, second = write("one.yaml"), write("two.yaml")
    (problem,) = refused([first, second]).problems
    assert (Path(problem.file).name, problem.where) == ("two.yaml", "film.id")
    assert problem.what == f"film 'f' is also the film of {first}; one call can make a film once"
    assert len(load([first, first])) == 1  # the same file twice is one


def test_all_problems_of_all_files_are_told_at_once_in_order(write: Any, shot_of: Any) -> None:
    def broken(id: str) -> list[dict[str, Any]]:
        return [
            shot_of("a", seconds=0, colour=1),
            shot_of("b", prompt="", audio=["no.wav"]),
            shot_of("b", clip_frames=99),
        ]

    first = write("one.yaml", shots=broken("x"), film={"fps": 8, "tilte": "x"})
    second = write("two.yaml", shots=broken("x"), film={"id": "g"}, defaults={"model": "nowhere"})
    problems = refused([first, second]).problems
    places = [(Path(p.file).name, p.line, p.column) for p in problems]
    assert places == sorted(places)
    named = [(p.where, p.what.split(" (")[0]) for p in problems if p.file == str(first)]
    assert named == [
        ("film", "unknown field 'tilte'"),
        ("shot 'a', seconds", "duration out of range"),
        ("shot 'a'", "unknown field 'colour'"),
        ("shot 'b', prompt", "the prompt is empty"),
        ("shot 'b', audio[0].file", f"no such sound file in {first.parent}"),
        ("shot 'b', id", "this shot id stands a second time"),
        ("shot 'b', clip_frames", "pocket cannot make clips of this many frames"),
    ]
    assert "defaults.model" in [p.where for p in problems if p.file == str(second)]


def test_a_long_list_of_problems_is_cut(write: Any, shot_of: Any) -> None:
    error = refused(write(shots=[shot_of(f"s{i}", x=1) for i in range(60)]))
    assert len(error.problems) == 60
    assert str(error).endswith("... and 10 more problems")


def test_a_default_is_blamed_once(write: Any, shot_of: Any) -> None:
    error = refused(write(shots=[shot_of(f"s{i}") for i in range(5)], defaults={"clip_frames": 64}))
    assert [p.where for p in error.problems] == ["defaults.clip_frames"]


# ---- anything at all ----------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(LEAVES, lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=5), t, max_size=3))
FULL = {
    "schema": "longtake.storyboard.v1",
    "film": {"id": "f", "fps": 8, "size": [64, 64], "seed": 1, "title": "F"},
    "defaults": {"model": "pocket", "recipe": {"chain": {"overlap": 2}}, "sampler": {"steps": 5}, "clip_frames": 8},
    "shots": [
        {
            "id": id,
            "prompt": "a red boat",
            "frames": 20,
            "beats": [{"at": 1, "prompt": "a blue boat"}],
            "title": {"text": "x", "seconds": 1, "colour": "red"},
            "transition": {"kind": "fade", "frames": 4},
            "recipe": {"guidance": {"scale": 2}, "prior": "pyoco"},
        }
        for id in "ab"
    ],
    "deliver": [{"name": "f", "size": [64, 64]}],
}


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at] + [p for step, child in children for p in places(child, (*at, step))]


def with_value(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[place[0]] = with_value(copy[place[0]], place[1:], value)
    return copy


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(places(FULL)), ANYTHING)
def test_whatever_stands_anywhere_is_planned_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    path = tmp_path_factory.mktemp("x") / "film.yaml"
    path.write_text(json.dumps(with_value(FULL, place, value)).replace("NaN", ".nan").replace("Infinity", ".inf"))
    try:
        plan(load(path)[0])
        problems: tuple[Problem, ...] = ()
    except StoryboardError as error:
        problems = error.problems
    assert all(p.line or not place for p in problems)
    assert all(len(str(p)) < 1_000 for p in problems)
