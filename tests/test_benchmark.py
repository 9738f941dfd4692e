"""benchmark.py: its table, its runtimes, and the memory that it measures."""

import csv
import os
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

import benchmark
from model.benchmark import load, measures
from model.benchmark.load import lesion, megabytes, sampled
from model.classifier import Classifier
from model.page import batch


def read(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def measured(trained, tmp_path, options="") -> list[dict]:
    """The rows that benchmark.py writes after a short measurement."""
    short = f"--calls 3 --seconds 0.4 --clients 1,3 {options}".split()
    places = ["--output", str(tmp_path), "--cache", str(tmp_path / "cache")]
    benchmark.main([str(trained), *short, *places])
    return read(tmp_path / "benchmark.csv")


def check_load(rows, said):
    """The part load, and the printed line that sums it up."""
    under = [row for row in rows if row["part"] == "load"]
    assert [(row["what"], row["clients"]) for row in under] == [
        (what, n) for what in ("naive page, queue", "page, /run", "page, queue") for n in "13"
    ]
    assert all(row["errors"] == "0" and float(row["per_second"]) > 0 for row in under)
    one, three = (f"{float(row['ratio']):.2f}" for row in under if row["what"] == "page, queue")
    assert f"page / naive page: {one} with 1, {three} with 3 clients" in said


def test_the_page_is_measured_beside_a_naive_one(trained, tmp_path, capsys):
    rows = measured(trained, tmp_path, "--parts load")
    said = capsys.readouterr().out
    assert list(rows[0]) == list(measures.COLUMNS)
    assert {row["part"] for row in rows} == {"page", "load", "published"}
    check_load(rows, said)
    published = next(row for row in rows if row["what"] == "classification, Streamlit")
    assert float(published["mean"]) == 97
    written = (tmp_path / "benchmark.md").read_text()
    assert "cores" in written and written[written.index("| load |") :] in said


@pytest.mark.nightly
def test_all_parts_with_all_runtimes(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "PUBLISHED", ("cnn_16_32", 24, 32))
    rows = measured(trained, tmp_path)
    assert {row["part"] for row in rows} == {*benchmark.PARTS, "page", "published"}
    check_load(rows, capsys.readouterr().out)
    first = next(row for row in rows if row["what"] == "from start to first answer")
    peak = next(row for row in rows if row["what"].startswith("peak memory"))
    assert 0.5 < float(first["seconds"]) < 300 and 50 < float(peak["megabytes"]) < 2000
    over = next(row for row in rows if row["what"].startswith("HTTP, upload then /run/analyze: "))
    whole = next(row for row in rows if row["what"] == "HTTP, upload then /run/analyze")
    assert 0 < float(over["median"]) < float(whole["median"])
    network = {row["what"]: row for row in rows if row["part"] == "network"}
    base = next(row for what, row in network.items() if what.endswith(benchmark.BASE))
    assert float(base["ratio"]) == 1 and base["calls"] == "3"
    for what in ("as the page runs it", "TF Lite, full int8", "Keras predict"):
        (row, *_) = [row for name, row in network.items() if what in name]
        assert float(row["min"]) <= float(row["median"]) <= float(row["max"])
        quotient = float(row["median"]) / float(base["median"])
        assert float(row["ratio"]) == pytest.approx(quotient, rel=0.05, abs=0.01)
    serving = [row for row in rows if row["part"] == "serving"]
    assert len(serving) >= 3 and all(float(row["per_second"]) > 0 for row in serving)


NO_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")


@pytest.mark.parametrize(
    "name", ["tflite", "compiled", pytest.param("openvino", marks=NO_OPENVINO)]
)
def test_runtimes_agree(name, trained):
    classifier = Classifier(trained)
    shape = classifier.height, classifier.width, 3
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = getattr(measures, name)(trained / "model.tflite")(image[None])
    np.testing.assert_allclose(found, classifier.run(image)[0][None], atol=0.01)


def test_runtimes_that_are_not_installed_are_named(trained, tmp_path, monkeypatch, capsys):
    for name in ("openvino", "onnxruntime", "tensorflow", "keras", "convert"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    args = benchmark.parse([str(trained), "--calls", "1", "--cache", str(tmp_path)])
    rows = benchmark.network_rows(args, Classifier(trained))
    said = capsys.readouterr().out
    assert "OpenVINO on the .tflite: not installed" in said and "No ratios" in said
    assert rows and rows[0]["ratio"] is None


@pytest.mark.parametrize(
    "ratios, line",
    [
        ([1.04, 1.5], "naive Gradio page: yes (calls per second, page / naive page: 1.04 with 1"),
        ([0.96, 1.5], "naive Gradio page: yes"),
        ([1.04, 0.9], "naive Gradio page: no"),
    ],
)
def test_the_verdict_is_yes_if_no_number_of_clients_is_slower(ratios, line):
    rows = [{"what": "naive page, queue", "clients": 1, "ratio": 0.1}]
    rows += [
        {"what": "page, queue", "clients": n, "ratio": ratio} for n, ratio in zip((1, 8), ratios)
    ]
    assert line in measures.verdict(rows)


def test_the_batch_tab_is_measured_through_the_page(trained, monkeypatch):
    calls, queued = [], load.Caller.queued

    def counted(self, sent, name="predict"):
        calls.append((name, len(sent)))
        return queued(self, sent, name)

    monkeypatch.setattr(load.Caller, "queued", counted)
    monkeypatch.setattr(batch, "MAX_PICTURES", 4)  # here, not in the page's process
    seconds, more = load.batch_cost(trained, 9)
    assert [count for name, count in calls if name == "answer_many_en"] == [4, 4, 1]
    assert seconds > 0 and 0 <= more < 200


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--sizes 5", "--sizes has no effect without --growth; leave it out"),
        ("--dataset pictures", "--dataset has no effect without --growth; leave it out"),
        ("--growth --calls 3", "--calls has no effect with --growth; leave it out"),
        ("--soak 1 --growth", "--growth has no effect with --soak; leave it out"),
        ("--soak 1 --clients 3", "--clients has no effect with --soak; leave it out"),
    ],
)
def test_an_option_that_is_not_used_is_refused(options, sentence, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(options.split())
    assert sentence in capsys.readouterr().err


@pytest.mark.nightly
def test_more_pictures_take_more_seconds_and_little_more_memory(trained, tmp_path):
    options = ["--growth", "--sizes", "14,1000", "--output", str(tmp_path)]
    rows = benchmark.main([str(trained), *options])
    assert [row["calls"] for row in rows] == [14, 1000] * 2
    assert all(row["seconds"] > 0 and row["megabytes"] >= 0 for row in rows)
    assert len(read(tmp_path / "growth.csv")) == 4
    batch, more_batch, evaluation, more_evaluation = (row["megabytes"] for row in rows)
    # Measured: 25, for a call's 200 thumbnails and table.
    assert more_batch - batch < 40
    # Measured: 184, as `datasets` reads a whole row group of files at once; the 1000 pictures
    # decoded would take 810.
    assert more_evaluation - evaluation < 250


def test_a_script_that_fails_is_an_error(tmp_path):
    with pytest.raises(load.LoadError, match="evaluate.py failed: (?s:.*)There is no folder /"):
        load.script_cost(tmp_path / "none", 1)


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
    values = {1.23456: "1.23", 98.76: "98.8", 1234.5: "1234", 7: "7", None: "", "x": "x"}
    assert [*map(measures.written, values)] == [*values.values()]
    rows = [measures.row("a", "b", [1.0, 2.0, 6.0]), measures.row("c", "d", seconds=2.0)]
    lines = measures.as_markdown(rows).splitlines()
    assert lines[0].startswith("| a | calls | mean | std") and "| 3 | 3 | 2.16 |" in lines[2]
    assert lines[-1] == "| d | 2 |"


def test_drawn_pictures_are_of_the_size_and_the_same_each_time():
    assert lesion(1) == lesion(1) != lesion(2)
    assert len(lesion(1, grain=0)) < len(lesion(1))
