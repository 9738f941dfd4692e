"""README.md's figures and commands are those of the repository."""

import csv
import re
from pathlib import Path

import pytest

from model.folder import BUNDLED, COMPACT, read_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("section, folder", [("results", BUNDLED), ("compact", COMPACT)])
def test_results_are_those_of_the_bundled_models_reports(section, folder):
    report = (folder / "report.md").read_text(encoding="utf-8").splitlines()
    results = README.split(f"<!-- {section}: begin -->")[1].split(f"<!-- {section}: end -->")[0]
    lines = [line for line in results.splitlines() if line.startswith("|")]
    assert len(lines) > 10
    for line in lines:
        assert line in report, line


def test_systems_are_those_of_their_page():
    page = (ROOT / "results" / "systems.md").read_text(encoding="utf-8").splitlines()
    section = README.split("<!-- systems: begin -->")[1].split("<!-- systems: end -->")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) > 20
    for line in lines:
        assert line in page, line
    for figure in re.findall(r"!\[.*\]\((.*)\)", section):
        assert (ROOT / figure).is_file(), figure


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_bundled_models_commands_are_in_the_readme(folder):
    # Without what says where things lie on one machine, and not how it learned.
    aside = r" --(cache|results) \S+| --(no-peak|resume)"
    config = read_config(folder)
    commands, start = [config["training"]["command"]], config["weights"]
    table = (ROOT / "results" / "runs.csv").read_text(encoding="utf-8")
    rows = {row["name"]: row["command"] for row in csv.DictReader(table.splitlines())}
    runs = config["training"].get("mean_of", [])
    commands += [rows[run] for run in runs if not run.endswith(".h5")]
    while start["start"] not in ("none", "imagenet"):
        commands.append(rows[start["start"]])
        start = start["before"]
    assert len(commands) > 1
    for command in commands:
        assert re.sub(aside, "", command) in README.replace("\\\n  ", "")


def test_scripts_and_files_named_in_the_readme_exist():
    for script in set(re.findall(r"python (\w+\.py)", README)):
        assert (ROOT / script).is_file(), script
    for name in set(re.findall(r"requirements[\w-]*\.txt", README)):
        assert (ROOT / name).is_file(), name


def test_each_requirement_is_pinned_to_the_minor():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[\w-]+(\[\w+\])?==\d+\.\d+\.\*", line), line
