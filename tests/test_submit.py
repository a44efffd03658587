"""Runs on a real cluster: a Ray head with its dashboard and a Postgres with a password, and what is said when things
are gone."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from director import runs
from director.drive import drive
from director.errors import UsageError
from director.package import contents, pack
from director.places import Places
from director.plan import plan
from director.session import Session, look
from director.stop import Stop
from director.storyboard import load
from director.submit import check_hooks, sent
from storage.address import parse
from storage.files import Files
from storage.ledger import Ledger
from storage.states import RunState
from tests.commandline import SMALL, Longtake, decoded
from tests.nodes import until as wait
from tests.postgres import PASSWORD
from tests.storage.test_upgrade import rows_of

HUB = "hf-0fTheHub417s3cret"
ODD = "a $(touch pwned); 'night' \"film\" & more.yaml"
SOUND = "it's $(touch pwned).wav"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def head(environment: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """A real Ray head with a dashboard: its address, and the folder of its logs."""
    folder = Path(tempfile.mkdtemp(prefix="lt-ray-", dir="/tmp"))  # a socket's path must be short
    dashboard = free_port()
    options = ["--head", "--block", f"--port={free_port()}", "--num-cpus=2", f"--temp-dir={folder}"]
    options += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--disable-usage-stats"]
    options += [f"--dashboard-agent-listen-port={free_port()}"]  # other tests' clusters may have the usual one
    patient = environment | {"RAY_raylet_start_wait_time_s": "120", "RAY_AUTH_MODE": "token"}
    with (folder / "start.log").open("w") as log:
        command = [str(Path(sys.executable).parent / "ray"), "start", *options]
        process = subprocess.Popen(command, cwd=folder, env=patient, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 150
        while not answers(dashboard):
            assert process.poll() is None, (folder / "start.log").read_text()
            assert time.monotonic() < deadline, "the dashboard does not answer"
            time.sleep(0.3)
        yield f"http://127.0.0.1:{dashboard}", folder
    finally:
        family = [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=45)
        for each in [process, *family]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                each.kill()
        shutil.rmtree(folder, ignore_errors=True)


def answers(port: int) -> bool:
    """Whether the dashboard is there: it lets us in, or says that it wants a token."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/api/jobs/", timeout=2).status_code in (200, 401)
    return False


def run_of(longtake: Longtake, run: str) -> dict[str, object]:
    (found,) = json.loads(longtake("status", run, "--json").stdout)["runs"]
    return dict(found)


def until(ledger: Ledger, run: str, wanted: RunState, film: str = "") -> None:
    """Wait until the ledger has a run in a state, and with `film` until a clip of it is being rendered."""
    deadline = time.monotonic() + 150
    while True:
        found = ledger.find_run(run)
        assert found is not None
        begun = not film or ((made := ledger.film(film)) is not None and rendering(ledger, made.last.id))
        if found.last.state is wanted and begun:
            return
        assert time.monotonic() < deadline, (found, begun)
        time.sleep(0.2)


def rendering(ledger: Ledger, production: int) -> bool:
    return any(a.production == production for slate in ledger.slates(production) for a in ledger.attempts(slate.key))


@pytest.mark.timeout(1200)
def test_a_run_is_killed_paused_resumed_and_done_and_its_secrets_stay_here(
    longtake: Longtake, tmp_path: Path, postgres_url: str
) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / SOUND).write_bytes(silence())
    board = SMALL.replace("frames: 26", "frames: 50").replace("steps: 4", "steps: 6") + f'bed: "{SOUND}"\n'
    (tmp_path / "boards" / ODD).write_text(board)
    longtake.environment |= {"LONGTAKE_DB_URL": postgres_url, "HF_TOKEN": HUB, "RAY_AUTH_MODE": "token"}
    with head(longtake.environment) as (address, logs), Ledger.open(postgres_url) as ledger:
        options = ("--address", address, "--cameras", "1", "--lockstep", "3")
        run = longtake("submit", f"boards/{ODD}", *options, "--gpu-hours", "8").stdout.strip()
        shutil.rmtree(tmp_path / "boards")  # whoever rendered from here would not get far

        until(ledger, run, RunState.RUNNING, "small")
        driver = ledger.find_run(run).last.pid  # type: ignore[union-attr]
        os.kill(driver, signal.SIGKILL)
        while (found := run_of(longtake, run))["state"] == "running":
            time.sleep(0.3)
        assert found["state"] == "lost", found
        assert f"longtake resume {run}" in str(found["next"])
        (film,) = json.loads(longtake("status", "small", "--json").stdout)["films"]
        assert film["next"].endswith(f"longtake resume {run}")

        longtake("resume", run)
        until(ledger, run, RunState.RUNNING, "small")
        paused = longtake("pause", run, "--wait", timeout=600)
        assert f"{run} paused" in paused.stdout
        assert "there is nothing to pause" in longtake("pause", run, code=2).stderr

        done = longtake("resume", run, "--gpu-hours", "9", "--wait", timeout=600)
        assert f"{run} is done" in done.stderr
        assert ledger.find_run(run).options["rendering"]["gpu_hours"] == 8  # type: ignore[union-attr, index, call-overload]
        assert "--gpu-hours=9.0" in done.stdout, "in the line of its job"
        assert "small" in longtake("logs", run).stdout
        assert "is done" in longtake("resume", run, code=2).stderr
        assert run in longtake("runs").stdout
        found = run_of(longtake, run)
        assert [each["state"] for each in found["submissions"]] == ["lost", "paused", "done"]  # type: ignore[attr-defined]
        assert {p.run for p in ledger.productions("small")} == {run}
        other = board.replace("id: small", "id: other").replace("seed: 7", "seed: 8").replace(f'bed: "{SOUND}"', "")
        cancelled(longtake, ledger, other, options)
        nothing_secret(longtake, logs, postgres_url)
    assert decoded(tmp_path / "films/small.mp4")
    assert not list(tmp_path.rglob("pwned"))
    assert json.loads(longtake("verify", "--json").stdout)["ok"]


def cancelled(longtake: Longtake, ledger: Ledger, board: str, options: tuple[str, ...]) -> None:
    """A run of one shot is cancelled while its log is followed: it ends at once and in order, and holds nothing."""
    (longtake.folder / "other.yaml").write_text(board)
    mark = longtake.folder / "it's begun; $(touch pwned)"
    chosen = ("--shot", "other.yaml:dawn", "--hook", f"film_begun={shlex.join(['touch', str(mark)])}")
    options = (*options, "--checkpoint-every", "1 step")
    run = longtake("submit", "other.yaml", *options, *chosen).stdout.strip()
    until(ledger, run, RunState.RUNNING, "other")
    checkpoints = longtake.folder / ".longtake/files/checkpoints"
    wait(lambda: list(checkpoints.glob("*")))
    assert "only: other:dawn" in longtake("runs").stdout
    followed = longtake.start("logs", "-f", run)
    assert f"{run} cancelled" in longtake("cancel", run, "--wait", timeout=600).stdout
    log, _ = followed.communicate(timeout=120)
    assert followed.returncode == 0
    assert "asked to cancel" in log, "it was followed to its end"
    assert mark.exists()

    assert "there is nothing to cancel" in longtake("cancel", run, code=2).stderr
    assert "was cancelled; submit its storyboards again" in longtake("resume", run, code=2).stderr
    assert "next: longtake render " in longtake("status", "other").stdout, "not what is refused"
    assert list(checkpoints.glob("*")), "what was sampled is not lost"
    assert not ledger.holds()
    (made,) = ledger.productions("other")
    assert made.run == run
    states = {str(a.state) for slate in ledger.slates(made.id) for a in ledger.attempts(slate.key)}
    assert "interrupted" in states <= {"done", "interrupted"}
    longtake("render", "other.yaml", "--shot", "dawn/1", "--progress", "plain", code=3)  # nobody stands in the way
    keys = [slate.key for slate in ledger.slates(ledger.productions("other")[0].id) if slate.shot == "night"]
    assert keys
    assert not [ledger.attempts(key) for key in keys if ledger.attempts(key)], "nor was it ever rendered"


def silence() -> bytes:
    import io
    import wave

    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))
    return stream.getvalue()


def nothing_secret(longtake: Longtake, logs: Path, url: str) -> None:
    """Neither the ledger's password nor the hub's token in job metadata, in any log of Ray, or in the ledger."""
    code = (
        "from ray.job_submission import JobSubmissionClient as J\n"
        "c = J()\nfor j in c.list_jobs(): print(j, j.submission_id and c.get_job_logs(j.submission_id))"
    )
    address = ledger_address(url)
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=longtake.environment | {"RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.count("director drive") >= 4
    assert "JobStatus.RUNNING" not in told, "a run's job ends with it"
    texts = {"jobs": told, "ledger": str(rows_of(url))}
    texts |= {str(path): path.read_text(errors="replace") for path in logs.rglob("*") if readable(path)}
    for where, text in texts.items():
        for secret in (PASSWORD, parse(url).secrets[-1], HUB):
            assert secret not in text, where


def readable(path: Path) -> bool:
    return path.is_file() and path.suffix in (".log", ".out", ".err", ".json", ".txt", "")


def ledger_address(url: str) -> str:
    with Ledger.open(url) as ledger:
        return ledger.runs()[0].last.address


class TestGone:
    """What is said when there is no cluster, or none that knows the run."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> str:
        """A run whose cluster is gone, as it stands in the ledger after one."""
        small = tmp_path / "small.yaml"
        small.write_text(SMALL.replace("frames: 26", "frames: 8").replace("steps: 4", "steps: 2"))
        files = Files(tmp_path / ".longtake/files")
        package = pack(contents([plan(board) for board in load(small)]), files)
        with Ledger.open(tmp_path / ".longtake/ledger.sqlite") as ledger:
            options = {
                "rendering": {"progress": "plain"},
                "store": str(files.root),
                "films": None,
                "usual_films": str(tmp_path / "films"),
                "data": str(tmp_path / ".longtake"),
                "database": parse(tmp_path / ".longtake/ledger.sqlite").bare,
                "code_version": "0.0",
            }
            address = f"http://127.0.0.1:{free_port()}"
            ledger.add_run("small-1234", package, ["small"], options, "longtake-small-1234-1", address)
        return "small-1234"

    @pytest.fixture
    def session(self, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "set anew by whoever asks a cluster")
        with look(Places(tmp_path / ".longtake", tmp_path / "films")) as opened:
            yield opened

    def test_no_dashboard_at_the_address(self, longtake, small, tmp_path):
        port = free_port()
        refused = longtake("submit", "small.yaml", "--address", f"http://127.0.0.1:{port}", code=1)
        assert f"no Ray dashboard answers at 'http://127.0.0.1:{port}'" in refused.stderr
        assert "--address or RAY_ADDRESS" in refused.stderr
        assert not (tmp_path / ".longtake").exists(), "nothing was begun"

    def test_a_silent_run_is_unknown_at_first_then_lost_and_never_done(self, session, run):
        ledger, found = runs.find(session, run)
        assert runs.standing(ledger, found).state == "unknown"
        with ledger._write() as connection:
            connection.exec_driver_sql("UPDATE submissions SET submitted_at = submitted_at - 3600000000")
        lost = runs.standing(ledger, runs.find_again(ledger, found))
        assert (lost.state, lost.over, lost.exit_code) == ("lost", True, 75)
        assert "its driver never began, and the cluster does not answer" in lost.note
        assert f"longtake resume {run}" in runs.document(lost)["next"]
        with pytest.raises(UsageError, match="is lost: there is nothing to pause"):
            runs.pause(ledger, runs.find_again(ledger, found))
        with ledger._write() as connection:  # the moment that the driver comes back
            connection.exec_driver_sql("UPDATE submissions SET heard_at = ended_at + 1")
        assert runs.standing(ledger, runs.find_again(ledger, found)).state == "running"
        with ledger._write() as connection:
            connection.exec_driver_sql("UPDATE submissions SET heard_at = NULL")
        gone = runs.cancel(ledger, runs.find_again(ledger, found))
        assert (gone.state, gone.note) == ("cancelled", "cancelled when it was lost")
        with pytest.raises(UsageError, match="is cancelled"):
            runs.cancel(ledger, gone.run)

    def test_a_driver_that_is_heard_is_running_although_the_cluster_is_out_of_reach(self, session, run):
        ledger, found = runs.find(session, run)
        ledger.run_begins(run, 1)
        heard = runs.standing(ledger, runs.find_again(ledger, found))
        assert (heard.state, heard.over) == ("running", False)
        assert "the cluster does not answer from here" in heard.note
        assert runs.pause(ledger, heard.run).state == "running"
        assert ledger.run_wish(run) == "pause"

    def test_a_run_can_be_driven_by_hand_without_its_cluster(self, longtake, session, run, tmp_path):
        (tmp_path / "small.yaml").unlink()
        database = parse(tmp_path / ".longtake/ledger.sqlite").bare
        done = longtake("drive", run, "--on", "local", "--db", database)
        assert "the run was submitted by longtake 0.0" in done.stderr
        assert decoded(tmp_path / "films/small.mp4")
        ledger, found = runs.find(session, run)
        assert runs.standing(ledger, found).state == "done"
        assert not (tmp_path / ".longtake/runs/small-1234").exists()

    def test_a_run_whose_hours_are_spent_says_what_goes_on(self, longtake, session, run, tmp_path):
        database = parse(tmp_path / ".longtake/ledger.sqlite").bare
        longtake("render", "small.yaml", "--shot", "night", code=3)  # hours are spent before it begins
        longtake("drive", run, "--on", "local", "--db", database, "--gpu-hours", "1e-9", code=5)
        ledger, found = runs.find(session, run)
        spent = runs.standing(ledger, found)
        assert (spent.state, spent.exit_code) == ("spent", 5)
        assert runs.document(spent)["next"].endswith(f"longtake resume {run} --gpu-hours HOURS")

    def test_nodes_are_set_aside_and_taken_back_by_hand(self, longtake):
        longtake("nodes", "--set-aside", "farm3", "--reason", "a new disk")
        assert longtake("nodes").stdout == "farm3 gets no work: a new disk\n"
        assert longtake("nodes", "--take-back", "farm3").stdout == "no node is set aside\n"
        assert "--take-back farm3: it is not set aside" in longtake("nodes", "--take-back", "farm3", code=2).stderr

    def test_an_address_with_a_password_is_not_recorded(self):
        with pytest.raises(UsageError, match="holds a password") as refused:
            runs.reach("https://me:s3cr3t-w0rd@head:8265")
        assert "s3cr3t" not in str(refused.value)

    def test_a_hook_that_may_hold_a_secret_is_not_recorded(self):
        check_hooks(["film_done=https://farm.example/done", "film_done=notify 'a film'"])
        with pytest.raises(UsageError, match="stands in the ledger; say it in LONGTAKE_HOOKS") as refused:
            check_hooks(["film_done=https://hooks.example/services/T0123456789abcdef"])
        assert "T0123456789abcdef" not in str(refused.value)
        with pytest.raises(UsageError, match="there is no event 'film_over'"):
            check_hooks(["film_over=notify"])

    def test_names_that_nobody_knows(self, session, run, tmp_path, monkeypatch):
        monkeypatch.delenv("LONGTAKE_DB_URL", raising=False)
        with pytest.raises(UsageError, match=r"holds no run 'other'; it holds: small-1234"):
            runs.find(session, "other")
        with pytest.raises(UsageError, match="no ledger that this machine knows holds the run other"):
            drive("other", None, str(tmp_path / ".longtake/ledger.sqlite"), {"on": "local"}, Stop())
        with pytest.raises(UsageError, match="--send NO_SUCH"):
            sent(["NO_SUCH"])
        assert runs.runs_among(session, ["other"]) == ([], ["other"])
