from pathlib import Path

import numpy as np
import pytest
from made import drawing, encode
from PIL import Image, ImageFilter

from model.evaluation.outliers import KINDS, generate, generated
from model.labels import LABELS
from model.preprocessing import open_picture
from model.quality import CODES, quality_notices

SHARED = Path(__file__).parents[2] / "shared" / "ham10000"


def lesion(seed=1, size=(400, 300)):
    return drawing("nv", seed, size)


def radius(pixels):
    """The blur of so many pixels in a picture 600 pixels wide, for one of 400."""
    return ImageFilter.GaussianBlur(pixels * 400 / 600)


def exposed(picture, factor):
    pixels = np.asarray(picture, dtype=np.float32) * factor
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("dx", LABELS)
@pytest.mark.parametrize("size", [(80, 60), (400, 300), (300, 400), (1200, 900)])
def test_nothing_is_wrong_with_the_made_lesions(dx, size):
    assert quality_notices(textured(drawing(dx, 1, size))) == []


def textured(picture):
    """With structure as skin has at any size; a drawing's own noise averages out in large ones."""
    grain = np.random.default_rng(0).normal(0, 12, (picture.height // 5, picture.width // 5))
    grain = Image.fromarray(np.clip(128 + grain, 0, 255).astype(np.uint8)).resize(picture.size)
    pixels = np.asarray(picture).astype(np.float32) + np.asarray(grain, np.float32)[..., None] - 128
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "picture, notices",
    [
        (lesion().resize((59, 80)), ["too_small"]),
        (Image.new("RGB", (300, 200), (200, 150, 140)), ["uniform"]),
        (Image.new("RGB", (300, 200), "black"), ["uniform", "too_dark"]),
        (Image.new("RGB", (300, 200), "white"), ["uniform", "too_bright"]),
        (exposed(lesion(), 0.3), ["too_dark"]),
        (exposed(lesion(), 2), ["too_bright"]),
        (lesion().filter(ImageFilter.GaussianBlur(12)), ["blurred"]),
        (lesion().filter(radius(8)), ["blurred"]),
        (lesion().filter(radius(4)), ["blurred"]),
        (lesion().resize((60, 45)).resize((400, 300)), ["blurred"]),
        (lesion().resize((60, 45)), ["too_small"]),
    ],
)
def test_each_rule_notices_what_it_is_for(picture, notices):
    assert quality_notices(picture) == notices


@pytest.mark.parametrize("shape", [(4, 3), (3, 2), (16, 9), (2, 1)])
@pytest.mark.parametrize("turn", [1, -1])
def test_pictures_of_the_usual_shapes_are_not_called_squeezed(shape, turn):
    size = tuple(100 * side for side in shape)[::turn]
    assert quality_notices(textured(lesion(3, size))) == []


@pytest.mark.parametrize("size", [(601, 300), (300, 601), (900, 300), (3000, 300)])
def test_a_picture_longer_than_twice_its_shorter_side_is_called_squeezed(size):
    assert "squeezed" in quality_notices(textured(lesion(3, size)))


def test_a_photo_of_any_size_and_side_up_is_judged_alike():
    sharp = textured(lesion(2, (2000, 1500)))
    for picture in (sharp, sharp.filter(ImageFilter.GaussianBlur(60))):
        expected = quality_notices(picture)
        small = open_picture(encode(picture), 96, 128)
        assert small.width == 500  # decoded at a fraction
        for other in (
            small,
            picture.resize((400, 300)),
            picture.transpose(Image.Transpose.ROTATE_90),
        ):
            assert quality_notices(other) == expected
    assert expected == ["blurred"]


def test_generated_pictures_are_the_same_on_every_call():
    again = generated(12)
    assert [picture.tobytes() for picture in generated(12)] == [p.tobytes() for p in again]
    assert len({picture.tobytes() for picture in again}) == 12
    assert again[0].tobytes() == generate(KINDS[0], 0).tobytes()


real = pytest.mark.skipif(
    not SHARED.exists(), reason="the real images (../shared) are not on this machine"
)


def real_pictures(part, step):
    from model.data.dataset import load_rows
    from model.data.split import split_rows

    rows = load_rows(str(SHARED))
    return [open_picture(rows.encoded(i)) for i in split_rows(rows)[part][::step]]


@real
def test_at_most_2_in_100_real_images_are_noticed():
    found = [quality_notices(picture) for picture in real_pictures("test", 4)]
    assert sum(map(bool, found)) <= 0.02 * len(found)
    assert {code for codes in found for code in codes} <= set(CODES)


def enlarged(picture):
    return picture.resize((60, 45)).resize(picture.size)


def as_jpeg(picture):
    return open_picture(encode(picture.filter(radius(4)), quality=75))


@real
@pytest.mark.parametrize(
    "change, least, most",
    [
        (lambda picture: picture, 0, 0.01),
        (lambda picture: picture.filter(radius(1)), 0, 0.02),
        (lambda picture: picture.filter(radius(4)), 0.98, 1),
        (as_jpeg, 0.98, 1),
        (lambda picture: picture.filter(radius(8)), 1, 1),
        (enlarged, 0.98, 1),
    ],
    ids=["sharp", "radius 1", "radius 4", "radius 4, JPEG", "radius 8", "enlarged"],
)
def test_blurred_real_images_are_noticed_and_sharp_ones_are_not(validation, change, least, most):
    found = ["blurred" in quality_notices(change(picture)) for picture in validation]
    assert least <= sum(found) / len(found) <= most


@pytest.fixture(scope="module")
def validation():
    return real_pictures("validation", 3)
