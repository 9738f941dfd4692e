"""report.md, the printed report and the figures, from made metrics."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from model.evaluation import figures
from model.evaluation.metrics import classification_metrics, subgroup_metrics
from model.hub.card import PUBLISHED, report_text, write_report
from model.network.backbones import BACKBONES

SEVEN, SUPPORT = list(PUBLISHED["test_support"]), list(PUBLISHED["test_support"].values())
OPTIONS = {"suspicious": ["mel", "bcc", "akiec"], "threshold": 0.3}
CONFIG = {"architecture": "inception_resnet_v2", "input": {"height": 299, "width": 299}}
FIGURES = ("confusion.png", "roc.png", "reliability.png")
LATENCY = {"mean": 131.2, "std": 4.1, "min": 120.0, "max": 150.2, "median": 130.0, "calls": 30}


def measured(labels, support, seed=0, **options):
    """classification_metrics of a made model, as metrics.json gives it back."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(labels)), support)
    logits = random.normal(size=(len(truth), len(labels)))
    logits[np.arange(len(truth)), truth] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lesions = [f"lesion {row}" for row in range(len(truth))]
    entry = classification_metrics(labels, truth, probabilities, lesions, resamples=40, **options)
    sexes = ["female" if row % 2 else "male" for row in range(len(truth))]
    groups = subgroup_metrics(labels, truth, probabilities, lesions, sexes, resamples=20, **options)
    return json.loads(json.dumps(entry)), json.loads(json.dumps(groups))


@pytest.fixture(scope="module")
def metrics():
    keras, groups = measured(SEVEN, SUPPORT, seed=0, **OPTIONS)
    tflite, _ = measured(SEVEN, SUPPORT, seed=1, **OPTIONS)
    return {
        "data": {"dataset": "ham10000", "part": "test", "images": 828},
        "keras": keras,
        "tflite": tflite | {"latency_ms": LATENCY},
        "conversion": {
            "quantize": "dynamic",
            "images": 843,
            "top_1_agreement": 0.9935,
            "largest_difference": 0.0412,
            "megabytes": 55.31,
        },
        "subgroups": {"sex": groups},
    }


@pytest.fixture(scope="module")
def folder(metrics, tmp_path_factory):
    """A folder with the report of `metrics`."""
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, CONFIG, metrics)
    return folder


@pytest.fixture
def report(tmp_path, monkeypatch):
    """report(metrics): the text of report.md, without drawing figures."""
    for kind in ("confusion_figure", "roc_figure", "reliability_figure"):
        monkeypatch.setattr(figures, kind, lambda *_: None)

    def written(metrics):
        write_report(tmp_path, {}, metrics)
        return (tmp_path / "report.md").read_text(encoding="utf-8")

    return written


def test_report_holds_our_figures_beside_the_published(folder, metrics):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# InceptionResNetV2: ham10000, test part, 828 images\n")
    assert "Not comparable" not in text
    mel = metrics["tflite"]["per_class"]["mel"]
    rows = [line for line in text.splitlines() if line.startswith("| mel | 34 |")]
    assert len(rows) == 2 and rows[1].endswith("| 0.45 | 0.65 | 0.53 |")
    recall = mel["recall"]
    assert f"{recall['value']:.2f} ({recall['low']:.2f}–{recall['high']:.2f})" in rows[1]
    top = next(line for line in text.splitlines() if line.startswith("| top-1 accuracy"))
    assert top.endswith("| 80.07 | 87.56 | 83.10 |")
    assert f"{metrics['keras']['top_1']['value'] * 100:.2f}" in top
    for words in (
        "0.885 (winner)",
        "Streamlit",
        "By sex",
        "99.35%",
        "not a medical diagnosis",
        "doi:10.62146/ijecbe.v1i2.13",
        "mel + bcc + akiec",
    ):
        assert words in text
    for name in FIGURES:
        with Image.open(folder / name) as image:
            assert image.format == "PNG" and image.width == 1200
            assert np.asarray(image.convert("L")).std() > 10  # something is drawn
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FIGURES, "report.md"])


def test_every_table_has_as_many_cells_in_each_row(folder):
    width, tables = None, 0
    for line in (folder / "report.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            width = None
            continue
        tables += width is None
        width = width or line.count("|")
        assert line.count("|") == width, line
    assert tables == 6


def test_another_part_of_the_seven_classes_is_not_comparable(report):
    tflite, _ = measured(SEVEN, [9, 8, 7, 0, 6, 30, 5])
    text = report({"tflite": tflite, "data": {"part": "test"}})
    assert "Not comparable" in text and "nv 663" in text
    assert "| df | 0 | – | – | – |" in text


def test_the_published_counts_of_another_part_do_not_compare(report, metrics):
    assert "Not comparable" in report(metrics | {"data": {"dataset": "mine", "part": "all"}})


@pytest.mark.parametrize("k", [2, 11, 25])
def test_other_classes_stand_alone(tmp_path, k):
    labels = [f"class {index}" for index in range(k)]
    entry, _ = measured(labels, [6] * k)
    write_report(tmp_path, {"architecture": "resnet50"}, {"keras": entry})
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "ublished" not in text and "melanoma" not in text and "# resnet50" in text
    assert all((tmp_path / name).stat().st_size > 5000 for name in FIGURES)
    assert "TF Lite" not in text


def test_calibration_before_and_after_in_one_figure(folder, metrics, tmp_path):
    title = "TF Lite, ham10000, test part, 828 images"
    for before, same in ((None, True), (metrics["keras"], False)):
        figures.reliability_figure(metrics["tflite"], before, title, tmp_path / "drawn.png")
        drawn = (tmp_path / "drawn.png").read_bytes()
        assert (drawn == (folder / "reliability.png").read_bytes()) == same


def test_gaps_between_groups_are_below_their_table(report, metrics):
    def group(top, caught, **support):
        n = sum(support.values())
        point = {"labels": ["mel"], "sensitivity": caught, "specificity": top}
        return {"n": n, "lesions": n, "support": support, "top_1": top, "suspicious": point}

    def figure(*ends):
        return dict(zip(("value", "low", "high"), ends))

    groups = {
        "a|b": group(figure(0.5, 0.4, 0.6), figure(1.0, 1.0, 1.0), mel=10, nv=90),
        "c": group(figure(0.9, 0.8, 0.95), figure(0.8, 0.6, 0.9), mel=20, nv=80),
        "d": group(figure(0.2, 0.1, 0.3), figure(None, None, None), nv=9),
        "unknown": group(figure(0.1, 0.0, 0.2), figure(0.5, 0.2, 0.8), mel=10, nv=90),
    }
    text = report(metrics | {"subgroups": {"localization": groups}})
    assert "## By body site\n" in text
    assert "| a\\|b | 100 | 100 | 2 | 10 | 10 | 50.00 (40.00–60.00) | 1.00 (0.72–1.00) |" in text
    for line in (
        "- Top-1 accuracy, %: of 2 groups, 50.00 (40.00–60.00) for a\\|b (100 images) is the "
        "lowest and 90.00 (80.00–95.00) for c (100 images) the highest; their intervals do not "
        "overlap. Fewer than 10 images: d (9).",
        "- Suspicious sensitivity: of 2 groups, 0.80 (0.60–0.90) for c (20 suspicious images) is "
        "the lowest and 1.00 (0.72–1.00) for a\\|b (10 suspicious images) the highest; their "
        "intervals overlap, so this may be chance. Fewer than 10 suspicious images: d (0).",
        "- 100 images without a value (unknown) are not compared.",
    ):
        assert f"{line}\n" in text
    text = report(metrics | {"subgroups": {"sex": {"male": groups["c"]}}})
    assert "- Top-1 accuracy, %: no two groups of at least 10 images to compare.\n" in text
    text = report(metrics | {"subgroups": {"sex": {"male": groups["c"], "female": groups["c"]}}})
    assert "- Top-1 accuracy, %: the same for all 2 groups that can be compared.\n" in text


def test_the_report_says_what_ham10000_cannot_tell_about_skin_tone(report, metrics):
    assert "\n## Skin tone\n\nNot measured. HAM10000 has no column for it" in report(metrics)
    groups = metrics["subgroups"]["sex"]
    text = report(metrics | {"subgroups": {"skin_type": groups}})
    assert "## By skin_type\n" in text
    assert "\n## Skin tone\n\nHAM10000 has no column for it" in text
    entry, _ = measured(["cat", "dog"], [6, 6])
    assert "kin tone" not in report({"tflite": entry})


def test_skin_tone_stays_unmeasured_whatever_else_is_grouped(report, metrics):
    groups = metrics["subgroups"]["sex"]
    for column, measures in (("camera", False), ("Fitzpatrick", True), ("monk_tone", True)):
        text = report(metrics | {"subgroups": {column: groups}})
        assert f"## By {column}\n" in text
        assert ("\n## Skin tone\n\nNot measured." not in text) == measures


def test_figures_of_an_earlier_report_do_not_stay(metrics, tmp_path):
    for name in ("decision_curve.png", "risk_coverage.png", "mine.png"):
        (tmp_path / name).write_bytes(b"before")
    write_report(tmp_path, CONFIG, metrics)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == sorted([*FIGURES, "mine.png"])


def test_nothing_measured_is_said(tmp_path):
    for metrics in ({}, {"keras": {}, "conversion": {"megabytes": 3}}):
        with pytest.raises(ValueError, match="evaluate.py"):
            write_report(tmp_path, {}, metrics)
        with pytest.raises(ValueError, match="evaluate.py"):
            report_text(metrics)
    assert list(tmp_path.iterdir()) == []


def test_printed_report(metrics):
    lines = report_text(metrics).splitlines()
    assert lines[0] == "ham10000, test part, 828 images"
    assert max(map(len, lines[:-1])) <= 100
    top = next(line for line in lines if line.startswith("top-1")).split()
    figure = metrics["tflite"]["top_1"]
    assert top[-1] == "80.07" and f"{figure['value'] * 100:.2f}" in top
    assert sum(line.startswith("mel  ") for line in lines) == 2
    assert any("131 ms" in line and "30 calls" in line for line in lines)
    assert "55.3 MB" in lines[-1]


def test_history_figure_takes_missing_and_undefined_figures(tmp_path):
    rows = [
        {"epoch": 1, "loss": 2.0, "val_loss": math.nan, "val_balanced_accuracy": 0.2},
        {"epoch": 2, "loss": 1.0, "val_loss": 1.5},
        {"epoch": 3, "loss": 0.5, "val_loss": 1.0, "val_balanced_accuracy": 0.6},
    ]
    sizes = set()
    for name, some in (("full", rows), ("one", rows[:1]), ("none", [])):
        path = tmp_path / f"{name}.png"
        figures.history_figure(some, path)
        with Image.open(path) as image:
            assert image.width == 1200
        sizes.add(path.stat().st_size)
    assert len(sizes) == 3


def test_published_figures_agree_with_each_other():
    support, images = PUBLISHED["test_support"], PUBLISHED["test_images"]
    assert sum(support.values()) == images == 828
    assert round(support["nv"] / images, 4) == 0.8007
    for share in PUBLISHED["top_k"]["InceptionResNetV2"].values():
        assert share == pytest.approx(round(share * images) / images, abs=5e-6)
    for runtime in PUBLISHED["runtimes"].values():
        for label, (_, recall, _) in runtime["per_class"].items():
            count = round(recall * support[label])
            assert recall == pytest.approx(count / support[label], abs=0.0051), label
        for column in range(3):
            mean = sum(row[column] for row in runtime["per_class"].values()) / 7
            assert mean == pytest.approx(runtime["macro"][column], abs=0.0101)
    works = {work["model"]: work for work in PUBLISHED["other_works"]}
    for system in PUBLISHED["systems"]:
        title = BACKBONES[system["backbone"]].title
        listed = works.get(title, {}) | PUBLISHED["top_k"].get(title, {})
        assert system | {key: listed[key] for key in set(listed) - {"model"}} == system
