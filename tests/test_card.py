"""The model card: what it says, what it leaves out, and that people's edits survive."""

import ast
import copy
import hashlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import ModelCard
from PIL import Image
from test_report import LATENCY, OPTIONS, SEVEN, SUPPORT, measured

from model.evaluation.coverage import set_metrics
from model.folder import BUNDLED, COMPACT, ModelFolderError, write_checksums
from model.hub import tables
from model.hub.card import BEGIN, END, HAM10000, PRECISIONS, README, write_card
from model.network.backbones import BACKBONES
from model.page.texts import TEXTS

DERMATOLOGY = ("HAM", "esion", "ermat", "elanoma", "linic", "kin ", "uspicious", "Vienna")


def config_of(labels, dataset="marmal88/skin_cancer", **changes):
    count = {label: 9 for label in labels}
    return {
        "format": 1,
        "architecture": "inception_resnet_v2",
        "input": {"height": 224, "width": 299, "channels": "RGB", "values": "0-255"},
        "preprocessing": {"scaling": "tf"},
        "labels": labels,
        "calibration": {"temperature": 1.37, "part": "validation", "sensitivity": 0.95},
        "data": {
            "dataset": dataset,
            "label_column": "dx",
            "images": 10015,
            "split_by": "lesion",
            "repeated_rows_dropped": 3339,
            "split_seed": 101,
            "counts": {part: count for part in ("train", "validation", "test")},
        },
        "weights": {
            "start": "second",
            "dataset": "isic2019_84px",
            "images": 15284,
            "size": "84x84",
            "before": {
                "start": "first",
                "dataset": "tiny_imagenet_64px",
                "images": 33334,
                "size": "64x64",
                "before": {"start": "none"},
            },
        },
        "training": {
            "dataset": "/home/jdoe/pictures",
            "command": "python train.py --secret-path",
            "monitor": "val_balanced_accuracy",
            "batch": 48,
            "learning_rate": 0.0007,
            "patience": None,
            "epochs_run": 61,
            "best_epoch": 57,
            "minutes": 412.5,
            "device": "NVIDIA H200",
            "validation": {"top_1": {"value": 0.9137, "low": 0.9, "high": 0.93}},
        },
        "parameters": 54347495,
        "versions": {"keras": "3.15.1"},
    } | changes


@pytest.fixture(scope="module")
def metrics():
    keras, groups = measured(SEVEN, SUPPORT, seed=0, **OPTIONS)
    tflite, _ = measured(SEVEN, SUPPORT, seed=1, **OPTIONS)
    return {
        "data": {"dataset": "ham10000", "part": "test", "images": 828},
        "keras": keras,
        "tflite": tflite | {"latency_ms": LATENCY},
        "uncalibrated": {"ece": {"value": 0.0873, "low": None, "high": None}},
        "conversion": {
            "quantize": "dynamic",
            "megabytes": 55.31,
            "images": 843,
            "top_1_agreement": 0.9935,
            "largest_difference": 0.0412,
        },
        "subgroups": {"dataset": groups, "sex": groups, "age": groups, "localization": groups},
    }


@pytest.fixture
def made(tmp_path):
    """made(config, metrics) makes a folder of them; made.card() writes its card and reads it."""

    def make(config, metrics=None, converted=True):
        (tmp_path / "config.json").write_text(json.dumps(config))
        if metrics is not None:
            (tmp_path / "metrics.json").write_text(json.dumps(metrics))
        if converted:
            (tmp_path / "model.tflite").write_bytes(b"graph")
        return tmp_path

    def card(repo_id=None):
        write_card(tmp_path, repo_id)
        return ModelCard.load(tmp_path / README)

    make.card, make.text = card, lambda repo_id=None: card(repo_id).text
    return make


def test_front_matter_is_what_the_hub_reads(made, metrics):
    made(config_of(SEVEN), metrics)
    data = made.card("ann/lesions").data
    assert (data.license, data.library_name) == ("cc-by-nc-4.0", "litert")
    assert data.pipeline_tag == "image-classification" and data.base_model is None
    assert data.datasets == [HAM10000] and {"ham10000", "keras"} <= set(data.tags)
    assert data.model_name == "lesions" and "accuracy" in data.metrics
    shown = {(result.metric_type, result.metric_name): result for result in data.eval_results}
    served = metrics["tflite"]
    for kind, name, figure in (
        ("accuracy", "Top-1 accuracy", served["top_1"]),
        ("accuracy", "Top-3 accuracy", served["top_3"]),
        ("f1", "Macro F1", served["macro_f1"]),
        ("recall", "Melanoma sensitivity", served["per_class"]["mel"]["recall"]),
    ):
        result = shown[kind, name]
        assert result.metric_value == pytest.approx(figure["value"], abs=5e-5)
        assert (result.dataset_type, result.dataset_split) == (HAM10000, None)
        assert result.dataset_name == "HAM10000, test part, 828 images"


def test_the_text_holds_the_folders_figures(made, metrics):
    config = config_of(SEVEN)
    config["calibration"] |= {"suspicious": OPTIONS["suspicious"], "threshold": 0.3}
    made(config, metrics)
    text = made.text()
    for words in (
        "# InceptionResNetV2 on HAM10000",
        "not a medical diagnosis",
        "224x299",
        "54,347,495",
        "10,015 images",
        "3,339 rows",
        "No lesion is in two parts".lower(),
        "| batch | 48 |",
        "| learning rate | 0.0007 |",
        "412.5 minutes",
        "NVIDIA H200",
        "keras 3.15.1",
        "| all | 63 |",
        "61 epochs; epoch 57 was kept for its balanced accuracy",
        "91.37",
        "Temperature 1.37",
        "was 0.087 without it",
        "sensitivity of 95%",
        "By clinic of origin",
        "By sex",
        "By age in years",
        "By body site",
        "- Suspicious sensitivity: of 2 groups, ",
        "### Skin tone\n\nNot measured.",
        "--group-by COLUMN` measures it",
        "99.35%",
        "131 ms",
        "df 6",
        "moves its recall by 0.17",
        "nv makes up 80% of the 828 images",
        "Tschandl",
        "doi:10.62146/ijecbe.v1i2.13",
        "dark skin",
    ):
        assert words in text, words
    recall = metrics["tflite"]["per_class"]["mel"]["recall"]
    row = next(line for line in text.splitlines() if line.startswith("| mel | 34 |"))
    assert f"{recall['value']:.2f} ({recall['low']:.2f}–{recall['high']:.2f})" in row
    assert row.endswith("| 0.45 | 0.65 | 0.53 |")  # the published, beside
    assert "patience" not in text and "jdoe" not in text and "secret-path" not in text
    chain = text[text.index("Start weights") :].splitlines()[0]
    second, first = "15,284 images of isic2019_84px at 84x84", "33,334 images of tiny_imagenet_64px"
    assert chain.index(second) < chain.index(first)
    assert chain.endswith("before that: none, every weight started at random.")


def test_every_table_has_as_many_cells_in_each_row(made, metrics):
    made(config_of(SEVEN), metrics)
    width, tables = None, 0
    for line in made.text().splitlines():
        tables += width is None and line.startswith("|")
        width = line.count("|") if line.startswith("|") and width is None else width
        width = width if line.startswith("|") else None
        assert width is None or line.count("|") == width, line
    assert tables == 10


@pytest.mark.parametrize(
    "where, key, gone",
    [
        ("config", "data", ("## Data and split", "Split by", "10,015")),
        ("config", "training", ("412.5", "| batch |", "61 epochs", "NVIDIA")),
        ("config", "weights", ("Start weights",)),
        ("config", "parameters", ("parameters",)),
        ("config", "versions", ("3.15.1",)),
        ("metrics", "subgroups", ("By clinic", "By sex", "Clinics and cameras", "Age in years")),
        ("metrics", "uncalibrated", ("0.087", "without it")),
        ("metrics", "conversion", ("### Conversion", "99.35%")),
    ],
)
def test_what_is_missing_leaves_its_sentences_out(made, metrics, where, key, gone):
    config, metrics = config_of(SEVEN), copy.deepcopy(metrics)
    made(config, metrics)
    whole = made.text()
    {"config": config, "metrics": metrics}[where].pop(key)
    made(config, metrics)
    text = made.text()
    for words in gone:
        assert words in whole and words not in text
    assert "None" not in text and len(text) < len(whole)


def test_two_calibrations_are_told_apart(made, metrics):
    config = config_of(SEVEN)
    made(config, metrics)
    assert "Keras weights:" not in made.text()
    config["keras_calibration"] = {"temperature": 1.4, "threshold": 0.1}
    config["calibration"]["threshold"] = 0.2
    made(config, metrics)
    sentence = (
        "model.tflite has a calibration fitted to its own answers: temperature 1.3700 (Keras "
        "weights: 1.4000), operating point 0.2000 (Keras weights: 0.1000)."
    )
    assert made.text().count(sentence) == 1
    config["calibration"]["inherited"] = config["keras_calibration"]["inherited"] = "first"
    made(config, metrics)
    assert "model.tflite has a calibration taken from first: temperature" in made.text()


def test_the_card_and_the_page_say_the_same_of_the_warning(made, metrics):
    config = config_of(SEVEN)
    made(config, metrics)
    plain = "- diagnosis, treatment, or deciding whether someone should see a doctor: it is not a"
    assert plain in made.text() and TEXTS["en"]["about_use"] not in made.text()
    config["calibration"] |= {"suspicious": ["mel"], "threshold": 0.3}
    made(config, metrics)
    text, caught = made.text(), metrics["tflite"]["suspicious"]["sensitivity"]
    assert plain not in text and TEXTS["en"]["about_use"] in text
    assert (
        "\n- deciding against seeing a doctor: some suspicious lesions, cancers among them, get no "
        f"warning ({tables.text(caught, 100, 0)} % of those measured got one);\n"
    ) in text
    assert f"Here: sensitivity {tables.text(caught, 1, 3)}, specificity" in text
    made(config, {})
    assert "cancers among them, get no warning;\n" in made.text()
    # What was measured at another operating point says nothing about this one.
    config["calibration"]["threshold"] = 0.2
    made(config, metrics)
    assert "cancers among them, get no warning;\n" in made.text()
    assert "together reach 0.200" in made.text() and "It was not measured." in made.text()
    assert "Here: sensitivity" not in made.text()


def with_sets(config):
    levels = {"0.8": {}, "0.9": {"df": 1.0}, "0.95": {"df": 1.0, "vasc": 1.0}}
    config["calibration"]["sets"] = {
        "method": "threshold",
        "lesions": dict.fromkeys(SEVEN, 40) | {"df": 7, "vasc": 9},
        "quantiles": {level: dict.fromkeys(SEVEN, 0.9) | few for level, few in levels.items()},
    }
    return config


def test_the_card_says_what_sets_promise(made, metrics):
    config = with_sets(config_of(SEVEN))
    made(config, metrics)
    assert (
        "There are sets of several levels (80%, 90%, 95%). A set is meant to hold the true one for "
        "at least that share of the lesions of each class, if they are like those of the "
        "validation part, where its limits were set. For lack of lesions in the validation part, "
        "whose number is in brackets, some labels are in every set: at 90% df (7); at 95% df (7), "
        "vasc (9).\n"
    ) in made.text()
    assert "| 80% sets: coverage, % |" not in made.text()
    # Those of an earlier version are not served.
    config["calibration"]["sets"] = {"level": 0.9, "quantiles": dict.fromkeys(SEVEN, 0.9)}
    made(config, metrics)
    assert "Prediction sets" not in made.text()


def test_the_card_has_what_sets_cover_of_all_images_each_class_and_each_clinic(made, metrics):
    config = with_sets(config_of(SEVEN))
    truth = np.arange(7).repeat(3)
    shares = np.full((21, 7), 0.02) + 0.86 * np.eye(7)[truth]
    groups = {"dataset": ["a", "b", ""] * 7, "sex": ["x"] * 21}
    sets = set_metrics(SEVEN, truth, shares, [None] * 21, config, groups, resamples=0)
    made(config, metrics | {"sets": sets})
    table = [line.strip("| ").split(" | ") for line in made.text().splitlines() if "|" in line]
    rows = {row[0]: row[1:] for row in table if len(row) == 11}
    names = [*SEVEN, *(f"clinic {name}" for name in ("a", "b", "unknown"))]
    assert [*rows][-len(names) :] == names
    assert rows["mel"] == ["3", *["100.0", "1.00", "100.0"], *["100.0", "2.00", "0.0"]] + [
        *["100.0", "3.00", "0.0"]
    ]
    assert rows["df"][1:] == [*["100.0", "1.00", "100.0"], *["in every set", "1.00", "100.0"]] + [
        *["in every set", "2.00", "0.0"]
    ]
    assert "says nothing about the model" in made.text()


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
def test_the_cards_of_the_repository_are_as_their_folders_give_them(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    write_card(copy)
    assert (copy / README).read_bytes() == (folder / README).read_bytes()


def test_nothing_measured_nothing_claimed(made, metrics):
    config = {"labels": SEVEN, "input": {"height": 9, "width": 9}, "architecture": "resnet50_v2"}
    config |= {"format": 1, "calibration": {"temperature": 1.0}}
    made(config, converted=False)
    card = made.card()
    assert card.data.library_name == "keras" and card.data.datasets is None
    for heading in ("Data", "Training", "Results", "Limits", "Use from Python", "Citation"):
        assert f"## {heading}" not in card.text
    made(config, {name: metrics[name] for name in ("data", "tflite")})
    assert made.card().data.eval_results
    made(config, {"conversion": metrics["conversion"]})  # as convert.py leaves it, figures gone
    card = made.card()
    assert card.data.eval_results is None and card.data.metrics is None
    assert "Measured on" not in card.text and "99.35%" in card.text


@pytest.mark.parametrize("labels", [["benign", "malignant"], [f"n{k:08d}" for k in range(30)]])
def test_other_labels_get_no_words_of_dermatology(made, labels):
    entry, _ = measured(labels, [4] * len(labels))
    entry["interval"]["unit"] = "image"
    config = config_of(labels, "tiny_imagenet_64px", weights={"start": "none"})
    config["data"]["split_by"] = "image"
    made(config, {"tflite": entry, "data": {"part": "test", "dataset": "tiny_imagenet_64px"}})
    card = made.card()
    for word in DERMATOLOGY:
        assert word not in str(card), word
    assert "ublished" not in card.text and "## Citation" not in card.text
    assert card.data.datasets is None
    assert card.data.eval_results[0].dataset_type == "tiny_imagenet_64px"
    few = len(labels) <= 20
    assert ("### Per class" in card.text) == few and (labels[-1] in card.text) == few
    assert f"| all | {9 * len(labels)} |" in card.text


def test_ham10000_is_known_from_its_images_not_from_its_labels(made):
    folder = made(config_of(SEVEN, "pictures"))
    split = {"train": ["ISIC_0024306", "ISIC_0030000"], "test": ["ISIC_0034320"]}
    for images, last, known in (
        (10015, "ISIC_0034320", True),
        (10015, "ISIC_0034321", False),
        (10014, "ISIC_0034320", False),
    ):
        config = config_of(SEVEN, "pictures")
        config["data"]["images"] = images
        made(config)
        (folder / "split.json").write_text(json.dumps(split | {"test": [last]}))
        (folder / README).unlink(missing_ok=True)
        card = made.card()
        assert ("HAM10000" in card.text) == known
        assert card.data.datasets == ([HAM10000] if known else None)
        assert ("(a local copy, `pictures`)" in card.text) == known


def test_other_images_do_not_stand_beside_the_published(made):
    entry, _ = measured(SEVEN, [9, 8, 7, 0, 6, 30, 5], **OPTIONS)
    made(config_of(SEVEN), {"tflite": entry, "data": {"part": "all", "dataset": "mine"}})
    card = made.card()
    assert "ublished" not in card.text and "Measured on mine, 65 images" in card.text
    assert card.data.eval_results[0].dataset_type == "mine"
    assert "Not measured, for lack of images: df." in card.text


def test_base_model_and_data_sets_are_named_where_they_are_on_the_hub(made):
    config = config_of(SEVEN)
    config["weights"]["start"] = "ann/backbone"
    config["data"]["extra"] = [{"dataset": "ann/more", "counts": {}, "left_out": {}}]
    config["data"]["unlabelled"] = [{"dataset": "local", "images": 9, "copies": 0}]
    folder = made(config)
    data = made.card().data
    assert (data.base_model, data["base_model_relation"]) == ("ann/backbone", "finetune")
    assert data.datasets == [HAM10000, "ann/more"]
    # What ann's card says is one step further back.
    write_card(folder, "bob/smaller", "ann/lesions")
    data = ModelCard.load(folder / README).data
    assert (data.base_model, data["base_model_relation"]) == ("ann/lesions", "quantized")


def test_the_same_folder_gives_the_same_card(made, metrics):
    folder = made(config_of(SEVEN), metrics)
    made.card("ann/lesions")
    first = (folder / README).read_bytes()
    made.card("ann/lesions")
    assert (folder / README).read_bytes() == first
    (folder / README).unlink()
    made.card("ann/lesions")
    assert (folder / README).read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == [
        README,
        "config.json",
        "metrics.json",
        "model.tflite",
    ]


def test_what_a_person_wrote_stays(made, metrics):
    folder = made(config_of(SEVEN), metrics)
    made.card()
    text = (folder / README).read_text()
    text = text.replace(BEGIN, f"> Read this first: Zürich.\r\n\n{BEGIN}\nscribbled inside")
    text = text.replace(END, f"{END}\n\n## Thanks\n\nTo *everyone*.  \n")
    added = "license: cc-by-sa-4.0\nlanguage: de\nnew_version: ann/better"
    text = text.replace("license: cc-by-nc-4.0", added)
    (folder / README).write_bytes(text.encode())
    better = copy.deepcopy(metrics)
    better["tflite"]["top_1"]["value"] = 0.98764
    made(config_of(SEVEN), better)
    card = made.card()
    again = (folder / README).read_bytes().decode()
    assert again.endswith(f"{END}\n\n## Thanks\n\nTo *everyone*.  \n\n")
    assert f"> Read this first: Zürich.\r\n\n{BEGIN}\n# Inception" in again
    assert "scribbled inside" not in again and "98.76" in again
    assert (card.data.license, card.data.language) == ("cc-by-sa-4.0", "de")
    assert card.data["new_version"] == "ann/better"
    assert max(result.metric_value for result in card.data.eval_results) == 0.9876


@pytest.mark.parametrize("front", ["", "---\nlicense: mit\n---\n"])
def test_a_card_that_was_there_before_stays_above(made, front):
    folder = made(config_of(SEVEN))
    (folder / README).write_text(f"{front}# My own words\n")
    for _ in range(2):
        text = str(made.card())
        assert text.count("# My own words\n\n" + BEGIN) == 1 == text.count(END)
        assert ("license: mit" in text) == bool(front)


@pytest.mark.parametrize(
    "card",
    [f"a\n{BEGIN}\nb", f"a\n{END}\nb\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}", "---\na: [\n---\n"],
)
def test_a_card_that_cannot_be_read_is_left_alone(made, card):
    folder = made(config_of(SEVEN))
    (folder / README).write_text(card)
    with pytest.raises(ModelFolderError, match="README.md"):
        write_card(folder)
    assert (folder / README).read_text() == card


@pytest.mark.parametrize("turn", [0, 90])
def test_the_lines_of_python_give_the_answer_of_the_page(turn, tmp_path):
    """Those that need none of our code, from a folder without it, and those with it."""
    from model.classifier import Classifier

    folder = shutil.copytree(COMPACT, tmp_path / "copy")
    write_card(folder, "ann/lesions")
    write_checksums(folder)
    blocks = (folder / README).read_text().split("```python\n")[1:]
    alone, ours = (block.split("```")[0] for block in blocks)
    packages = set(re.findall(r"^(?:import|from) (\w+)", alone, re.MULTILINE))
    assert packages == {"ai_edge_litert", "huggingface_hub", "numpy", "PIL", "json", "pathlib"}
    with Image.open(BUNDLED.parent / "page/examples/ISIC_0024644.webp") as example:
        example.rotate(turn, expand=True).save(tmp_path / "picture.jpg", quality=95)
    expected = Classifier(COMPACT).predict(tmp_path / "picture.jpg")
    with HubServer(tmp_path / "hub") as hub:
        hub.put("ann/lesions", {path.name: path.read_bytes() for path in folder.iterdir()})

        def run(code, **env):
            command, env = [sys.executable, "-c", code], hub.env(tmp_path / "home", **env)
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return [ast.literal_eval(line) for line in done.stdout.splitlines()]

        (answer,) = run(alone)
        assert answer == pytest.approx(expected.probabilities, abs=0.02)
        assert set(hub.downloads()) == {"config.json", "model.tflite"}
        top, notices = run(ours, PYTHONPATH=str(BUNDLED.parents[1]))
        assert dict(top) == pytest.approx(dict(expected.top(3)), abs=1e-4) and notices == []


def test_files_have_their_sizes_and_digests(made, metrics):
    variant = {"file": "model_fp16.tflite", "top_1_agreement": 0.9991}
    conversion = metrics["conversion"] | {"variants": {"fp16": variant}}
    folder = made(config_of(SEVEN), metrics | {"conversion": conversion})
    (folder / "model_fp16.tflite").write_bytes(bytes(2_340_000))
    text = made.text()
    digest = hashlib.sha256(bytes(2_340_000)).hexdigest()
    assert f"| `model_fp16.tflite` | {PRECISIONS['fp16']} | 2.3 | 99.91% | `{digest}` |" in text
    assert "were fitted to `model.tflite`" in text
    assert f"`{hashlib.sha256(b'graph').hexdigest()}`" in text
    assert "| `pixels` | [1, 224, 299, 3] |" in text


def test_needs_neither_network_nor_the_libraries_of_training(made, metrics):
    folder = made(config_of(SEVEN), metrics)
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from model.hub.card import write_card\n"
        f"write_card({str(folder)!r}, 'ann/lesions')\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'matplotlib', 'datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (folder / README).is_file()


def test_every_backbone_has_its_name_in_print():
    keras = [spec for spec in BACKBONES.values() if spec.name[0].isupper()]
    assert len(keras) > 10 and all(spec.title == spec.name for spec in keras)
    assert len({spec.title for spec in BACKBONES.values()}) == len(BACKBONES)
