"""Passwords and tokens do not get through; ordinary texts do, unchanged."""

from __future__ import annotations

import logging

import pytest

from cluster.ending import _failure, _log_tail
from cluster.secrets import hidden, keep_hidden


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2hunter2@host:5432/longtake refused",
        "Authorization: Bearer abcdefghijklmnop.qrs-tuv",
        "token hf_abcdefghijklmnopqrstuvwxyz0123456789 is not valid",
        "password='sesame123' in the connection string",
        "?token=abcdefghijklmnop1&x=2",
        '{"api_key": "zyxwvutsrqponm"}',
        "AKIAABCDEFGHIJKLMNOP",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    shown = hidden(text)
    assert "***" in shown
    for secret in ("hunter2", "abcdefghijklmnop", "sesame123", "zyxwvutsrqponm", "AKIAABCDEFGHIJKLMNOP"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "BadFootage: clip 3, step 7 of 25: the network of pocket returned values that are not finite numbers",
        "https://host/path@2?x=1: not found",
        "Unexpected token: identifier; a red boat: token of love, secret harbour; 16 tokens a prompt",
        "/data/films/harbour.mp4.part: No space left on device",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert hidden(text) == text


def test_values_of_the_environment_and_those_told_are_hidden(monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cr3t-of-the-hub")
    monkeypatch.setenv("RAY_AUTH_MODE_TOKEN", "token")  # a mode, not a secret
    keep_hidden(["correct horse"])
    assert hidden("s3cr3t-of-the-hub, correct horse, a token") == "***, ***, a token"


def test_a_failure_and_its_log_carry_no_secret_to_the_ledger(monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cr3t-of-the-hub")
    with _log_tail() as lines:
        logging.getLogger("any.library").warning("asked with s3cr3t-of-the-hub")
        try:
            raise OSError("401 for https://me:s3cr3t-of-the-hub@hub/model")
        except OSError as error:
            failure = _failure(error, lines)
    assert "401" in failure.message
    assert "asked with ***" in failure.log_tail
    for text in (failure.message, failure.trace, failure.log_tail):
        assert "s3cr3t-of-the-hub" not in text
