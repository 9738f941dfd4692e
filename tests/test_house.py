"""Which folder may import which, and what serving works without."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the modules of each folder of model/ may import, besides those of the folder itself; "." is
# model/ without its folders. No module of model/ imports a script or results/.
MAY_IMPORT = {
    ".": {"hub.pull"},
    "data": {"."},
    "network": {"."},
    "training": {".", "data", "network", "evaluation", "hub.pull"},
    "evaluation": {"."},
    "hub": {".", "evaluation", "network.backbones"},
    "page": {".", "network.backbones"},
    "benchmark": {".", "data", "network", "training", "evaluation", "hub", "page"},
}
# What they may import in addition within a function, that is only once it is needed.
MAY_IMPORT_LATE = {"evaluation": {"data", "network"}, "training": {"hub"}}
OURS = {"model", "results"} | {script.stem for script in ROOT.glob("*.py")}


def folder(dotted: str) -> str:
    return dotted if (ROOT / "model" / dotted).is_dir() else "."


def imports(node: ast.AST, late: bool = False):
    """(dotted name, whether within a function) of all that is imported below `node`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((f"{child.module}.{alias.name}", late) for alias in child.names)
        yield from imports(
            child, late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        )


def test_modules_import_only_what_their_folder_may():
    wrong = []
    for path in sorted((ROOT / "model").rglob("*.py")):
        here = folder(path.parent.name)
        if path == ROOT / "model" / "__main__.py":  # a script, but for its place
            here = "page"
        for name, late in imports(ast.parse(path.read_text())):
            allowed = {here} | MAY_IMPORT[here]
            allowed |= MAY_IMPORT_LATE.get(here, set()) if late else set()
            first, *rest = name.split(".")
            there = {folder(rest[0]), ".".join(rest[:2])} if first == "model" else {first}
            if first in OURS and not there & allowed:
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "module, unused",
    [
        ("app, model.page.page", "tensorflow keras datasets sklearn"),
        ("model.__main__", "tensorflow keras datasets sklearn matplotlib gradio"),
        ("model.training.recipe", "tensorflow keras datasets sklearn matplotlib jinja2"),
        ("model.hub.pull", "tensorflow keras datasets sklearn matplotlib"),
        ("model.hub.push", "tensorflow keras datasets sklearn matplotlib"),
    ],
)
def test_serving_imports_no_training_library(module, unused):
    code = f"import sys, {module}; print(*set(sys.modules) & set({unused.split()}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
