"""What the page says about its model: every sentence follows from the model folder."""

import copy
import re
from types import SimpleNamespace

import pytest

from model.classifier import Classifier
from model.folder import BUNDLED, COMPACT
from model.labels import BINARY, LABELS
from model.page import about
from model.page.texts import TEXTS


def figure(value, low, high):
    return {"value": value, "low": low, "high": high}


def group(n, suspicious, caught, cleared):
    support = dict.fromkeys(LABELS, 0) | {"mel": suspicious, "nv": n - suspicious}
    point = {"sensitivity": figure(caught, 0, 1), "specificity": figure(cleared, 0.1, 0.99)}
    point["labels"] = ["akiec", "bcc", "mel"]
    return {"n": n, "support": support, "top_1": figure(0.625, 0.5, 0.75), "suspicious": point}


CONFIG = {
    "architecture": "efficientnet_lite2",
    "calibration": {
        "temperature": 1.0,
        "suspicious": ["akiec", "bcc", "mel"],
        "threshold": 0.086,
        "sensitivity": 0.95,
        "points": [
            {"threshold": 0.05, "sensitivity": 0.99, "specificity": 0.5},
            {"threshold": 0.086, "sensitivity": 0.9501, "specificity": 0.6123},
        ],
    },
    "data": {"dataset": "ham10000_224x299", "images": 10015, "trained_on": 8290},
    "weights": {"start": "imagenet"},
    "training": {},
}
METRICS = {
    "data": {"dataset": "ham10000", "part": "test", "images": 828},
    "tflite": {
        "n": 828,
        "top_1": figure(0.8816, 0.8587, 0.9034),
        "balanced_accuracy": figure(0.648, 0.558, 0.74),
        "melanoma": {"sensitivity": figure(0.324, 0.176, 0.487)},
        "baseline": {
            "label": "nv",
            "top_1": figure(0.8007, 0.77, 0.83),
            "balanced_accuracy": figure(0.1429, 0.1429, 0.1429),
        },
        "suspicious": {
            "labels": ["akiec", "bcc", "mel"],
            "threshold": 0.086,
            "sensitivity": figure(0.9398, 0.8831, 0.9875),
            "specificity": figure(0.8456, 0.8189, 0.8701),
        },
        "latency_ms": {"mean": 14.9, "median": 14.2, "calls": 30},
    },
    "subgroups": {
        "dataset": {
            "one": group(593, 4, 0.25, 0.98472),
            "two": group(69, 13, 1.0, 0.5),
            "three": group(141, 63, 0.984127, 0.192308),
            "four": group(20, 0, None, 0.9),
        }
    },
}


@pytest.fixture
def loaded():
    """A made model; tests change its config and metrics."""
    return SimpleNamespace(
        config=copy.deepcopy(CONFIG),
        metrics=copy.deepcopy(METRICS),
        labels=LABELS,
        height=224,
        width=299,
    )


RATES = (
    "Of 100 suspicious lesions in our test it warned about 94 (88 to 99); of 100 harmless ones it "
    "also warned about 15 (13 to 18)."
)
SOURCES = (
    "This differs between clinics and cameras: it warned for 1 of only 4 suspicious lesions from "
    "one and 13 of 13 from another, and for 9 of 589 harmless ones from one and 63 of 78 from "
    "another."
)


def test_every_paragraph_follows_from_the_folder(loaded):
    assert about.about(loaded, "en") == [
        "The model is EfficientNet-Lite2. It sees each picture at 299 x 224 pixels. It was trained "
        "on 8,290 pictures of HAM10000. It started from weights trained on ImageNet, pictures of "
        "everyday things.",
        "It was tested on 828 pictures that it was not trained on. Brackets hold 95% intervals. "
        "Its first answer was right for 88.2% of them (85.9% to 90.3%); with each diagnosis "
        'weighted equally, for 64.8% (55.8% to 74.0%). Always answering "Melanocytic nevus (nv)" '
        "would have scored 80.1% and 14.3%. For 32% of the melanomas, its first answer was "
        "melanoma (18% to 49%). The network took 14 ms for a picture (median of 30) on the machine "
        "of the test.",
        "It counts as suspicious: Actinic keratosis or Bowen's disease (akiec), Basal cell "
        "carcinoma (bcc) and Melanoma (mel). Its warning level is 9%. It was set so that 95% of "
        "the suspicious pictures in the validation part reach it. "
        f"{RATES} {SOURCES} {TEXTS['en']['about_use']}",
        f"{TEXTS['en']['about_limits']} {TEXTS['en']['about_skin']}",
    ]
    indonesian = " ".join(about.about(loaded, "id"))
    for words in ("299 x 224 piksel", "8.290 gambar dari HAM10000", "88,2%", "80,1% dan 14,3%"):
        assert words in indonesian, words
    assert "Dari 100 lesi mencurigakan dalam pengujian kami, peringatan muncul untuk 94" in (
        indonesian
    )
    assert "1 dari hanya 4 lesi mencurigakan" in indonesian and "63 dari 78" in indonesian


def test_what_a_model_does_not_have_is_not_said(loaded):
    loaded.metrics = {}
    loaded.config["data"] = {"dataset": "mine", "images": 9}
    loaded.config["calibration"] = {"temperature": 1.0}
    del loaded.config["weights"], loaded.config["training"]
    loaded.labels = ["cat", "dog"]
    assert about.about(loaded, "en") == [
        "The model is EfficientNet-Lite2. It sees each picture at 299 x 224 pixels.",
        "Its accuracy has not been measured.",
    ]


@pytest.mark.parametrize(
    "weights, said",
    [
        ({"start": "none"}, "It started from random weights."),
        ({"start": "old.weights.h5"}, "It started from the weights old.weights.h5."),
        (
            # The same pictures again are not another training.
            {
                "start": "five",
                "dataset": "ham10000",
                "images": 8290,
                "before": {
                    "start": "both",
                    "dataset": "ham10000 + isic2019_84px",
                    "images": 23143,
                    "before": {
                        "start": "first",
                        "dataset": "tiny_imagenet_64px",
                        "images": 33334,
                        "before": {"start": "none"},
                    },
                },
            },
            "Before that it was trained on 23,143 pictures of HAM10000 and ISIC 2019 and 33,334 "
            "pictures of Tiny ImageNet. It started from random weights.",
        ),
    ],
)
def test_where_the_weights_came_from(loaded, weights, said):
    loaded.config["weights"] = weights
    assert about.about(loaded, "en")[0].endswith(f"8,290 pictures of HAM10000. {said}")


def test_teachers_and_other_pictures_are_named(loaded):
    loaded.config["data"] |= {
        "trained_on": 12000,
        "extra": [{"dataset": "isic2017_256px"}],
        "unlabelled": [{"dataset": "ann/moles", "images": 1234}],
    }
    loaded.config["training"]["teachers"] = [
        {"name": "a", "architecture": "convnext_tiny", "dataset": "ham10000"},
        {"name": "b", "architecture": "inception_resnet_v2", "dataset": "ham10000 + isic2019"},
    ]
    assert (
        "It was trained on 12,000 pictures of HAM10000, ISIC 2017 and moles. Among them are 1,234 "
        "pictures of moles without a diagnosis; the answers of other networks stood in for it. It "
        "also learned from the answers of other networks: ConvNeXtTiny (trained on HAM10000) and "
        "InceptionResNetV2 (trained on HAM10000 and ISIC 2019). It started"
    ) in about.about(loaded, "en")[0]


def test_a_test_with_pictures_it_was_trained_on_is_called_too_good(loaded):
    loaded.metrics["data"]["seen"] = {"trained": 12, "validation": 0, "by": "fingerprints"}
    assert about.about(loaded, "en")[1].startswith(
        "It was tested on 828 pictures, but had been trained on 12 of them, so the figures are too "
        "good. Brackets"
    )


def without_intervals(tree):
    """metrics.json as evaluate.py --resamples 0 writes it."""
    if not isinstance(tree, dict):
        return tree
    ends = dict.fromkeys(tree.keys() & {"low", "high"})
    return {key: without_intervals(value) for key, value in tree.items()} | ends


def test_a_test_without_intervals_gives_the_figures_alone(loaded):
    loaded.metrics = without_intervals(METRICS)
    tested = about.about(loaded, "en")[1]
    assert "not trained on. Its first answer was right for 88.2% of them; with" in tested
    assert "weighted equally, for 64.8%. Always" in tested and "was melanoma. The" in tested
    assert about.rates(loaded, "en") == [
        "Of 100 suspicious lesions in our test it warned about 94; of 100 harmless ones it also "
        "warned about 15.",
        SOURCES,
    ]
    loaded.metrics["subgroups"] = {"sex": {"female": group(60, 20, 0.5, 0.8)}}
    loaded.metrics = without_intervals(loaded.metrics)
    (rows,) = tables(loaded).values()
    assert rows[1][1:] == [["62%"], ["50%", "n = 20"], ["20%", "n = 40"]]


def test_a_warning_measured_of_a_model_that_gives_none_is_no_error(loaded):
    loaded.config["calibration"] = {"temperature": 1.0}
    assert "Warned" not in about.html(loaded, "en")


def test_rates_are_those_of_the_test(loaded):
    assert about.rates(loaded, "en") == [RATES, SOURCES]
    groups = loaded.metrics["subgroups"]["dataset"]
    for key in ("one", "three", "four"):
        del groups[key]
    assert about.rates(loaded, "en") == [RATES]  # one source has no other to differ from
    del loaded.metrics["subgroups"]
    assert about.rates(loaded, "en") == [RATES]


VALIDATION = (
    "It has not been tested. Of 100 suspicious pictures in the validation part, for which its "
    "warning level was set, it warned about 95; of 100 harmless ones it also warned about 39."
)


@pytest.mark.parametrize("lack", ["no test", "another part", "another level", "no such pictures"])
def test_without_a_test_of_this_warning_the_validation_part_is_named(loaded, lack):
    point = loaded.metrics["tflite"]["suspicious"]
    if lack == "no test":
        loaded.metrics = {"conversion": {}}
    elif lack == "another part":
        loaded.metrics["data"]["part"] = "all"
    elif lack == "another level":
        point["threshold"] = 0.2
    else:
        point["sensitivity"] = figure(None, None, None)
    assert about.rates(loaded, "en") == [VALIDATION]
    del loaded.config["calibration"]["points"]
    unmeasured = "How often its warning is right has not been measured."
    assert about.rates(loaded, "en") == [unmeasured]
    # Those of the run that was selected are not this run's.
    loaded.config["calibration"] = CONFIG["calibration"] | {"inherited": "selected"}
    assert about.rates(loaded, "en") == [unmeasured]


def test_a_model_without_a_warning_has_no_rates(loaded):
    loaded.config["calibration"] = {"temperature": 1.0}
    assert about.rates(loaded, "en") == []
    del loaded.metrics["tflite"]["suspicious"]
    assert about.rates(loaded, "en") == []
    assert not any("warn" in paragraph for paragraph in about.about(loaded, "en"))


def test_rates_of_two_labels_are_of_malignant_and_benign(loaded):
    loaded.labels = BINARY
    loaded.config["calibration"]["suspicious"] = ["malignant"]
    loaded.metrics["tflite"]["suspicious"]["labels"] = ["malignant"]
    del loaded.metrics["subgroups"]
    assert about.rates(loaded, "en") == [
        RATES.replace("suspicious", "malignant").replace("harmless", "benign")
    ]
    (indonesian,) = about.rates(loaded, "id")
    assert "100 lesi ganas" in indonesian and "100 lesi jinak" in indonesian


def test_html_is_escaped(loaded):
    loaded.config["weights"] = {"start": "<b>.h5"}
    html = about.html(loaded, "en")
    assert html.startswith("<h2>About the model</h2><p>The model is")
    assert "&lt;b&gt;.h5" in html and html.split("<details")[0].count("<p>") == 4


def tables(loaded, language="en"):
    """The rows of each table of `about.html`, by its caption; cells hold their parts."""
    html = about.html(loaded, language).partition("<details")[2]
    return {
        re.search(r"<caption>(.*?)</caption>", table)[1]: [
            [re.split("<small>", cell.replace("</small>", "")) for cell in cells]
            for row in re.findall(r"<tr>(.*?)</tr>", table)
            if (cells := re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row))
        ]
        for table in html.split("<table>")[1:]
    }


def test_the_groups_of_the_test_have_tables_with_intervals_and_numbers(loaded):
    subgroups = loaded.metrics["subgroups"]
    subgroups["camera"] = {"<b>|": group(30, 10, 0.5, 0.75), "unknown": group(12, 12, 1.0, None)}
    subgroups["sex"] = {"female": group(60, 20, 0.5, 0.8) | {"lesions": 45}}
    shown = tables(loaded)
    assert list(shown) == ["By sex", "By clinic and camera", "By camera"]
    head, female = shown["By sex"]
    assert head[1:] == [["First answer right"], ["Warned, if suspicious"], ["Warned, if harmless"]]
    assert female[:2] == [["Female", "n = 60", "lesions: 45"], ["62%", "50–75%"]]
    # Of harmless pictures the page counts those with a warning.
    assert female[2:] == [["50%", "0–100%", "n = 20"], ["20%", "1–90%", "n = 40"]]
    clinics = {row[0][0]: row[1:] for row in shown["By clinic and camera"][1:]}
    assert clinics["four"][1:] == [["–"], ["10%", "1–90%", "n = 20"]]  # no suspicious pictures
    assert clinics["one"][1] == ["1 of 4"]
    names = [row[0][0] for row in shown["By camera"][1:]]
    assert names == ["&lt;b&gt;|", "Not recorded"]
    indonesian = tables(loaded, "id")
    assert list(indonesian) == ["Menurut jenis kelamin", "Menurut klinik dan kamera"] + [
        "Menurut camera"
    ]
    assert indonesian["Menurut jenis kelamin"][1][0] == ["Perempuan", "n = 60", "lesi: 45"]
    assert indonesian["Menurut klinik dan kamera"][2][2] == ["1 dari 4"]


def test_the_largest_gaps_are_named_and_whether_the_intervals_overlap(loaded):
    html = about.html(loaded, "en")
    # All first answers are alike, and of "one" and "four" too few pictures are suspicious.
    assert (
        "<p>Largest gaps. Warned, if suspicious: 98% (three) and 100% (two); the intervals "
        "overlap, so this may be chance. Warned, if harmless: 81% (three) and 2% (one); the "
        "intervals overlap, so this may be chance.</p>"
    ) in html
    groups = loaded.metrics["subgroups"]["dataset"]
    groups["one"]["suspicious"]["specificity"] = figure(0.98, 0.97, 0.99)
    groups["three"]["suspicious"]["specificity"] = figure(0.19, 0.1, 0.3)
    sentence = "Warned, if harmless: 81% (three) and 2% (one); the intervals do not overlap."
    assert sentence in about.html(loaded, "en")
    assert "81% (three) dan 2% (one); intervalnya tidak bertumpang tindih." in (
        about.html(loaded, "id")
    )
    loaded.metrics["subgroups"] = {"sex": {"male": group(50, 20, 0.9, 0.9)}}
    assert "<caption>By sex" in about.html(loaded, "en")
    assert "Largest gaps" not in about.html(loaded, "en")  # there is no other group


def test_groups_of_another_warning_or_part_are_not_shown(loaded):
    loaded.config["calibration"]["threshold"] = 0.3
    (table,) = tables(loaded).values()
    assert table[0][1:] == [["First answer right"]]
    loaded.metrics["data"]["part"] = "validation"
    assert "<details" not in about.html(loaded, "en")
    loaded.metrics["data"]["part"] = "test"
    del loaded.metrics["subgroups"]
    assert "<details" not in about.html(loaded, "en")


def test_skin_tone_is_said_to_be_unmeasured_where_the_test_was_on_ham10000(loaded):
    for dataset, said in (("marmal88/skin_cancer", True), ("mine", False), (None, False)):
        loaded.metrics["data"]["dataset"] = dataset
        for language in TEXTS:
            last = about.about(loaded, language)[-1]
            assert (TEXTS[language]["about_skin"] in last) == said


@pytest.mark.parametrize("folder", [BUNDLED, COMPACT])
@pytest.mark.parametrize("language", TEXTS)
def test_the_models_of_the_repository(folder, language):
    classifier = Classifier(folder)
    paragraphs = about.about(classifier, language)
    text = " ".join(paragraphs)
    rates = about.rates(classifier, language)
    assert len(paragraphs) == 4 and len(rates) == 2 and " ".join(rates) in paragraphs[2]
    trained = {"en": "8,290 pictures of HAM10000", "id": "8.290 gambar dari HAM10000"}[language]
    assert trained in text and "015" not in text  # not all 10,015
    assert ("ISIC 2019" in text) == (folder == BUNDLED)
    assert "inception_resnet" not in text and "efficientnet_" not in text
    assert " %" not in text
