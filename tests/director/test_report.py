"""Plans, results and findings on a terminal: text is shown as it was written."""

from director.doctor import Finding
from director.observer import FilmResult
from director.report import plan_json, show_findings, show_plan, show_results
from tests.director.conftest import shot
from tests.director.studio import Studio

ODD = "[/b] [red] :smile: x"


def test_brackets_in_title_prompt_and_findings_are_shown_as_they_are(film_studio: Studio, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    board = shot("a", frames=24, prompt=f"one {ODD}", beats=[{"at_frame": 12, "prompt": f"two {ODD}"}])
    plan = film_studio.plan(board, film={"title": f"Small {ODD}"})
    show_plan(film_studio.survey(plan))
    shown = capsys.readouterr().out
    for text in (f"Small {ODD}", f"one {ODD}", f"two {ODD}"):
        assert text in shown
    assert "NFE a clip" not in shown  # guidance alone: the table has said it
    show_results([FilmResult(plan, "failed", 1, 2, ["films/[b].mp4"], f"cut: {ODD}")])
    shown = capsys.readouterr().out
    assert "films/[b].mp4" in shown
    assert f"cut: {ODD}" in shown
    show_findings([Finding("disk", "bad", f"[Errno 28] {ODD}")])
    shown = capsys.readouterr().out
    assert "bad" in shown
    assert f"[Errno 28] {ODD}" in shown


def test_a_long_title_is_not_broken_at_the_width_of_the_table(film_studio: Studio, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    title = "The harbour at dawn, and all the boats that went out of it and did not come home"
    show_plan(film_studio.survey(film_studio.plan(shot("a", frames=8), film={"title": title})))
    assert capsys.readouterr().out.startswith(f"{title} (f): 8 frames, 1.0 s at 8 a second\n")


def test_a_plan_says_what_a_clip_costs_method_by_method(film_studio: Studio, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    recipe = {"stg": {"scale": 1.0, "stop": 0.5}, "videoguide": {"steps": 2, "tau": 3}}
    plan = film_studio.plan(
        shot("a", frames=24, recipe=recipe), shot("b", frames=8, recipe=recipe), shot("c", frames=8)
    )
    survey = film_studio.survey(plan)
    show_plan(survey)
    (line,) = [text for text in capsys.readouterr().out.splitlines() if "NFE a clip" in text]
    steps = plan.clips[0].spec.sampler.steps
    stg = round(steps / 2)
    assert line == f"a, b: {2 * steps + stg + 12} NFE a clip: {2 * steps} guidance, {stg} skip guidance, 12 VideoGuide"
    (film,) = plan_json([survey])["films"]
    assert film["clips"][0]["nfe"] == {"guidance": 2 * steps, "stg": stg, "videoguide": 12}
    assert film["clips"][-1]["nfe"] == {"guidance": 2 * steps}
    assert film["nfe"] == sum(sum(clip["nfe"].values()) for clip in film["clips"])
