import numpy as np
import pytest
from made import drawing
from PIL import Image

from model.evaluation.outliers import generate
from model.labels import LABELS
from model.network.ood import describe, familiarity, fit
from model.preprocessing import to_array

SIZE = 48, 64


def arrays(pictures, height=SIZE[0], width=SIZE[1]):
    return np.stack([to_array(picture, height, width) for picture in pictures])


def score(images, reference):
    return np.asarray(familiarity(images.astype(np.float32), reference))


@pytest.fixture(scope="module")
def pictures():
    return arrays([drawing(LABELS[i % 7], i, (400, 300)) for i in range(140)])


@pytest.fixture(scope="module")
def reference(pictures):
    return fit(pictures)


def test_training_pictures_are_as_familiar_as_stated(pictures, reference):
    distance = 2 / score(pictures, reference) - 2
    assert distance.mean() == pytest.approx(2, rel=0.1)


def test_others_of_their_kind_are_familiar_and_other_kinds_are_not(reference):
    like = score(
        arrays([drawing(LABELS[i % 7], 1000 + i, (400, 300)) for i in range(28)]), reference
    )
    unlike = score(
        arrays([generate(kind, 7) for kind in ("noise", "text", "flat", "blobs")]), reference
    )
    assert unlike.max() < like.min()


def test_a_mirrored_picture_is_about_as_familiar(reference):
    images = arrays([drawing("nv", 500 + i, (400, 300)) for i in range(8)])
    np.testing.assert_allclose(
        score(images, reference), score(images[:, :, ::-1], reference), atol=0.1
    )


@pytest.mark.parametrize("size", [(299, 299), (224, 299), (96, 128), (84, 84)])
def test_the_description_hardly_depends_on_the_networks_input_size(size):
    smooth = drawing("mel", 1, (40, 30)).resize((400, 300), Image.Resampling.BICUBIC)
    expected = np.asarray(describe(arrays([smooth]).astype(np.float32)))
    description = np.asarray(describe(arrays([smooth], *size).astype(np.float32)))
    assert description.shape == (1, 596)
    differences = np.abs(description - expected)[0]
    assert differences[20:].mean() < 0.02  # the thumbnail, 0-1
    assert differences[:20].max() < 0.5  # statistics, mostly logarithms


def test_one_colour_throughout_gives_numbers(reference):
    flat = np.full((1, *SIZE, 3), 90, np.uint8)
    assert 0 < score(flat, reference)[0] < 0.2
    assert np.isfinite(fit(flat.repeat(4, axis=0)).matrix).all()
