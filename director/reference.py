"""The command line reference from the commands themselves: `python -m director.reference > docs/cli.md`."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
import typer

from .cli import app

HEAD = """# Command line

Written by `python -m director.reference`; a test keeps it current.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | usage, or an invalid storyboard |
| 3 | finished, with shots missing; `longtake status` says which and what to do |
| 4 | `plan --check` found clips to render |
| 5 | the hours that a film may cost (`gpu_hours`) are spent; what is finished stays |
| 75 | interrupted (SIGTERM); run the same command to go on |
| 130 | interrupted by Ctrl-C; run the same command to go on |
"""


def reference() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    return HEAD + "".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: click.Command) -> str:
    arguments = [_name(p) + ("..." if p.nargs == -1 else "") for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["longtake", name, *arguments, "[OPTIONS]"])
    rows = [row for parameter in command.params if (row := _row(parameter))]
    table = "| option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    return f"\n## longtake {name}\n\n{_text(command.help)}\n\n```\n{usage}\n```\n\n{table}"


def _name(parameter: click.Parameter) -> str:
    return parameter.metavar or str(parameter.name).upper()


def _row(parameter: click.Parameter) -> str:
    names = ", ".join(parameter.opts) if parameter.param_type_name == "option" else _name(parameter)
    text = _text(getattr(parameter, "help", None))
    default = parameter.default
    shown = default is not None and default is not False and not callable(default) and "Default" not in text
    return f"| `{names}` | {text}{f' Default: {default}' if shown else ''} |" if names != "--help" else ""


def _text(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip().replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
