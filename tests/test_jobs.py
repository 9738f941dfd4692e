"""job.sh, and the commands of docs/jobs.md that rent a machine for it.

test_round_trip.py runs job.sh itself, from the data to a page.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import JobHardware
from test_space import front_matter

from model.training.recipe import parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "jobs.md").read_text("utf-8")
BIN = Path(sys.executable).parent
RECIPE = parse("", ["--output", "x", "--recipe", "gpu"])


@pytest.fixture
def job(tmp_path):
    """job(step, *arguments) runs job.sh with commands that do nothing but the one named, which
    fails. Returns the exit status, the error output, and the command lines that were called."""
    stub = (
        '#!/bin/sh\necho "$(basename "$0") $@" >> called\ncase "$*" in *"$FAILS"*) exit 3; esac\n'
    )
    (tmp_path / "python").write_text(stub)
    (tmp_path / "python").chmod(0o755)

    def run(step, *arguments):
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", ROOT / "job.sh", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PATH": path, "FAILS": step},
            capture_output=True,
            text=True,
        )
        called = tmp_path / "called"
        lines = called.read_text().replace(f"{ROOT}/", "").splitlines() if called.exists() else []
        return done.returncode, done.stderr, lines

    return run


def test_each_step_follows_the_one_before(job):
    status, _, called = job("nothing", "ann/skin", "--seed", "1")
    assert status == 0
    assert called[0] == "python -m pip install -q -r requirements-train.txt jax[cuda12]==0.10.*"
    assert called[1].startswith("python -c import jax, sys")
    assert called[-3:] == [
        "python train.py --recipe gpu --output runs/skin --resume --push-to-hub ann/skin --seed 1",
        "python convert.py runs/skin --push-to-hub ann/skin",
        "python evaluate.py runs/skin --push-to-hub ann/skin",
    ]


STEPS = ["requirements-train", "import jax", "train.py", "convert.py", "evaluate.py"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_the_last_one(job, step):
    status, _, called = job(step, "ann/skin")
    assert status == 3
    assert [each for each in STEPS if each in "".join(called)] == STEPS[: STEPS.index(step) + 1]


@pytest.mark.parametrize("arguments", [[], ["skin"], ["--seed", "1"], ["--set=cache=a/b"]])
def test_a_job_without_a_name_does_nothing(job, arguments):
    status, errors, called = job("nothing", *arguments)
    assert (status, called) == (2, [])
    assert errors == "job.sh: name the model to push to: bash job.sh USER/NAME\n"


def test_no_gpu_is_a_sentence():
    (check,) = re.findall(r"python -c '(.*?)'", (ROOT / "job.sh").read_text(), re.DOTALL)
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", check], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr
        == "job.sh: JAX finds no GPU: choose a --flavor with one, or another JAX_BUILD.\n"
    )


def commands() -> list[str]:
    """The lines of docs/jobs.md that start a job."""
    joined = PAGE.replace("\\\n", "")
    return [line for line in joined.splitlines() if line.startswith("hf jobs run ")]


def hf(command, hub, tmp_path):
    """Run a command line of docs/jobs.md, signed in to the Hub as ann."""
    env = hub.env(tmp_path / "home", "hf_ann", PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "-ec", command], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_that_rents_a_gpu_sends_this_job(hub, tmp_path):
    command = commands()[0].replace("hf jobs run", "hf jobs run --detach", 1)
    hf(command, hub, tmp_path)
    (job,) = hub.jobs
    assert job["command"] == ["bash", "/code/job.sh", "USER/NAME"]
    assert job["dockerImage"] == f"python:{front_matter()['python_version']}"
    assert job["flavor"] in {hardware.value for hardware in JobHardware}
    assert job["secrets"] == {"HF_TOKEN": "hf_ann"} and not job["environment"]
    (volume,) = job["volumes"]
    assert (volume["type"], volume["source"]) == ("space", "USER/SPACE")
    assert volume["mountPath"] == "/code"


def test_the_other_commands_are_complete(hub, tmp_path):
    assert len(commands()) > 1
    for command in commands():
        (tmp_path / "job").mkdir(exist_ok=True)
        shown = hf(command.replace("hf jobs run", "hf jobs run --dry-run", 1), hub, tmp_path)
        assert "bash /code/job.sh USER/NAME" in shown and "HF_TOKEN=***" in shown
    assert not hub.jobs


def test_the_price_is_that_of_the_minutes():
    found = re.search(
        r"at \$(\d+\.\d\d) an hour, we expect (\d+) minutes, that is \$(\d+\.\d\d)", PAGE
    )
    hourly, minutes, price = map(float, found.groups())
    assert round(hourly * minutes / 60, 2) == price
    rows = dict(re.findall(r"^\| (\w+).* \| (\d+) \| ", PAGE, re.M))
    assert sum(map(int, rows.values())) == minutes
    assert float(rows["training"]) == RECIPE.budget
    (timeout,) = set(re.findall(r"--timeout (\d+)m", PAGE))
    assert f"limits\nit to ${hourly * int(timeout) / 60:.2f}" in PAGE
    assert minutes * 2 < int(timeout)


def test_the_figures_are_those_of_the_runs():
    table = (ROOT / "results" / "runs.csv").read_text("utf-8")
    rows = {row["name"]: row for row in csv.DictReader(table.splitlines())}
    for run, figure in {
        "bundled": "(0.751)",
        "size_224": "reached 0.735",
        "mixup_big": "0.723",
        "compact": "reached 0.740",
    }.items():
        assert run in PAGE and figure in PAGE
        measured = float(rows[run]["validation_balanced_accuracy"])
        assert f"{measured:.3f}" in figure
    assert f"{float(rows['bundled']['images_per_second']):,.0f} a second" in PAGE
    assert "H200" in rows["bundled"]["hardware"] and rows["bundled"]["size"] == "192x256"
    pixels = RECIPE.height * RECIPE.width / (192 * 256)
    assert f"{RECIPE.height}x{RECIPE.width} is {pixels:.2f} times" in PAGE
