"""Web addresses and commands that are told of what happens: a real server, real commands, and what must not happen."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.job import Failure, Worker
from director import hook_targets, hooks
from director.addresses import EVENTS
from director.errors import StoryboardError, UsageError
from director.hooks import Hooks, targets
from director.observer import FilmResult, Observers
from director.plan import plan
from director.planned import Plan
from director.storyboard import load
from tests.director.test_progress import PLAN, SEGMENT, TAKE

WORKER = Worker("local", "here", 1, "cpu", "0")


class Server:
    """Keeps what is posted to it. answers: the codes that it gives, one after another, and then 200.

    silent: it never answers.
    """

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[int] = []
        self.silent = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers), json.loads(body)))
                if outer.silent.is_set():
                    while outer.silent.is_set():
                        time.sleep(0.01)
                    return
                code = outer.answers.pop(0) if outer.answers else 200
                self.send_response(code)
                if code in (301, 302, 307):
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self, path: str) -> list[str]:
        return [document["event"] for at, _, document in self.got if at == path]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(hook_targets, "PAUSES", (0.02, 0.02, 0.02))
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    yield server
    server.silent.clear()
    server.server.shutdown()
    server.server.server_close()


def story(told: Hooks, state: str = "done", plan: Plan = PLAN) -> None:
    """A film of two clips, one of which fails."""
    watch = Observers([told])
    watch.film_begins(plan, 2, 1)
    segment = replace(SEGMENT, film=plan.film)
    watch.clip_done(segment, 0, TAKE_OF_A_KEY)
    watch.job_failed(segment, Failure("BadFootage", "nan"), 1, False)
    watch.job_failed(segment, Failure("BadFootage", "nan"), 3, True)
    watch.film_ends(FilmResult(plan, state, 1, 1, ["films/harbour.mp4", "films/harbour.contact.png"], "", 2.5))  # type: ignore[arg-type]
    watch.close()


class _Take:
    frames, key = TAKE.frames, "k1"


TAKE_OF_A_KEY: Any = _Take()


def test_every_event_reaches_its_address_in_order(server: Server) -> None:
    story(Hooks(targets([f"{event}={server.url}/all" for event in EVENTS], "")))
    assert server.events("/all") == ["film_begun", "clip_done", "shot_failed", "film_done"]
    (done,) = [document for _, _, document in server.got if document["event"] == "film_done"]
    assert done | {"time": ""} == {
        "schema": "longtake.event.v1", "event": "film_done", "time": "", "film": "harbour", "title": "Harbour [/b]",
        "storyboard": ".", "state": "done", "file": str(Path("films/harbour.mp4").absolute()),
        "files": [str(Path(name).absolute()) for name in ("films/harbour.mp4", "films/harbour.contact.png")],
        "message": "", "rendered": 1, "cached": 1, "seconds": 2.5,
    }  # fmt: skip
    (failed,) = [document for _, _, document in server.got if document["event"] == "shot_failed"]
    assert (failed["shot"], failed["clip"], failed["error"], failed["tries"]) == ("dawn", 1, "BadFootage", 3)
    headers = server.got[0][1]
    assert headers["Content-Type"].startswith("application/json")
    assert headers["X-Longtake-Event"] == "film_begun"


def test_a_run_that_is_stopped_says_so_once_a_film(server: Server) -> None:
    told = Hooks(targets([f"run_stopped={server.url}/x", f"film_done={server.url}/x"], ""))
    told.film_begins(PLAN, 2, 0)
    told.run_stops("told to stop")
    told.close()
    assert [(d["event"], d["film"], d["message"]) for _, _, d in server.got] == [
        ("run_stopped", "harbour", "told to stop")
    ]


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [503, 429, 200]
    story(Hooks(targets([f"film_done={server.url}/again"], "")))
    assert server.events("/again") == ["film_done"] * 3
    assert len({headers["X-Longtake-Delivery"] for _, headers, _ in server.got}) == 1
    server.answers = [404]
    story(Hooks(targets([f"film_done={server.url}/no-such-hook-here"], "")))
    assert server.events("/no-such-hook-here") == ["film_done"]
    assert "was not told of film_done: HTTP Error 404" in caplog.text
    assert "no-such-hook-here" not in caplog.text


def test_nobody_else_is_told_in_its_place(server: Server) -> None:
    server.answers = [302]
    story(Hooks(targets([f"film_done={server.url}/here"], "")))
    assert [path for path, _, _ in server.got] == ["/here"]


def test_a_server_that_never_answers_holds_up_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE", 0.3)
    server.silent.set()
    told = Hooks(targets([f"film_begun={server.url}/x", f"film_done={server.url}/x"], ""))
    threads = threading.active_count()
    story(told)  # returns at all: the server would keep it for ever
    assert "was not told everything; 2 events are left" in caplog.text
    assert threading.active_count() >= threads


def test_nobody_listens(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_targets, "PAUSES", (0.01,))
    monkeypatch.setenv("no_proxy", "*")
    story(Hooks(targets(["film_done=http://someone:sesame99@127.0.0.1:9/a-secret-of-many-letters?x=1"], "")))
    assert "http://127.0.0.1:9/***" in caplog.text
    assert "sesame" not in caplog.text
    assert "a-secret-of-many-letters" not in caplog.text


def test_a_password_in_an_address_is_sent_as_one(server: Server) -> None:
    story(Hooks(targets([f"film_done={server.url.replace('http://', 'http://me:sesame99@')}/x"], "")))
    assert server.got[0][1]["Authorization"] == "Basic bWU6c2VzYW1lOTk="


def test_a_command_gets_the_event_in_its_environment_and_on_its_input(tmp_path: Path) -> None:
    script = tmp_path / "a hook.sh"
    script.write_text(f"#!/bin/sh\necho \"$1|$LONGTAKE_EVENT|$LONGTAKE_STATE|$LONGTAKE_FILE\" > '{tmp_path}/said'\n")
    script.write_text(script.read_text() + f"cat > '{tmp_path}/given'\n")
    script.chmod(0o755)
    story(Hooks(targets([], f"\n film_done = '{script}' '$(touch {tmp_path}/shell); a b'\n")))
    film = Path("films/harbour.mp4").absolute()
    assert (tmp_path / "said").read_text() == f"$(touch {tmp_path}/shell); a b|film_done|done|{film}\n"
    assert json.loads((tmp_path / "given").read_text())["rendered"] == 1
    assert not (tmp_path / "shell").exists()


def test_a_command_that_fails_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    story(Hooks(targets(["film_begun=sh -c 'echo no room; exit 3'", "film_done=/no/such/program"], "")))
    assert "the hook 'sh' was not told of film_begun: it ended with exit code 3: no room" in caplog.text
    assert "'/no/such/program' was not told" in caplog.text


def test_a_command_that_leaves_something_running_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps for longer than a test may take."""
    monkeypatch.chdir(tmp_path)
    story(Hooks(targets(["film_done=sh -c 'sleep 600 & echo $! > pid'"], "")))
    os.kill(int((tmp_path / "pid").read_text()), 9)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("film_done", "it needs an event and what to do"),
        ("film_done=", "it needs an event and what to do"),
        ("film_over=ls", "there is no event 'film_over'; choose one of: film_begun"),
        ("film_done=https://", "not a web address"),
        ("film_done=http://host:99999/", "Port out of range"),
        ("film_done=sh 'x", "No closing quotation"),
    ],
)
def test_options_that_mean_nothing(option: str, told: str) -> None:
    with pytest.raises(UsageError, match="--hook") as error:
        targets([option], "")
    assert told in str(error.value)


def test_a_storyboard_names_addresses_and_hears_of_its_own_film(server: Server, write: Any) -> None:
    path = write(on={"film_done": f"{server.url}/mine", "clip_done": [f"{server.url}/a", {"url": f"{server.url}/b"}]})
    mine = plan(load(path)[0])
    assert mine.on == (
        ("clip_done", f"{server.url}/a"), ("clip_done", f"{server.url}/b"), ("film_done", f"{server.url}/mine"),
    )  # fmt: skip
    assert server.url not in mine.to_json()  # an address may be a secret: it is recorded nowhere
    told = Hooks()
    story(told)  # another film
    assert server.got == []
    story(Hooks(), plan=mine)
    assert (server.events("/mine"), server.events("/a"), server.events("/b")) == (
        ["film_done"], ["clip_done"], ["clip_done"],
    )  # fmt: skip
    story(Hooks(storyboards=False), plan=mine)
    assert len(server.events("/mine")) == 1


def test_an_address_changes_no_clip(write: Any) -> None:
    plain, told = plan(load(write())[0]), plan(load(write(on={"film_done": "https://example.org/x"}))[0])
    assert [clip.key for clip in plain.clips] == [clip.key for clip in told.clips]
    assert plain == told


@pytest.mark.parametrize(
    ("on", "what"),
    [
        ({"film_done": "ftp://example.org/"}, "it begins with http:// or https://"),
        ({"film_done": "file:///etc/passwd"}, "it begins with http:// or https://"),
        ({"film_done": "https://me:sesame99@example.org/"}, "no place for a password"),
        ({"film_done": "http://example.org/a b"}, "it may hold no blanks"),
        ({"film_done": {"run": "rm -r /"}}, "run"),
        ({"film_over": "https://example.org/"}, "film_over"),
    ],
)
def test_what_a_storyboard_may_not_ask_for(on: Any, what: str, write: Any) -> None:
    with pytest.raises(StoryboardError) as error:
        load(write(on=on))
    assert what in str(error.value)


def test_a_log_shows_no_secret_of_an_address(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [500, 500]
    story(Hooks(targets([f"film_done={server.url}/T024/B99/abcdefghijklmnopqrst"], "")))
    assert "abcdefghijklmnopqrst" not in caplog.text
    assert len(server.got) == 3
