"""What we use of huggingface_hub is in the installed version: names, methods and their arguments,
`hf` commands, environment variables. Its major versions remove some of them."""

import ast
import importlib
import inspect
import re
import shlex
import warnings
from pathlib import Path

import click
import huggingface_hub
import pytest
from huggingface_hub import HfApi
from huggingface_hub.cli.hf import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
CODE = [*ROOT.glob("*.py"), *ROOT.glob("model/**/*.py"), *ROOT.glob("results/*.py")]
CODE += ROOT.glob("tests/*.py")
TEXT = "\n".join(
    path.read_text("utf-8") for path in [*PAGES, *CODE, *ROOT.glob("*.sh"), *ROOT.glob("*.txt")]
)
NODES = [node for path in CODE for node in ast.walk(ast.parse(path.read_text("utf-8")))]
API = ("api", "ann", "HfApi")  # what our code calls an HfApi


def test_what_is_imported_exists():
    found = set()
    for node in NODES:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("huggingface_hub"):
            found |= {(node.module, alias.name) for alias in node.names}
    assert {name for _, name in found} >= {"HfApi", "ModelCard", "HfFileSystem", "DatasetCard"}
    for module, name in found:
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_the_methods_take_the_arguments_that_they_are_given():
    found = set()
    for node in NODES:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func.value).partition("(")[0] in API:
                method = node.func.attr
                found.add(method)
                takes = inspect.signature(getattr(HfApi, method)).parameters
                given = {keyword.arg for keyword in node.keywords} - {None}  # None: **options
                assert given <= set(takes), method
    assert found >= {"create_commit", "model_info", "hf_hub_download", "whoami"}


def test_a_deprecated_call_fails_the_test_that_makes_it():
    with pytest.raises(FutureWarning):  # by pytest.ini
        warnings.warn_explicit("gone", FutureWarning, "f.py", 1, "huggingface_hub.utils")


# --- the command line


def commands() -> list[str]:
    """The `hf` commands in the code blocks of the pages."""
    blocks = [
        block.replace("\\\n", "")
        for page in PAGES
        for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    lines = {line for block in blocks for line in block.splitlines()}
    return sorted(line for line in lines if line.startswith("hf "))


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that `words` begin with, and the words after it. Raises click.UsageError."""
    command, context = app, click.Context(app)
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(context, words)
    return command, words


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_pages_is_understood(line):
    command, words = find(shlex.split(line, comments=True)[1:])
    command.make_context("hf", words)  # parses, and runs nothing


def test_commands_that_are_gone_are_not_understood():
    with pytest.raises(click.UsageError):
        find(["upload-large-folder", "USER/NAME", "."])
    command, words = find(["upload", "USER/NAME", "--no-such-option"])
    with pytest.raises(click.UsageError):
        command.make_context("hf", words)


def test_the_commands_that_our_messages_name_exist():
    named = set(re.findall(r"\bhf (auth \w+|jobs \w+)", TEXT))
    assert "auth login" in named
    for words in named:
        assert find(words.split())[1] == []


def test_the_environment_variables_exist():
    sources = Path(huggingface_hub.__file__).parent.rglob("*.py")
    known = re.findall(r"\bHF_[A-Z_]+\b", "".join(path.read_text("utf-8") for path in sources))
    used = set(re.findall(r"\bHF_[A-Z_]*[A-Z]\b", TEXT))
    assert used >= {"HF_TOKEN", "HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET"}
    assert used <= set(known)
