"""The report of ablations: what differs, by how much, and how much differs by chance alone."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from model.folder import ModelFolderError
from model.training.recipe import parse
from results import ablations

COMMAND = "python train.py --dataset X --output runs/ablation-{} --size 48x64 --epochs 2"
ROW = {
    "backbone": "MobileNetV2",
    "size": "48x64",
    "epochs": "2",
    "minutes": "1.5",
    "validation_macro_f1": "0.5",
    "validation_top_1": "0.7123",
    "validation_ece": "0.031",
    "validation_balanced_accuracy_low": "0.4",
    "validation_balanced_accuracy_high": "0.7",
    "weights": "none",
}


def write(path, runs):
    rows = [{"name": "bundled", "command": "python train.py"}]
    for name, more, accuracy in runs:
        rows.append(
            ROW
            | {
                "name": f"ablation-{name}",
                "command": f"{COMMAND.format(name)} --results {name}.csv --cache {name}{more}",
                "validation_balanced_accuracy": str(accuracy),
            }
        )
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "command", "validation_balanced_accuracy", *ROW])
        writer.writeheader()
        writer.writerows(rows)


def test_each_run_stands_beside_the_mean_of_the_seeds(tmp_path):
    write(
        tmp_path / "runs.csv",
        [("baseline", "", 0.5), ("seed-1", " --seed 1", 0.54), ("mixup", " --mixup 0.2", 0.55)],
    )
    text = ablations.write_ablations(tmp_path / "runs.csv")
    assert (tmp_path / "ablations.md").read_text() == text
    assert "| baseline | – | 0.500 (0.400–0.700) | – | 0.500 | 71.23 | 0.031 | 1.5 |" in text
    assert "| seed-1 | `--seed 1` | 0.540 (0.400–0.700) | – |" in text
    assert "| mixup | `--mixup 0.2` | 0.550 (0.400–0.700) | +0.030 |" in text
    assert "seeds of the baseline: balanced accuracy 0.500 to 0.540" in text
    assert "MobileNetV2 from random weights, 48x64 pixels, 2 epochs" in text
    assert "log-loss" not in text  # no row has it


def test_a_second_family_has_a_report_of_its_own_with_every_figure_that_its_rows_have(tmp_path):
    write(tmp_path / "runs.csv", [("baseline", "", 0.5)])
    rows = list(csv.DictReader(open(tmp_path / "runs.csv", newline="")))
    more = {"weights": "imagenet", "epochs": "1", "validation_log_loss": "0.7654"}
    for name, changes in (("lite-baseline", ""), ("lite-hair", " --artefacts hair")):
        rows.append(rows[1] | more | {"name": name, "command": COMMAND.format(name) + changes})
    with open(tmp_path / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    text = ablations.write_ablations(tmp_path / "runs.csv", "lite")
    assert (tmp_path / "ablations_lite.md").read_text() == text
    assert "`python -m results.ablations results/runs.csv lite`" in text
    assert "from ImageNet, 48x64 pixels, 1 epoch, one" in text
    assert "| hair | `--artefacts hair` | 0.500 (0.400–0.700) | +0.000 | 0.765 | 0.500 |" in text
    assert "| seed-1" not in text


def test_a_table_without_ablations_says_what_to_do(tmp_path):
    write(tmp_path / "runs.csv", [])
    with pytest.raises(ModelFolderError, match="run results/ablations.sh first"):
        ablations.write_ablations(tmp_path / "runs.csv")
    write(tmp_path / "runs.csv", [("mixup", " --mixup 0.2", 0.5)])
    with pytest.raises(ModelFolderError, match="no row ablation-baseline"):
        ablations.write_ablations(tmp_path / "runs.csv")


def test_train_py_takes_what_the_script_changes():
    script = (Path(__file__).parents[1] / "results" / "ablations.sh").read_text()
    runs = re.findall(r"^run (\S+)(.*)$", script.replace("$((2 * EPOCHS))", "16"), re.MULTILINE)
    assert runs[0] == ("baseline", "") and len(runs) > 10
    for name, changes in runs:
        parse("A test.", ["--output", name, "--size", "48x64", *shlex.split(changes)])
