"""All who watch a run: the display, the ledger, hooks, metrics. One that fails is left out; none ends a render."""

from __future__ import annotations

from rich.console import Console

from storage.ledger import Ledger

from .hook_targets import Target
from .hooks import Hooks
from .observer import Observers, Quiet
from .progress import display
from .reporter import Reporter
from .tally import Tally


def audience(
    kind: str,
    console: Console,
    ledger: Ledger,
    hooks: list[Target],
    webhooks: bool = True,
    on: str = "local",
    port: int | None = None,
) -> Observers:
    """Those who watch a run that is shown as `kind` says (see `display`).

    hooks: told beside those of the storyboards, which are told when `webhooks`. on: with `ray`, Ray's metrics are kept.
    port: where metrics are served on this machine, none without it.

    Raises:
        UsageError: the port is taken.
    """
    tally = Tally()
    last: list[Quiet] = []
    if on == "ray" or port is not None:
        from .metered import Metered, meters

        last = [Metered(tally, meters(on, port))]  # before the display, which takes hold of the terminal
    return Observers([tally, display(kind, console, tally), Reporter(ledger, tally), Hooks(hooks, webhooks), *last])
