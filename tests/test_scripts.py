"""All scripts: what they find out before the work, and what they print where it is not UTF-8."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from model import folder as f
from model.folder import BUNDLED, UserError
from model.packages import check_backend

ROOT = Path(__file__).parents[1]
SCRIPTS = ["app.py", "train.py", "convert.py", "evaluate.py", "benchmark.py"]
SCRIPTS += ["-m model", "-m model.training.average"]


def said(command, **environment):
    """The exit status and the last line of stderr of a script that must not end in a traceback."""
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        capture_output=True,
        env=os.environ | environment,
    )
    errors = done.stderr.decode(errors="replace")
    assert "Traceback" not in errors, errors
    return done.returncode, (errors.splitlines() or [""])[-1], done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_is_printed_in_any_encoding(script, encoding):
    status, _, out = said(f"{script} --help", PYTHONIOENCODING=encoding)
    assert status == 0 and b"usage:" in out


def test_a_sign_that_the_output_lacks_is_printed_as_a_question_mark():
    code = "from model.folder import errors_in_words as e\nwith e('x'): print('\\u2265 1')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert done.stdout.strip() == b"? 1", done.stderr


@pytest.mark.parametrize(
    "script, package, file",
    [
        ("app.py", "gradio", "requirements.txt"),
        ("train.py --output x", "numpy", "requirements-train.txt"),
        ("train.py --output x", "keras", "requirements-train.txt"),
        ("evaluate.py model/bundled", "sklearn", "requirements-train.txt"),
        ("convert.py model/bundled", "tqdm", "requirements-train.txt"),
    ],
)
def test_a_package_that_is_not_installed_is_a_sentence(script, package, file, tmp_path):
    # A finder before all others that does not find the package.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == '{package}':\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Without)\n"
    )
    status, line, _ = said(script, PYTHONPATH=str(tmp_path))
    assert status == 1
    assert line == (
        f"{script.split()[0]}: the package {package} is not installed. Install all that this "
        f"script needs: pip install -r {file}"
    )


@pytest.mark.parametrize("name", ["tensroflow", "theano"])
def test_a_misspelt_backend_is_named_first(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(UserError, match=f"KERAS_BACKEND is '{name}', which is not a backend"):
        check_backend()


@pytest.mark.parametrize(
    "command, sentence",
    [
        ("train.py --output .", ". is no name for a new folder: use one such as runs/NAME."),
        (
            "train.py --output README.md",
            "README.md exists already; choose another folder or remove it.",
        ),
        ("train.py --output runs/x --results docs", "--results docs is a folder: name a file."),
        (
            f"evaluate.py {BUNDLED} --output README.md",
            f"--output README.md: nothing can be written into {ROOT}/README.md (Not a directory). "
            "Name another place, or change its permissions.",
        ),
        (
            "benchmark.py --output README.md/x",
            f"--output README.md/x: nothing can be written into {ROOT}/README.md (Not a "
            "directory). Name another place, or change its permissions.",
        ),
    ],
)
def test_an_output_that_cannot_be_used_is_found_out_first(command, sentence):
    before = set(ROOT.iterdir())
    assert said(command)[:2] == (1, f"{command.split()[0]}: {sentence}")
    assert set(ROOT.iterdir()) == before


def test_a_usage_is_one_line():
    status, line, _ = said("train.py --output x --size 224")
    assert (status, line) == (2, "train.py: error: --size 224: write HxW, such as 224x299")


def test_without_a_temporary_folder(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(SystemExit, match="x: No temporary folder can be written to. Set TMPDIR"):
        with f.errors_in_words("x"):
            tempfile.gettempdir()


@pytest.mark.parametrize(
    "name, path", [("runs/nothing", True), ("../x", True), ("ann/lesions", False), ("mnist", False)]
)
def test_what_looks_like_a_path(name, path):
    assert f.no_folder(name) == (f"There is no folder {name}. " if path else "")


@pytest.mark.parametrize(
    "line, precision, emulated",
    [
        ("flags\t\t: fpu avx2", "mixed_bfloat16", True),
        ("flags\t\t: fpu avx512_bf16", "mixed_bfloat16", False),
        ("flags\t\t: fpu avx512_bf16", "mixed_float16", True),
        ("flags\t\t: fpu avx2", "float32", False),
        ("Features\t: fp asimd", "mixed_bfloat16", False),  # ARM: not known
    ],
)
def test_emulated_precision_is_known_on_x86(line, precision, emulated, monkeypatch, tmp_path):
    from model.network import network

    (tmp_path / "cpuinfo").write_text(line + "\n")
    monkeypatch.setattr(network, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(network, "on_gpu", lambda: False)
    assert network.emulates(precision) is emulated
