"""Lineage in the forms of others, redacted, compared: from a real film's own record."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from director.compare import compare, show_diff
from director.errors import UsageError
from director.lineage import find, of_file
from director.provenance import check_format, export, openlineage, prov
from director.redaction import is_redacted, redacted
from storage.rows import TakeRow
from tests.director.conftest import shot
from tests.director.studio import Studio

A, B = shot("a", frames=12), shot("b", frames=8, prompt="a yellow moon")  # two clips and one


@pytest.fixture
def finished(film_studio: Studio) -> Studio:
    film_studio.render(film_studio.plan(A, B))
    return film_studio


@pytest.fixture
def record(finished: Studio) -> dict:
    return of_file(finished.places.films / "f.mp4")


def test_prov_names_everything_that_it_relates(record: dict) -> None:
    made = prov(record)
    nodes = {kind: set(made[kind]) for kind in ("entity", "activity", "agent")}
    ends = {"prov:entity": "entity", "prov:generatedEntity": "entity", "prov:usedEntity": "entity"}
    ends |= {"prov:activity": "activity", "prov:agent": "agent"}
    relations = [
        r for kind in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith") for r in made[kind].values()
    ]
    assert len(relations) > 10
    for relation in relations:
        for end, id in relation.items():
            assert id in nodes[ends[end]], (end, id)
    assert {id.partition(":")[0] for ids in nodes.values() for id in ids} == {"longtake"} == set(made["prefix"])
    keys = [clip["key"] for clip in record["clips"]]
    derived = {(r["prov:generatedEntity"], r["prov:usedEntity"]) for r in made["wasDerivedFrom"].values()}
    takes = [f"longtake:take-{key}" for key in keys]
    assert derived == {(takes[1], takes[0]), *(("longtake:film-f", take) for take in takes)}
    assert made["entity"][takes[2]]["longtake:prompt"] == "a yellow moon"
    assert made["activity"]["longtake:cut-f"]["prov:endTime"] == record["time"]


def test_prov_of_a_clip_alone_names_the_one_it_continues(finished: Studio) -> None:
    made = prov(find("f:a/2", finished.session))
    assert sum(id.startswith("longtake:take-") for id in made["entity"]) == 2
    assert len(made["wasDerivedFrom"]) == 1


def test_openlineage_events_have_what_the_specification_asks_for(record: dict) -> None:
    events = [json.loads(line) for line in export(record, "openlineage").splitlines()]
    assert events == list(openlineage(record))
    assert [event["job"]["name"] for event in events] == ["shoot.f.a.1", "shoot.f.a.2", "shoot.f.b.1", "cut.f"]
    for event in events:
        assert {"eventTime", "producer", "schemaURL", "run", "job", "eventType"} <= event.keys()
        uuid.UUID(event["run"]["runId"])
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        for facets in (event["run"]["facets"], *(d["facets"] for d in event["inputs"] + event["outputs"])):
            assert all({"_producer", "_schemaURL"} <= facet.keys() for facet in facets.values())
    names = [{(d["namespace"], d["name"]) for d in event["outputs"]} for event in events]
    inputs = {(d["namespace"], d["name"]) for d in events[3]["inputs"]}
    assert names[0] | names[1] | names[2] <= inputs
    assert names[0] <= {(d["namespace"], d["name"]) for d in events[1]["inputs"]}
    assert len({event["run"]["runId"] for event in events}) == 4


def test_the_same_lineage_is_exported_the_same(record: dict) -> None:
    for form in ("json", "prov", "openlineage"):
        assert export(record, form) == export(json.loads(json.dumps(record)), form)
    with pytest.raises(UsageError, match="tree, json, prov, openlineage"):
        check_format("xml")


@pytest.mark.parametrize("form", ["json", "prov", "openlineage"])
def test_redacted_prompts_are_nowhere(record: dict, form: str) -> None:
    record["clips"][0]["attempts"] = [{"state": "failed", "message": f"BadFootage at {A['prompt']!r}", "worker": "w"}]
    text = export(redacted(record, ["prompts"]), form)
    assert A["prompt"] not in text
    assert "a yellow moon" not in text
    assert "redacted:" in text


def test_redacted_texts_stay_equal_where_they_were(record: dict) -> None:
    hidden = redacted(record, ["prompts"])
    prompts = [clip["spec"]["prompt"] for clip in hidden["clips"]]
    assert prompts[0] == prompts[1] != prompts[2]
    assert [clip["spec"]["seed"] for clip in hidden["clips"]] == [clip["spec"]["seed"] for clip in record["clips"]]
    assert (is_redacted(hidden), is_redacted(record)) == (True, False)
    assert redacted(record, []) == record
    with pytest.raises(UsageError, match="choose from: prompts"):
        redacted(record, ["seeds"])


def test_a_film_and_its_cut_before_are_compared(finished: Studio, capsys) -> None:
    finished.render(finished.plan(A | {"prompt": "a blue boat"}, B, shot("c", frames=8)))
    found = compare(finished.session, "f@2", "f")
    assert (found["only_a"], found["only_b"], found["equal"]) == ([], ["c/1"], False)
    changed = {clip["place"]: clip["changes"] for clip in found["clips"] if clip["changes"]}
    assert changed == {f"a/{n}": [f'prompt changed: "{A["prompt"]}" -> "a blue boat"'] for n in (1, 2)}
    show_diff(found)
    assert "+ c/1" in capsys.readouterr().out
    assert compare(finished.session, "f", "f@1")["equal"]
    assert A["prompt"] not in json.dumps(compare(finished.session, "f@2", "f", ["prompts"]))
    with pytest.raises(UsageError, match="f@3: f has been cut 2 times"):
        compare(finished.session, "f@3", "f")
    with pytest.raises(UsageError, match="'f' is a film and 'f:a/1' is a clip"):
        compare(finished.session, "f", "f:a/1")


def test_takes_are_compared_by_number(finished: Studio, monkeypatch) -> None:
    def other(self: Studio, clip) -> TakeRow:
        from dataclasses import replace

        return replace(made(self, clip), frames_digest="e", environment={"host": "elsewhere", "device": "cuda"})

    made = Studio._take
    monkeypatch.setattr(Studio, "_take", other)
    finished.render(finished.plan(A | {"sampler": {"steps": 9}}, B))
    (clip,) = compare(finished.session, "1", "f:a/1")["clips"]
    assert clip["changes"] == ["steps changed: 25 -> 9"]
    assert clip["pictures"] == "different"
    assert clip["made"] == ["device cpu -> cuda", "host here -> elsewhere"]


def test_a_film_tells_of_the_clips_that_its_own_continue(finished: Studio) -> None:
    """After a pin, the clip before the pinned one is not in the film, and its spec is."""
    from director.choices import arranged
    from director.pins import pin

    pin(finished.session, "a/2")
    edited = arranged(finished.plan(A | {"prompt": "a blue boat"}, B), finished.ledger)
    finished.render(edited)
    record = of_file(finished.places.films / "f.mp4")
    second = record["clips"][1]
    assert second["instead"] == "pinned: take 2"
    assert [other["index"] for other in record["others"]] == [0]
    from shots.spec import ClipSpec

    assert ClipSpec.from_dict(record["others"][0]).key == second["spec"]["previous"]


def test_attempts_are_in_the_lineage_with_their_errors_and_log_tails(film_studio: Studio) -> None:
    plan = film_studio.plan(B)
    production = film_studio.begin(plan)
    (attempt,) = film_studio.ledger.begin_attempts(production, [plan.clips[0].key], "cpu", "w1")
    film_studio.ledger.fail_attempt(attempt, "BadFootage", "nan", "trace", "the last words")
    film_studio.render(plan)
    failed, done = find("f:b/1", film_studio.session)["attempts"]
    assert (failed["error"], failed["log_tail"], done["state"]) == ("BadFootage", "the last words", "done")
    (clip,) = of_file(film_studio.places.films / "f.mp4")["clips"]
    assert [a["error"] for a in clip["attempts"]] == ["BadFootage", None]


def test_a_copy_without_prompts_shows_the_same_pictures(finished: Studio, tmp_path: Path) -> None:
    from director.retag import without
    from tests.commandline import decoded

    film, copy = finished.places.films / "f.mp4", tmp_path / "copy.mp4"
    without(film, copy, ["prompts"])
    assert decoded(copy) == decoded(film)
    assert b"a yellow moon" in film.read_bytes()
    assert b"a yellow moon" not in copy.read_bytes()
    assert is_redacted(of_file(copy))
    for out, said in ((film, "take the place"), (tmp_path / "x.mkv", "mp4")):
        with pytest.raises(UsageError, match=said):
            without(film, out, ["prompts"])


def test_a_clip_file_without_lineage_is_no_clip(finished: Studio, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        compare(finished.session, str(tmp_path / "nothing.mkv"), "f")
