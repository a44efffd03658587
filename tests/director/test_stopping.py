"""The end of a run that is told to stop: who is waited for, and how long."""

import time

import pytest

from cluster.job import Sending, Started
from director.bench.cluster import _NoCut, unseen
from director.bench.simulated import Simulated, Times, film
from director.observer import Quiet
from director.production import Production
from director.stop import Stop, Stopped
from storage.ledger import Ledger

QUICK = Times(load=0.0, job=0.0)


def test_whoever_stops_waits_for_a_checkpoint_that_is_being_sent(tmp_path, monkeypatch):
    stop = Stop()
    stop.grace = 0.3

    class Slow(Simulated):
        """After a stop its camera says that it sends, and only at the n-th question that it has ended."""

        asked = 0

        def wait(self, timeout):
            if stop.asked is None:
                events = super().wait(timeout)
                stop.asked = 75 if any(isinstance(event, Started) for event in events) else None
                return events
            self.asked += 1
            if self.asked == 1:
                return [Sending(job) for job in self._at_work]
            time.sleep(0.02)
            return super().wait(timeout) if self.asked == self.n else []

        def cancel(self):
            pass

    def wind_down(name, n):
        """How often the camera is asked before the run ends."""
        stop.asked = None
        cluster = Slow(1, QUICK)
        cluster.n = n
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger, pytest.raises(Stopped):
            Production(ledger, lambda: cluster, _NoCut(), Quiet(), stop).run([film(name, [2])], unseen)
        return cluster.asked

    assert wind_down("a", 50) == 50, "50 times 0.02 s are more than the 0.3 s for those that say nothing"
    monkeypatch.setattr("director.production.SENDING", 0.4)
    assert 1 < wind_down("b", 500) < 500, "but not for ever"
