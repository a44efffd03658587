"""Real renders: hours that are spent, and clips that two processes want at the same time."""

import json
import re
import subprocess

import pytest

from tests.commandline import SMALL, Longtake


def test_a_film_stops_when_its_hours_are_spent_and_goes_on_with_more(longtake, small):
    stopped = longtake("render", "small.yaml", "--gpu-hours", "1e-6", "--json", code=5)
    (only,) = json.loads(stopped.stdout)["films"]
    assert only["state"] == "spent"
    assert "1e-06 are allowed" in only["message"]
    found = re.search(r"and (\S+) are spent.* say --gpu-hours (\S+)$", only["message"])
    assert float(found[1]) < float(found[2]), "with that many it would go on"
    before = only["rendered"]
    (found,) = json.loads(longtake("status", "--json").stdout)["films"]
    assert (found["state"], found["done"]) == ("partial", before)
    again = longtake("render", "small.yaml", "--gpu-hours", "1e-6", "--json", code=5)
    assert json.loads(again.stdout)["films"][0]["rendered"] == 0
    (done,) = json.loads(longtake("render", "small.yaml", "--gpu-hours", "100", "--json").stdout)["films"]
    assert (done["state"], done["cached"]) == ("done", before)


def test_a_deadline_that_is_no_time_is_refused(longtake, small):
    refused = longtake("render", "small.yaml", "--deadline", "tomorrow", code=2)
    assert "07:00" in refused.stderr


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_two_processes_that_want_the_same_clips_render_each_once(longtake, small, where, request):
    if where == "postgres":
        longtake.environment["LONGTAKE_DB_URL"] = request.getfixturevalue("postgres_url")
    (small.parent / "other.yaml").write_text(SMALL.replace("id: small", "id: other"))
    those = [longtake.start("render", f"{name}.yaml", "--json") for name in ("small", "other")]
    said = [process.communicate(timeout=600) for process in those]
    assert [process.returncode for process in those] == [0, 0], said
    films = [json.loads(out)["films"][0] for out, _ in said]
    keys = {clip["key"] for film in _plans(longtake) for clip in film["clips"]}
    assert sum(film["rendered"] for film in films) == len(keys)
    from storage.ledger import Ledger

    url = longtake.environment.get("LONGTAKE_DB_URL") or small.parent / ".longtake/ledger.sqlite"
    with Ledger.open(url, create=False) as ledger:
        assert {len(each) for each in ledger.attempts_of(keys).values()} == {1}


def _plans(longtake: Longtake) -> list[dict]:
    shown: subprocess.CompletedProcess = longtake("plan", "*.yaml", "--json")
    return json.loads(shown.stdout)["films"]
