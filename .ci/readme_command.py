"""Print one of the README's commands: `readme_command.py film` or `readme_command.py test`.

A command is the fenced shell block that follows the HTML comment `<!-- command: NAME -->`.
"""

import re
import sys
from pathlib import Path


def command(name: str) -> str:
    """The shell text of the README's command of that name."""
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    found = re.search(rf"<!-- command: {re.escape(name)} -->\s*```(?:bash|sh|console)\n(.*?)```", readme, re.DOTALL)
    if found is None:
        raise SystemExit(f"README.md has no command {name!r}: add <!-- command: {name} --> before its code block")
    return found[1].strip()


if __name__ == "__main__":
    print(command(sys.argv[1]))
