"""train.py --set figures=true: class sizes before and after balancing, nine images, augmented."""

from types import SimpleNamespace

import numpy as np
import pytest
from made import drawing
from PIL import Image

import train
from model.data.batches import TrainingBatches
from model.evaluation import figures
from model.evaluation.figures import nine, write_figures
from model.folder import read_checksums, verify
from model.labels import LABELS

pytestmark = pytest.mark.filterwarnings("ignore")


def colours(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=int)


@pytest.fixture
def batches():
    truth = np.repeat(np.arange(7), [6, 8, 10, 2, 12, 60, 3])
    images = np.stack([np.asarray(drawing(LABELS[t], i, (32, 24))) for i, t in enumerate(truth)])
    return TrainingBatches(images, truth, 7, 16, balance="under-over")


def test_nine_are_of_all_labels():
    truth = np.repeat([0, 2, 3], [1, 50, 4])
    assert truth[nine(truth)].tolist() == [0, 2, 2, 2, 2, 3, 3, 3, 3]
    assert nine(np.array([1, 0])) == [1, 0]
    assert len(set(nine(np.zeros(30, int)))) == 9


def test_figures_show_the_classes_and_the_pictures(batches, tmp_path, monkeypatch):
    drawn = {}
    for kind in ("distribution_figure", "pictures_figure"):

        def noting(*arguments, real=getattr(figures, kind)):
            drawn[arguments[-1].name] = arguments
            real(*arguments)

        monkeypatch.setattr(figures, kind, noting)
    settings = SimpleNamespace(balance="under-over", augment=1.0, colour=1.0, seed=0)
    write_figures(tmp_path, settings, batches, LABELS)
    before, after, *_ = drawn["distribution.png"]
    assert list(before.values()) == [6, 8, 10, 2, 12, 60, 3]
    assert list(after.values()) == [101 // 7] * 7
    images, names, *_ = drawn["samples.png"]
    augmented, same, *_ = drawn["augmented.png"]
    assert names == same and set(names) == set(LABELS) and images.shape == augmented.shape
    assert augmented.dtype == np.uint8 and len(augmented) == 9
    different = np.abs(augmented.astype(int) - images).mean(axis=(1, 2, 3))
    assert different.min() > 2
    for name in ("distribution.png", "pictures/samples.png", "pictures/augmented.png"):
        pixels = colours(tmp_path / name)
        assert pixels.shape[1] == 1200 and pixels.std() > 10
    # The samples are the pictures: a lesion's own colour is found in the figure.
    row = images[names.index("df")]
    sample = colours(tmp_path / "pictures" / "samples.png").reshape(-1, 3)
    middle = row[12, 16].astype(int)
    assert np.abs(sample - middle).sum(axis=1).min() == 0


def test_no_augmentation_no_augmented_pictures(batches, tmp_path):
    settings = SimpleNamespace(balance="none", augment=0.0, colour=0.0, seed=0)
    write_figures(tmp_path, settings, batches, LABELS)
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == ["samples.png"]


def test_pictures_of_the_data_set_are_not_part_of_what_travels(made, tmp_path):
    network = "--backbone cnn_16_32 --size 24x32 --weights none --batch 16 --epochs 1"
    places = f"--dataset {made} --output {tmp_path}/run --set figures=true cache={tmp_path}/cache"
    folder = train.main([*network.split(), *places.split()])
    assert {p.name for p in (folder / "pictures").iterdir()} == {"samples.png", "augmented.png"}
    sums = read_checksums(folder)
    assert "distribution.png" in sums and "history.png" in sums
    assert not [name for name in sums if "samples" in name or "augmented" in name]
    verify(folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "(distribution.png)" in card and "pictures/" not in card
