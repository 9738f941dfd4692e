"""The circle of a lens: found where there is one, left alone where there is none, cropped once for
training, page and map."""

from pathlib import Path

import numpy as np
import pytest
from made import drawing, encode, through_lens
from PIL import Image, ImageDraw, ImageFilter

from model.classifier import Classifier
from model.lens import lens, within_lens
from model.preprocessing import load_picture, open_picture, to_array

SHARED = Path(__file__).parents[2] / "shared" / "ham10000"
BACK = Image.Transpose.ROTATE_270


def black(picture: Image.Image) -> float:
    return (np.asarray(picture).max(axis=-1) < 20).mean()


@pytest.mark.parametrize("outside", [0.16, 0.22, 0.41, 0.6, 0.75])
@pytest.mark.parametrize(
    "size", [(84, 84), (80, 60), (600, 450), (450, 600), (1024, 768), (960, 540)]
)
def test_a_circle_is_cropped_to_what_it_shows(size, outside):
    picture = through_lens(drawing("nv", 1, size), outside)
    x, y, a, b = lens(picture)
    assert max(abs(x), abs(y)) < 0.02
    assert np.pi * a * b / 4 == pytest.approx(1 - outside, abs=0.06) or max(a, b) > 1
    part = within_lens(picture)
    assert black(part) < 0.03 < 0.14 < black(picture)
    shape = part.width / part.height
    assert shape == pytest.approx(np.clip(size[0] / size[1], 3 / 4, 4 / 3), abs=0.1)
    # More than half of what the lens shows is kept, and there is nothing left to crop.
    assert part.width * part.height > 0.55 * (1 - outside) * size[0] * size[1]
    assert within_lens(part) is part


@pytest.mark.parametrize("aside", [(0.1, 0), (0, -0.1), (0.12, 0.12), (-0.2, 0.1)])
def test_a_circle_off_the_middle_or_cut_off_is_found(aside):
    picture = through_lens(drawing("nv", 2, (400, 300)), 0.35, aside)
    x, y, a, b = lens(picture)
    assert (x, y) == pytest.approx((2 * aside[0], 2 * aside[1]), abs=0.03)
    assert a * 400 == pytest.approx(b * 300, rel=0.05)
    assert black(within_lens(picture)) < 0.03


def test_a_soft_a_grey_and_a_squeezed_circle_are_found():
    sharp = through_lens(drawing("bkl", 3, (600, 450)), 0.3)
    grey = Image.fromarray(np.maximum(np.asarray(sharp), 25))
    noisy = np.asarray(sharp) + np.random.default_rng(0).normal(0, 8, (450, 600, 3))
    expected = lens(sharp)
    for picture, bound in (
        (sharp.filter(ImageFilter.GaussianBlur(5)), 0.04),
        (grey, 0.02),
        (Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), 0.02),
        (sharp.resize((84, 84)), 0.02),
        (open_picture(encode(sharp.resize((3000, 2250))), 96, 128), 0.01),
    ):
        assert lens(picture) == pytest.approx(expected, abs=bound)


def test_a_portrait_is_cropped_as_the_landscape_that_it_turns_into():
    landscape = through_lens(drawing("df", 4, (400, 300)), 0.3, (0.05, 0.02))
    part = within_lens(landscape.transpose(BACK))
    assert part.tobytes() == within_lens(landscape).transpose(BACK).tobytes()


def framed(picture):
    framed = Image.new("RGB", picture.size)
    framed.paste(picture.resize((300, 200)), (50, 50))
    return framed


def letterboxed(picture):
    framed = Image.new("RGB", picture.size)
    framed.paste(picture.crop((0, 60, 400, 240)), (0, 60))
    return framed


def pierced(picture):
    ImageDraw.Draw(picture).ellipse((80, 30, 320, 270), fill="black")
    return picture


def one_corner(picture):
    ImageDraw.Draw(picture).polygon([(0, 0), (220, 0), (0, 220)], fill="black")
    return picture


def faded(picture):
    far = np.hypot(*np.meshgrid(np.linspace(-1, 1, 400), np.linspace(-1, 1, 300)))
    seen = np.clip(1.3 - 0.8 * far, 0.3, 1)[..., None]
    return Image.fromarray((np.asarray(picture) * seen).astype(np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        framed,
        letterboxed,
        pierced,
        one_corner,
        faded,
        lambda picture: Image.new("RGB", picture.size, "black"),
        lambda picture: Image.new("RGB", picture.size, "white"),
        lambda picture: Image.effect_noise(picture.size, 90).convert("RGB"),
        lambda picture: through_lens(picture, 0.1),  # as many pictures of HAM10000
        lambda picture: through_lens(picture, 0.9),  # too little is left
        lambda picture: picture.resize((1, 1)),
        lambda picture: through_lens(picture, 0.3).resize((3, 2)),
    ],
)
def test_a_picture_without_a_circle_stays_as_it_is(change):
    picture = change(drawing("vasc", 5, (400, 300)))
    assert within_lens(picture) is picture


def test_training_and_page_see_the_same_part(trained):
    classifier = Classifier(trained)
    plain = drawing("mel", 6, (400, 300))
    assert "lens" not in classifier.predict(plain).notices
    data = encode(through_lens(plain, 0.3), "PNG")
    prediction = classifier.predict(data)
    part = within_lens(open_picture(data))
    assert "lens" in prediction.notices and part.width < 320
    assert prediction.picture.tobytes() == part.tobytes()
    size = classifier.height, classifier.width
    assert (load_picture(data, *size) == to_array(part, *size)).all()
    probabilities, *_ = classifier.run(load_picture(data, *size))
    assert list(prediction.probabilities.values()) == probabilities.tolist()


@pytest.mark.skipif(
    not SHARED.exists(), reason="the real images (../shared) are not on this machine"
)
def test_real_pictures_stay_as_they_are_until_more_is_black():
    from model.data.dataset import load_rows
    from model.data.split import split_rows

    rows = load_rows(str(SHARED))
    pictures = [open_picture(rows.encoded(i)) for i in split_rows(rows)["validation"][::10]]
    assert all(within_lens(picture) is picture for picture in pictures)
    for outside in (0.22, 0.41):
        seen = [within_lens(through_lens(picture, outside)) for picture in pictures]
        assert np.mean([part.size != (600, 450) for part in seen]) >= 0.95
