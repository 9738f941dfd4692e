"""The table of runs: its rows, and that the repository's own is up to date."""

import csv
import json
import shutil

import pytest

from model import folder as f
from model.evaluation import runs as r


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_three_scripts_write_one_row_with_the_figures_of_the_folder(trained):
    # conftest.py passes --results to each of them.
    (row,) = read(trained.parent / "runs.csv")
    config = f.read_config(trained)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert row["name"] == trained.name and row["command"] == config["training"]["command"]
    data = config["data"]["dataset"]
    assert (row["data"], row["weights"], row["size"]) == (data, "none", "24x32")
    assert int(row["parameters"]) == config["parameters"]
    reached = config["training"]["validation"]
    measured = metrics["tflite"]
    for part, figures in (("validation", reached), ("test", measured)):
        for key in ("top_1", "top_2", "top_3", "balanced_accuracy", "macro_f1", "ece"):
            assert float(row[f"{part}_{key}"]) == figures[key]["value"], key
        low = figures["balanced_accuracy"]["low"]
        assert float(row[f"{part}_balanced_accuracy_low"]) == low
        mel = figures["melanoma"]["sensitivity"]["value"]
        assert float(row[f"{part}_melanoma_sensitivity"]) == mel
    assert int(row["test_images"]) == measured["n"] and row["test_runtime"] == "tflite"
    assert float(row["tflite_ms"]) == measured["latency_ms"]["mean"]
    size = (trained / "model.tflite").stat().st_size
    assert float(row["tflite_mb"]) == pytest.approx(size / 1e6, abs=0.005)
    assert float(row["images_per_second"]) > 0


def test_a_run_that_was_not_tested_has_no_test_figures(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    metrics = f.read_metrics(copy)
    f.write_json(copy / f.METRICS, metrics | {"data": metrics["data"] | {"part": "validation"}})
    row = r.row_of(copy)
    assert row["test_top_1"] == row["test_images"] == row["test_runtime"] == ""
    assert row["validation_top_1"] != ""


def test_a_row_is_replaced_and_others_stay(trained, tmp_path):
    path = tmp_path / "results" / "runs.csv"
    r.write_row(trained, path)
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = f.read_config(copy)
    f.write_json(copy / f.CONFIG, config | {"name": "other"})
    r.write_row(copy, path)
    config["training"]["minutes"] = 123.4
    f.write_json(copy / f.CONFIG, config | {"name": trained.name})
    r.write_row(copy, path)
    rows = read(path)
    assert [row["name"] for row in rows] == [trained.name, "other"]
    assert rows[0]["minutes"] == "123.4" and rows[1]["minutes"] != "123.4"
    assert [p.name for p in path.parent.iterdir()] == ["runs.csv"]


def test_another_table_is_left_alone(trained, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("fruit,price\napple,1\n")
    with pytest.raises(f.ModelFolderError, match="not a table of runs"):
        r.write_row(trained, path)
    assert path.read_text() == "fruit,price\napple,1\n"


@pytest.mark.parametrize("folder", [f.BUNDLED, f.COMPACT])
def test_bundled_models_have_their_rows_in_the_table_of_the_repository(folder):
    rows = {row["name"]: row for row in read(f.BUNDLED.parents[1] / "results" / "runs.csv")}
    made = r.row_of(folder)
    assert rows[made["name"]] == {column: str(value) for column, value in made.items()}


def test_every_column_is_explained(trained):
    text = (f.BUNDLED.parents[1] / "results" / "README.md").read_text()
    for column in r.row_of(trained):
        part, _, figure = column.partition("_")
        assert f"`{column}`" in text or (part in ("validation", "test") and f"`{figure}`" in text)
