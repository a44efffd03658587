"""A database server that is stopped in the middle of everything, and comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from director.insist import insist
from storage.errors import LedgerUnreachable
from storage.ledger import Ledger
from storage.states import AttemptState
from tests.postgres import Server
from tests.storage.examples import slates_of, start_harbour, take_row


def test_a_server_that_restarts_under_a_production_costs_nothing(postgres_of_its_own: Server) -> None:
    server = postgres_of_its_own
    url = server.url.render_as_string(hide_password=False)
    keys = [row.key for row in slates_of(400)]
    enough = threading.Event()
    done: list[str] = []

    def render(ledger: Ledger, production: int, part: list[str]) -> None:
        for key in part:
            if enough.is_set():
                return
            (attempt,) = insist(lambda key=key: ledger.begin_attempts(production, [key], "cpu", "w"))
            insist(lambda attempt=attempt, key=key: ledger.finish_attempt(attempt, take_row(key)))
            done.append(key)

    with Ledger.open(url) as ledger:
        production = start_harbour(ledger, slates_of(400))
        threads = [threading.Thread(target=render, args=(ledger, production, keys[n::2])) for n in range(2)]
        for thread in threads:
            thread.start()
        for restart in range(1, 3):
            while len(done) < 8 * restart:
                time.sleep(0.002)
            server.stop()
            with pytest.raises(LedgerUnreachable, match=r"Check that the server runs|server is back"):
                ledger.films()
            server.start()
        while len(done) < 40:
            time.sleep(0.002)
        enough.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

        assert set(done) <= set(ledger.takes(keys)), "what was said to be recorded is recorded"
        ledger.claim_film("harbour").release()
        states: Counter[AttemptState] = Counter()
        for key in done:
            found = Counter(a.state for a in ledger.attempts(key))
            states += found
            assert found[AttemptState.DONE] == 1
        assert set(states) <= {AttemptState.DONE, AttemptState.LOST}
        assert states[AttemptState.LOST] <= 4, "a begin whose answer was lost is begun once more"
