"""Common corruptions: each is the same on every call, grows with its strength, and is a picture."""

import numpy as np
import pytest
from made import drawing
from PIL import Image

from model.evaluation import corruptions as c


def picture(number=0):
    return np.asarray(drawing("mel", number, (c.SIDE, 300)))


@pytest.mark.parametrize("kind", c.KINDS)
def test_a_corruption_is_the_same_on_every_call_and_keeps_size_and_dtype(kind):
    before = picture()
    for strength in c.STRENGTHS:
        one, again = (c.corrupt(before, kind, strength, c.generator(kind, 5)) for _ in range(2))
        assert (one == again).all()
        assert (one.shape, one.dtype) == (before.shape, np.uint8)
        assert one.flags.writeable and not np.shares_memory(one, before)
    assert (before == picture()).all()


@pytest.mark.parametrize("kind", c.KINDS)
def test_a_stronger_corruption_changes_more(kind):
    for number in range(5):
        before = picture(number).astype(float)
        versions = [
            c.corrupt(picture(number), kind, strength, c.generator(kind, number))
            for strength in c.STRENGTHS
        ]
        changes = [np.abs(version - before).mean() for version in versions]
        assert 0.05 < changes[0] < changes[1] < changes[2], changes


def test_pictures_differ_in_what_is_drawn_and_in_its_direction():
    means = [
        c.corrupt(picture(), "brightness", 2, c.generator("brightness", number)).mean()
        for number in range(20)
    ]
    assert min(means) < picture().mean() < max(means)
    noisy = [c.corrupt(picture(), "noise", 1, c.generator("noise", n)) for n in range(2)]
    assert (noisy[0] != noisy[1]).any()


def test_colour_temperature_leaves_the_white_of_srgb_and_goes_from_red_to_blue():
    assert np.allclose(c.lamp(c.WHITE), 1, atol=0.05)  # daylight is not quite a black body
    red, _, blue = np.transpose([c.lamp(kelvin) for kelvin in (2500, 3900, 4100, 8000, 20000)])
    assert (np.diff(blue / red) > 0).all()
    assert c.lamp(3999.9) == pytest.approx(c.lamp(4000.1), abs=0.002)  # the two parts meet


def test_twice_the_light_is_twice_the_linear_value():
    grey = np.full((1, 1, 3), 100, np.uint8)
    # sRGB 100 is 0.1274 in linear light; 0.2548 is sRGB 138.
    assert c.exposed(grey, [2, 2, 2]).ravel().tolist() == [138] * 3
    assert c.exposed(grey, [99, 1, 0]).ravel().tolist() == [255, 100, 0]


@pytest.mark.parametrize("size, expected", [((600, 450), (400, 300)), ((30, 60), (200, 400))])
def test_the_scale_is_the_longer_side(size, expected):
    assert c.at_scale(Image.new("RGB", size)).size == expected


def test_every_kind_is_described():
    assert list(c.KINDS) == list(c.DESCRIBED) == list(c.CORRUPTIONS)
    assert {len(strengths) for strengths in c.KINDS.values()} == {len(c.STRENGTHS)}
