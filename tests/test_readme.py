"""The figures and commands in README.md and docs/ are those of the repository."""

import csv
import re
from pathlib import Path

import pytest

from model.folder import BUNDLED, COMPACT, read_config, read_metrics, shareable

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
PAGES = {path.name: path.read_text("utf-8") for path in FILES}
README, HISTORY = PAGES["README.md"], PAGES["training-history.md"]


def test_the_readmes_figures_are_those_of_the_models():
    def cell(figure, scale, digits):
        ends = (f"{figure[key] * scale:.{digits}f}" for key in ("value", "low", "high"))
        return "{} ({}–{})".format(*ends)

    measured = [read_metrics(folder)["tflite"] for folder in (BUNDLED, COMPACT)]
    for start, path, scale, digits in (
        ("| balanced accuracy", ("balanced_accuracy",), 1, 2),
        ("| melanoma recall", ("melanoma", "sensitivity"), 100, 0),
        ("| warning, sensitivity", ("suspicious", "sensitivity"), 100, 0),
        ("| warning, specificity", ("suspicious", "specificity"), 100, 0),
    ):
        (row,) = (line for line in README.splitlines() if line.startswith(start))
        for metrics, shown in zip(measured, row.split(" | ")[1:]):
            figure = metrics
            for key in path:
                figure = figure[key]
            assert cell(figure, scale, digits) == shown, row


@pytest.mark.parametrize("section, folder", [("results", BUNDLED), ("compact", COMPACT)])
def test_the_historys_tables_are_those_of_the_reports(section, folder):
    report = (folder / "report.md").read_text("utf-8").splitlines()
    text = HISTORY.split(f"<!-- {section}: begin -->")[1].split(f"<!-- {section}: end -->")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) > 10
    for line in lines:
        assert line in report, line


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_the_history_has_the_commands_that_made_the_models(folder):
    # Without the options that say where things lie on one machine.
    aside = r" --(cache|results) \S+| --(no-peak|resume)"
    history = " ".join(map(shareable, HISTORY.replace("\\\n  ", "").split(" ")))
    config = read_config(folder)
    commands, start = [config["training"]["command"]], config["weights"]
    table = (ROOT / "results" / "runs.csv").read_text("utf-8")
    rows = {row["name"]: row["command"] for row in csv.DictReader(table.splitlines())}
    runs = config["training"].get("mean_of", [])
    commands += [rows[run] for run in runs if not run.endswith(".h5")]
    while start["start"] not in ("none", "imagenet"):
        commands.append(rows[start["start"]])
        start = start["before"]
    assert len(commands) > 1
    for command in commands:
        assert re.sub(aside, "", command) in history


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page):
    text = PAGES[page]
    here = ROOT if page == "README.md" else ROOT / "docs"
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        path = (here / link).resolve()
        assert path.exists(), link
    named = r"\bpython (\w+\.py)|\b(requirements[\w-]*\.txt)|\b(tests/\w+\.py)"
    for name in re.findall(named, text):
        assert (ROOT / "".join(name)).is_file(), name
    for anchor in re.findall(r"training-history\.md#([\w-]+)", text):
        assert f"## {anchor}" in HISTORY.lower(), anchor


def test_the_snippet_without_a_server_runs(monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(from model\.classifier .*?)```", README, re.S)
    monkeypatch.chdir(ROOT)
    exec(code, {})
    assert "mel" in capsys.readouterr().out


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_each_requirement_is_pinned_to_the_minor():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[\w-]+(\[\w+\])?==\d+\.\d+\.(\*|\d+)", line), line
