import csv
import os
import sys
import time

import numpy as np
import pytest

import benchmark
from model.benchmark import cost, timing
from model.benchmark.cost import lesion, megabytes, sampled
from model.benchmark.timing import COLUMNS
from model.classifier import Classifier


def read(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_all_of_it_on_a_small_model_writes_the_table(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "PUBLISHED", ("cnn_16_32", 24, 32))
    benchmark.main(
        [
            str(trained),
            "--calls",
            "3",
            "--seconds",
            "0.4",
            "--clients",
            "1,3",
            "--output",
            str(tmp_path),
            "--cache",
            str(tmp_path / "cache"),
        ]
    )
    rows = read(tmp_path / "benchmark.csv")
    assert list(rows[0]) == list(COLUMNS)
    assert {row["part"] for row in rows} == {*benchmark.PARTS, "page", "published"}
    network = {row["what"]: row for row in rows if row["part"] == "network"}
    base = next(row for what, row in network.items() if what.endswith(benchmark.BASE))
    assert float(base["ratio"]) == 1 and base["calls"] == "3"
    for what in ("as the page runs it", "TF Lite, full int8", "Keras predict"):
        (row, *_) = [row for name, row in network.items() if what in name]
        assert float(row["min"]) <= float(row["median"]) <= float(row["max"])
        quotient = float(row["median"]) / float(base["median"])
        assert float(row["ratio"]) == pytest.approx(quotient, rel=0.05, abs=0.01)
    under = [row for row in rows if row["part"] == "load"]
    assert [(row["what"], row["clients"]) for row in under] == [
        (what, n) for what in ("naive page, queue", "page, /run", "page, queue") for n in "13"
    ]
    assert all(row["errors"] == "0" and float(row["per_second"]) > 0 for row in under)
    first = next(row for row in rows if row["what"] == "from start to first answer")
    peak = next(row for row in rows if row["what"].startswith("peak memory"))
    assert 0.5 < float(first["seconds"]) < 300 and 50 < float(peak["megabytes"]) < 2000
    over = next(row for row in rows if row["what"].startswith("HTTP, upload then /run/analyze: "))
    whole = next(row for row in rows if row["what"] == "HTTP, upload then /run/analyze")
    assert 0 < float(over["median"]) < float(whole["median"])
    published = next(row for row in rows if row["what"] == "classification, Streamlit")
    assert float(published["mean"]) == 97
    written = (tmp_path / "benchmark.md").read_text()
    table = written[written.index("| load |") :]
    assert "cores" in written and table in capsys.readouterr().out


def test_a_runtime_that_is_not_installed_is_said(trained, tmp_path, monkeypatch, capsys):
    for name in ("openvino", "onnxruntime", "tensorflow", "keras", "convert"):
        monkeypatch.setitem(sys.modules, name, None)
    args = benchmark.parse([str(trained), "--calls", "1", "--cache", str(tmp_path)])
    rows = benchmark.network_rows(args, Classifier(trained))
    said = capsys.readouterr().out
    assert "OpenVINO on the .tflite: not installed" in said and "no ratios" in said
    assert rows and "ratio" not in benchmark.with_ratios(rows)[0]


def test_more_pictures_take_more_seconds_and_no_more_memory(trained, tmp_path):
    rows = benchmark.main(
        [str(trained), "--growth", "--sizes", "14,1000", "--output", str(tmp_path)]
    )
    assert [row["calls"] for row in rows] == [14, 1000] * 2
    assert all(row["seconds"] > 0 and row["megabytes"] >= 0 for row in rows)
    assert len(read(tmp_path / "growth.csv")) == 4
    batch, more_batch, evaluation, more_evaluation = (row["megabytes"] for row in rows)
    # Thumbnails and table took 45, the data set's row group 140.
    assert more_batch - batch < 20
    assert more_evaluation - evaluation < 70


def test_a_cost_that_fails_is_an_error(tmp_path):
    for work in (cost.batch_cost, cost.evaluate_cost):
        with pytest.raises((RuntimeError, FileNotFoundError)):
            work(tmp_path / "none", 1)


def test_unknown_parts_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--parts", "load,lunch"])
    assert "lunch" in capsys.readouterr().err


def test_memory_is_seen_while_it_is_there():
    with sampled(os.getpid(), every=0.01) as samples:
        time.sleep(0.1)
        kept = np.ones(100_000_000, np.uint8)
        time.sleep(0.1)
        assert kept[-1] == 1
    assert 80 < max(samples) - samples[0] < 120
    assert megabytes(os.getpid(), "VmHWM") >= megabytes(os.getpid(), "VmRSS") > 100


def test_figures_are_written_in_three_digits():
    assert [timing.written(v) for v in (1.23456, 98.76, 1234.5, 7, None, "x")] == [
        "1.23",
        "98.8",
        "1234",
        "7",
        "",
        "x",
    ]
    rows = [timing.row("a", "b", [1.0, 2.0, 6.0]), timing.row("c", "d", seconds=2.0)]
    lines = timing.as_markdown(rows).splitlines()
    assert lines[0].startswith("| a | calls | mean | std") and "| 3 | 3 | 2.16 |" in lines[2]
    assert lines[-1] == "| d | 2 |"


def test_drawn_pictures_are_of_the_size_and_the_same_each_time():
    assert lesion(1) == lesion(1) != lesion(2)
    assert len(lesion(1, grain=0)) < len(lesion(1))
