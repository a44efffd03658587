"""Plans, results and findings on a terminal: text is shown as it was written."""

from director.doctor import Finding
from director.observer import FilmResult
from director.report import show_findings, show_plan, show_results
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
    show_results([FilmResult(plan, "failed", 1, 2, ["films/[b].mp4"], f"cut: {ODD}")])
    shown = capsys.readouterr().out
    assert "films/[b].mp4" in shown
    assert f"cut: {ODD}" in shown
    show_findings([Finding("disk", "bad", f"[Errno 28] {ODD}")])
    shown = capsys.readouterr().out
    assert "bad" in shown
    assert f"[Errno 28] {ODD}" in shown
