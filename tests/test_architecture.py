"""The one-way rule and the promises about what a command loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commandline import loaded_by
from tests.director.fonts import font

ROOT = Path(__file__).parent.parent
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.load", "np.load", "numpy.load"}
PICKLES |= {"ray.cloudpickle", "yaml.load", "yaml.unsafe_load", "allow_pickle"}


def sources() -> Iterator[Path]:
    """All modules of all rooms."""
    for room in ("director", "cluster", "shots", "storage"):
        yield from (ROOT / room).rglob("*.py")


def test_import_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", str(ROOT / "examples/harbour.yaml")],
        ["status"],
        ["schema"],
    ],
    ids=lambda a: a[0],
)
def test_looking_loads_no_torch_and_no_ray(arguments, longtake):
    loaded, _ = loaded_by(longtake, *arguments)
    assert not loaded & {"torch", "diffusers", "transformers", "ray", "moviepy"}


def test_a_plan_with_fonts_and_letters_that_they_lack_loads_as_little(longtake, tmp_path):
    font(tmp_path / "a.ttf")
    board = (ROOT / "examples/minimal.yaml").read_text().replace("film: {", "film: {font: a.ttf, ", 1)
    (tmp_path / "film.yaml").write_text(board.replace("    prompt:", "    title: Café –\n    prompt:", 1))
    loaded, _ = loaded_by(longtake, "plan", "film.yaml")
    assert "PIL" in loaded
    assert not loaded & {"torch", "diffusers", "transformers", "ray", "moviepy"}


def test_shots_works_without_ray_and_databases():
    code = (
        "import sys\n"
        "for name in ('ray', 'sqlalchemy', 'alembic', 'pydantic', 'typer', 'rich', 'moviepy'):\n"
        "    sys.modules[name] = None\n"  # importing it now raises ImportError
        "import shots.shoot, shots.models, shots.chain, shots.frames, shots.prints\n"
        "from shots.pocket import reader, scenes\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_unpickled():
    """No module reads a form that can run code when it is read. Ray itself pickles what goes between its processes."""
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name for name in _named(node) if name in PICKLES or name.partition(".")[0] in PICKLES]
            found += [f"{path.relative_to(ROOT)} {name}" for name in names]
    assert not found


def _named(node: ast.AST) -> list[str]:
    """What a piece of code imports, takes out of a module, or says by name to a function."""
    match node:
        case ast.Import(names=names):
            return [each.name for each in names]
        case ast.ImportFrom(module=module, names=names):
            return [f"{module}.{each.name}" for each in names]
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return [f"{module}.{name}"]
        case ast.keyword(arg=str(name)):
            return [name]
    return []


def test_functions_and_files_stay_short():
    long_ones = []
    for path in sources():
        text = path.read_text()
        if text.count("\n") > 350:
            long_ones.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > 60:
                long_ones.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long_ones
