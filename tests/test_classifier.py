import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from made import drawing
from PIL import Image

from convert import to_tflite
from model import folder as f
from model.classifier import Classifier
from model.evaluation.outliers import KINDS, generate
from model.folder import BUNDLED
from model.labels import LABELS
from model.network.network import load_network
from model.preprocessing import PictureError
from model.quality import CODES


@pytest.fixture()
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def test_answer_is_seven_probabilities_and_evidence_whose_mean_is_the_logits(trained):
    classifier = Classifier(trained)
    prediction = classifier.predict(drawing("mel", 7))
    p = np.array([prediction.probabilities[label] for label in LABELS])
    assert p.sum() == pytest.approx(1, abs=1e-4) and (p >= 0).all()
    logits = prediction.evidence.mean(axis=(0, 1))
    softmax = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(p, softmax, atol=1e-3)
    top = prediction.top(3)
    assert len(top) == 3 and top[0][1] == p.max() and prediction.milliseconds > 0


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_get_the_answers_of_their_own_pictures(trained, workers):
    classifier = Classifier(trained, workers=workers)
    pictures = [drawing(dx, i) for i, dx in enumerate(LABELS)]
    alone = [classifier.predict(picture).probabilities for picture in pictures]
    together = [None] * len(pictures) * 4

    def work(i):
        together[i] = classifier.predict(pictures[i % len(pictures)]).probabilities

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(together))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone * 4


def test_while_one_interpreter_works_the_other_gives_the_same_answer(trained):
    classifier = Classifier(trained, threads=1, workers=2)
    picture = drawing("df", 4)
    at_work = classifier.idle.get()
    answer = classifier.predict(picture)
    other = classifier.idle.get()
    classifier.idle.put(at_work)
    assert at_work is not other
    assert classifier.predict(picture).probabilities == answer.probabilities


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_that_fails_leaves_its_interpreter_to_the_next(trained, workers):
    classifier = Classifier(trained, workers=workers)
    for _ in range(workers + 1):
        with pytest.raises((ValueError, RuntimeError)):
            classifier.run(np.zeros((5, 5), np.uint8))
    assert sum(classifier.predict(drawing("nv", 1)).probabilities.values()) == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize("size", [(80, 60), (60, 80)])
def test_evidence_lies_on_the_upright_picture(trained, size):
    prediction = Classifier(trained).predict(drawing("mel", 5, size))
    assert prediction.picture.size == size
    height, width = prediction.evidence.shape[:2]
    assert (height < width) == (size[1] < size[0])


@pytest.mark.parametrize("size", [(80, 60), (60, 80)])
def test_the_map_turns_with_the_picture(trained, size):
    classifier, picture = Classifier(trained), drawing("mel", 5, size)
    one, other = (
        classifier.map(classifier.predict(each))
        for each in (picture, picture.transpose(Image.Transpose.ROTATE_180))
    )
    assert one.strengths.max() == 1
    np.testing.assert_allclose(one.strengths, other.strengths[::-1, ::-1], atol=1e-3)
    assert one.extent == other.extent == (1, 1)


def test_nothing_stands_out_in_a_blank_picture(trained):
    classifier = Classifier(trained)
    grey = classifier.predict(Image.new("RGB", (80, 60), (128, 128, 128)))
    assert not classifier.map(grey).strengths.any() and grey.evidence.any()


def test_places_of_the_bundled_model_leave_out_the_border():
    classifier = Classifier(BUNDLED)
    found = classifier.map(classifier.predict(drawing("nv", 1, (120, 200))))
    assert found.strengths.shape == (6, 4, 7)
    assert found.extent == pytest.approx((3 / 4, 2 / 3))


def test_a_picture_unlike_the_training_pictures_gets_no_confident_label(trained):
    classifier = Classifier(trained)
    lesions = [classifier.predict(drawing(dx, 100 + i)) for i, dx in enumerate(LABELS * 2)]
    for prediction in lesions:
        assert prediction.confident == ("unfamiliar" not in prediction.notices)
    assert sum(prediction.confident for prediction in lesions) >= 12
    for i in range(12):
        outlier = classifier.predict(generate(KINDS[i % 6], i))
        assert "unfamiliar" in outlier.notices and not outlier.confident
        assert 0 <= outlier.familiarity < min(p.familiarity for p in lesions)
        assert sum(outlier.probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_every_notice_but_that_of_a_lens_takes_the_headline_away(trained):
    sharp = Classifier(trained).predict(drawing("nv", 3))
    assert sharp.notices == [] and sharp.confident
    for code in CODES:
        assert replace(sharp, notices=[code]).confident == (code == "lens")
    assert not replace(sharp, notices=["blurred", "lens"]).confident


def test_a_model_that_does_not_tell_how_familiar_a_picture_is_still_serves(copy):
    network, config = load_network(copy)
    (copy / "model.tflite").write_bytes(to_tflite(network, config, "none"))
    f.write_checksums(copy)
    prediction = Classifier(copy).predict(generate("noise", 0))
    assert prediction.familiarity is None and "unfamiliar" not in prediction.notices


def test_no_picture_is_a_sentence(trained):
    with pytest.raises(PictureError, match="not a picture"):
        Classifier(trained).predict(b"hello")


def altered(copy):
    data = bytearray((copy / "model.tflite").read_bytes())
    data[len(data) // 2] ^= 255
    (copy / "model.tflite").write_bytes(data)


def cut_off(copy):
    data = (copy / "model.tflite").read_bytes()
    (copy / "model.tflite").write_bytes(data[: len(data) // 2])
    f.write_checksums(copy)


def another_size(copy):
    f.write_json(copy / "config.json", f.read_config(copy) | {"input": {"height": 48, "width": 64}})
    f.write_checksums(copy)


def more_labels(copy):
    config = f.read_config(copy) | {"labels": [*LABELS, "scc"]}
    sets = config["calibration"]["sets"]
    for of_labels in (sets["lesions"], *sets["quantiles"].values()):
        of_labels["scc"] = 1
    f.write_json(copy / "config.json", config)
    f.write_checksums(copy)


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (altered, "does not match its checksum"),
        (cut_off, "cannot be loaded"),
        (another_size, "does not fit config.json"),
        (more_labels, "does not fit config.json"),
        (lambda copy: (copy / "model.tflite").unlink(), "convert.py"),
        (lambda copy: (copy / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
    ],
)
def test_broken_folders_are_refused_with_a_sentence(copy, damage, sentence):
    damage(copy)
    with pytest.raises(f.ModelFolderError, match=sentence):
        Classifier(copy)


def test_the_page_serves_the_bundled_model_by_itself():
    assert Classifier().config == f.read_config(f.BUNDLED)


@pytest.mark.parametrize("folder", [f.BUNDLED, f.COMPACT])
def test_bundled_models_are_whole(folder):
    classifier = Classifier(folder)
    assert classifier.labels == LABELS
    f.verify(folder)
    assert classifier.metrics["data"] == {
        "dataset": "ham10000",
        "part": "test",
        "images": 828,
        "lesions": 828,
    }
