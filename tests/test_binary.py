"""Benign against malignant, from training to the page: of seven diagnoses, and of two folders."""

import json
import re

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from made import drawing
from private_page import Bare, chromium_fixture, load, needs_chromium  # noqa: F401
from test_app import served

import convert
import evaluate
import train
from model.classifier import Classifier
from model.data import dataset as data
from model.data.split import classes_of, malignant_labels, to_binary
from model.evaluation.calibration import calibrate
from model.labels import BINARY, LABELS
from model.page import about, answer, batch, table
from model.page.texts import name, number, probability, text
from model.warning import suspicious

pytestmark = pytest.mark.filterwarnings("ignore")
# The malignant labels of HAM10000.
MALIGNANT = ["akiec", "bcc", "mel"]


@pytest.fixture(scope="module")
def binary(made, tmp_path_factory):
    """A model folder of --task binary with P2's head, one sigmoid, made by all three scripts."""
    base = tmp_path_factory.mktemp("binary")
    more = ["--cache", str(base / "cache"), "--results", str(base / "runs.csv")]
    folder = train.main(
        [
            "--dataset",
            str(made),
            "--task",
            "binary",
            "--output",
            str(base / "run"),
            "--weights",
            "none",
            "--backbone",
            "cnn_16_32",
            "--size",
            "24x32",
            "--batch",
            "16",
            "--epochs",
            "12",
            "--set",
            "average=0.9",
            "--set",
            "augment=0.3",
            f"cache={base / 'cache'}",
            "--results",
            str(base / "runs.csv"),
        ]
    )
    convert.main([str(folder), "--quantize", "none", *more])
    evaluate.main([str(folder), "--resamples", "20", *more])
    return folder


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_labels_and_parts_of_a_binary_run(binary, trained):
    config = read(binary, "config.json")
    assert config["labels"] == BINARY and config["head"] == "published"
    assert config["data"]["classes"] == {
        "benign": ["bkl", "df", "nv", "vasc"],
        "malignant": MALIGNANT,
    }
    # The same pictures as with the seven diagnoses.
    assert read(binary, "split.json") == read(trained, "split.json")
    seven = read(trained, "config.json")["data"]["counts"]["test"]
    two = config["data"]["counts"]["test"]
    assert two["malignant"] == sum(seven[label] for label in MALIGNANT) > 0
    assert two["benign"] == sum(seven.values()) - two["malignant"] > 0


def test_figures_of_a_binary_run(binary):
    metrics = read(binary, "metrics.json")
    for entry in (metrics["keras"], metrics["tflite"]):
        assert list(entry["per_class"]) == BINARY and "melanoma" not in entry
        alone, point = entry["malignant"], entry["suspicious"]
        (tn, fp), (fn, tp) = entry["confusion"]
        assert alone["sensitivity"]["value"] == pytest.approx(tp / (tp + fn), abs=1e-6)
        assert alone["specificity"]["value"] == pytest.approx(tn / (tn + fp), abs=1e-6)
        assert point["labels"] == ["malignant"] and point["roc_auc"]["value"] > 0.8
        assert point["roc_auc"] == pytest.approx(entry["per_class"]["malignant"]["roc_auc"])
    report = (binary / "report.md").read_text(encoding="utf-8")
    assert "malignant sensitivity" in report and "published" not in report
    calibration = read(binary, "config.json")["calibration"]
    assert calibration["suspicious"] == ["malignant"] and calibration["sensitivity"] == 0.95
    row = (binary.parent / "runs.csv").read_text().splitlines()
    cells = dict(zip(row[0].split(","), row[1].split(",")[-len(row[0].split(",")) :]))
    assert "test_malignant_sensitivity" in cells


def test_the_served_graph_gives_two_probabilities(binary):
    prediction = Classifier(binary)(drawing("mel", 3))
    assert list(prediction.probabilities) == BINARY
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert prediction.evidence.shape[-1] == 2 and prediction.evidence.std() > 0


@pytest.mark.nightly
def test_two_folders_of_pictures_are_a_binary_set(tmp_path):
    for i, dx in enumerate(["mel"] * 24 + ["nv"] * 24):
        folder = tmp_path / "set" / ("malignant" if dx == "mel" else "benign")
        folder.mkdir(parents=True, exist_ok=True)
        drawing(dx, i).save(folder / f"{i:03d}.png")
    more = ["--cache", str(tmp_path / "cache")]
    folder = train.main(
        [
            "--dataset",
            str(tmp_path / "set"),
            "--label-column",
            "label",
            "--split-by",
            "image",
            "--task",
            "binary",
            "--output",
            str(tmp_path / "run"),
            "--weights",
            "none",
            "--backbone",
            "cnn_32_32_64",
            "--size",
            "32x32",
            "--batch",
            "8",
            "--epochs",
            "2",
            "--set",
            f"cache={tmp_path / 'cache'}",
        ]
    )
    config = read(folder, "config.json")
    assert config["labels"] == BINARY and config["calibration"]["suspicious"] == ["malignant"]
    convert.main([str(folder), "--quantize", "none", *more])
    metrics = evaluate.main([str(folder), "--resamples", "5", *more])
    assert metrics["tflite"]["support"] == config["data"]["counts"]["test"]


def rows_of(*labels):
    dx = np.array(labels)
    ids = np.array([str(i) for i in range(len(dx))])
    return data.Rows("made", sorted(set(labels)), ids, None, dx, 0)


def test_which_labels_are_malignant():
    seven = rows_of(*LABELS)
    seven.labels = LABELS
    assert malignant_labels(seven, None) == MALIGNANT
    assert to_binary(seven, MALIGNANT).dx.tolist() == [
        "malignant",
        "malignant",
        "benign",
        "benign",
        "malignant",
        "benign",
        "benign",
    ]
    other = rows_of("naevus", "melanoma", "wart")
    assert malignant_labels(other, ["melanoma"]) == ["melanoma"]
    assert classes_of(other.labels, ["melanoma"]) == {
        "benign": ["naevus", "wart"],
        "malignant": ["melanoma"],
    }
    with pytest.raises(data.DatasetError, match="has no label malignant.*naevus"):
        malignant_labels(other, None)
    with pytest.raises(data.DatasetError, match="none is left as benign"):
        malignant_labels(other, ["naevus", "melanoma", "wart"])


def test_a_set_is_measured_by_its_own_labels_or_by_the_two(tmp_path):
    classes = {"benign": ["naevus", "wart"], "malignant": ["melanoma"]}
    for i, label in enumerate(("naevus", "malignant", "melanoma", "wart", "benign")):
        (tmp_path / label).mkdir()
        drawing("mel", i).save(tmp_path / label / "a.png")
    rows = data.load_rows(str(tmp_path), "label", (), labels=BINARY, classes=classes)
    assert sorted(rows.dx) == ["benign"] * 3 + ["malignant"] * 2
    (tmp_path / "scar").mkdir()
    drawing("mel", 9).save(tmp_path / "scar" / "a.png")
    with pytest.raises(data.DatasetError) as error:
        data.load_rows(str(tmp_path), "label", (), labels=BINARY, classes=classes)
    assert str(error.value) == (
        f"{tmp_path}: these labels in column 'label' are none of benign, malignant: "
        "'scar' (1, first 0000004 (row 5 of the part train)). Leave these rows out."
    )


def test_operating_point_is_of_the_two_labels():
    truth = np.array([0, 0, 0, 1, 1, 1])
    logits = np.array([[0, -4], [0, -2], [0, 1], [0, -1], [0, 2], [0, 3.0]])
    calibration = calibrate(logits, truth, BINARY)
    assert calibration["suspicious"] == ["malignant"]
    # The probability of the malignant image that is least likely so.
    malignant = 1 / (1 + np.exp(1 / calibration["temperature"]))
    assert calibration["threshold"] == pytest.approx(malignant, abs=1e-6)
    assert "threshold" not in calibrate(logits, truth, ["no", "yes"])


@pytest.mark.parametrize("kind", [pytest.param("seven", marks=pytest.mark.nightly), "two"])
def test_a_folder_goes_from_training_to_the_page(kind, request, tmp_path):
    folder = request.getfixturevalue("binary" if kind == "two" else "trained")
    labels = BINARY if kind == "two" else LABELS
    drawing("mel", 1, (320, 240)).save(tmp_path / "lesion.png")
    with served("--model", str(folder)) as url:
        client = Client(url, verbose=False)
        picture = handle_file(tmp_path / "lesion.png")
        analysed = client.predict(picture, api_name="/analyze")
        shares = client.predict(picture, api_name="/predict")
        config = httpx.get(f"{url}/config").text
    assert analysed["codes"] == labels and len(shares) == len(labels)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    probabilities, flag = analysed["probabilities"], analysed["suspicious"]
    suspects = MALIGNANT if kind == "seven" else ["malignant"]
    assert flag["score"] == pytest.approx(sum(probabilities[label] for label in suspects))
    other = ("lead_binary", "lead") if kind == "two" else ("lead", "lead_binary")
    shown, hidden = (f"class='lead'>{text('en', key)}" for key in other)
    assert shown in config and hidden not in config


def test_what_the_page_says_of_two_labels(binary, trained):
    classifier = Classifier(binary)
    for language, malignant in (("en", "Malignant"), ("id", "Ganas (malignant)")):
        glossary = answer.glossary(classifier.labels, language)
        assert glossary.count("<h3>") == 2 and "HAM10000" not in glossary
        said = " ".join(about.about(classifier, language))
        assert name(language, "akiec") in said and name(language, "vasc") in said
        rates = " ".join(about.rates(classifier, language))
        caught = classifier.metrics["tflite"]["suspicious"]["sensitivity"]["value"]
        assert f" {number(100 * caught, language)} (" in rates and rates in said
        assert text(language, "rates_malignant") in rates
        # None of the seven's own sentences.
        seven = " ".join(about.about(Classifier(trained), language))
        assert text(language, "about_limits") in seven
        assert text(language, "about_limits") not in said
        view = answer.view(classifier, language)
        assert view["labels"] == BINARY and view["suspicious"]["labels"] == ["malignant"]
        assert malignant in view["names"].values()


def test_a_batch_of_two_labels_has_their_columns(binary, tmp_path):
    drawing("nv", 2, (320, 240)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    classifier = Classifier(binary)
    rows = batch.classify_many(classifier, [str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    batch.write_csv(rows[1:], tmp_path / "failed.csv", classifier.labels)
    batch.write_csv(rows, tmp_path / "both.csv", classifier.labels)
    heads = {
        (tmp_path / f).read_text("utf-8-sig").splitlines()[0] for f in ("failed.csv", "both.csv")
    }
    columns = ["name", "flag", "suspicious_score", "threshold", "confident", "top_diagnosis"]
    columns += ["probability", *BINARY, "notices", "error", "set_80", "set_90", "set_95"]
    assert heads == {",".join(f'"{column}"' for column in columns)}
    assert rows[0].suspicious["score"] == pytest.approx(rows[0].probabilities["malignant"])
    assert table.table(rows, BINARY, "id").count("<abbr") == 2


def test_the_card_says_what_is_malignant(binary):
    card = (binary / "README.md").read_text(encoding="utf-8")
    assert "two probabilities: benign, malignant" in card and "seven" not in card
    assert (
        "These count as malignant: Actinic keratosis or Bowen's disease (akiec), Basal cell" in card
    )
    assert "Malignant sensitivity" in card and "| task | binary |" in card


@needs_chromium
def test_the_private_tab_answers_as_the_server_does(binary, chromium, tmp_path):
    drawing("mel", 5, (320, 240)).save(tmp_path / "lesion.png")
    classifier = Classifier(binary)
    expected = classifier.predict(tmp_path / "lesion.png")
    with Bare(classifier).serving() as server:
        tab = chromium.new_page(locale="en-US")
        tab.goto(server.url)
        load(tab)
        tab.locator(".private input[type=file]").set_input_files(tmp_path / "lesion.png")
        tab.locator(".private").get_by_text(text("en", "classify"), exact=True).click()
        tab.locator(".private .share").nth(1).wait_for()
        rows = tab.locator(".private .share").all_inner_texts()
        verdict = tab.locator(".private .said").inner_text()
        tab.close()
    labels = [re.split(r"[\n\xa0]|\d", row)[0] for row in rows]
    assert labels == [name("en", k) for k, _ in expected.top(2)]
    for row, (_, p) in zip(rows, expected.top(2)):
        assert probability(p, "en") in row
    point = suspicious(expected, classifier.config)
    shown = "unsure" if not expected.confident else "suspicious" if point["flag"] else "benign"
    assert text("en", f"sum_{shown}") in verdict
