import numpy as np
import pytest
from PIL import Image, ImageColor

from model.cam import COLOURS, agreed, extent, shown, strengths
from model.preprocessing import to_array, upright


def spot(h, w, row, column, k=3, which=1):
    evidence = np.zeros((h, w, k), np.float32)
    evidence[row, column, which] = 5
    return evidence


def half_turn(evidence):
    return evidence[::-1, ::-1]


def test_strengths_are_shares_of_the_strongest_place_of_any_diagnosis():
    evidence = np.zeros((2, 2, 3), np.float32)
    evidence[0, 0] = [6, 0, 0]
    evidence[1, 1] = [0, 3, 0]
    evidence += 100  # the same for all diagnoses: speaks for none
    found = strengths(evidence, half_turn(evidence), 0)
    assert found[0, 0, 0] == 1 and found[1, 1, 1] == pytest.approx(0.5)
    assert found[0, 0, 1] == 0 and found.min() == 0 and found.dtype == np.float32
    assert strengths(np.zeros((2, 2, 3)), np.zeros((2, 2, 3)), 0).max() == 0


def test_a_place_of_the_networks_own_does_not_count_but_the_lesion_does():
    """The network gathers evidence in its upper right corner, which stays when the picture is
    turned. The lesion moves with the picture."""
    corner, lesion = spot(3, 4, 0, 3) * 2, spot(3, 4, 2, 1)
    kept = agreed(corner + lesion, corner + half_turn(lesion))
    assert np.unravel_index(kept[..., 1].argmax(), (3, 4)) == (2, 1)
    assert kept[0, 3, 1] == 0 and kept[0, 0, 1] == 0 and kept[2, 0, 1] == 0


def test_a_diagnosis_stands_out_if_a_place_exceeds_what_a_blank_picture_has():
    evidence = spot(2, 2, 0, 0, which=0) + spot(2, 2, 1, 1, which=2) / 2
    kept = agreed(evidence, half_turn(evidence)).max(axis=(0, 1))
    between = float(kept[0] + kept[2]) / 2
    found = strengths(evidence, half_turn(evidence), between)
    assert found[0, 0, 0] == 1 and not found[..., 1:].any()
    assert not strengths(evidence, half_turn(evidence), float(kept[0])).any()
    assert strengths(evidence, half_turn(evidence), float(kept[0]) - 0.01).any()


@pytest.mark.parametrize(
    "places, size, share",
    [
        ((3, 4), (144, 192), (2 / 3, 2 / 3)),
        ((4, 6), (192, 256), (2 / 3, 3 / 4)),
        ((7, 10), (224, 299), (1, 1)),
        ((56, 56), (224, 224), (1, 1)),
    ],
)
def test_places_leave_out_the_border_that_they_do_not_look_at(places, size, share):
    assert extent(places, size) == pytest.approx(share)


@pytest.mark.parametrize("size", [(80, 60), (60, 80)])
def test_map_lies_where_the_network_saw_it_portrait_or_landscape(size):
    """A white dot in the picture, through to_array, is the evidence; the map must be strongest on
    the dot of the upright picture."""
    picture = Image.new("RGB", size)
    x, y = round(size[0] * 0.2), round(size[1] * 0.7)
    picture.paste((255, 255, 255), (x - 4, y - 4, x + 5, y + 5))
    array = to_array(picture, 24, 32)
    evidence = np.zeros((24, 32, 2), np.float32)
    evidence[..., 0] = array[..., 0]
    evidence = upright(evidence, picture, 24, 32)
    strength = strengths(evidence, half_turn(evidence), 0)[..., 0]
    row, column = np.unravel_index(strength.argmax(), strength.shape)
    assert abs((column + 0.5) / strength.shape[1] - x / size[0]) < 0.06
    assert abs((row + 0.5) / strength.shape[0] - y / size[1]) < 0.06


def test_colours_grow_lighter_evenly():
    rgb = np.array([ImageColor.getrgb(colour) for colour in COLOURS])
    linear = (rgb / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(np.maximum(linear, 0.009)) - 16
    assert (np.diff(lightness) > 0).all() and np.diff(lightness).max() < 12


def test_shown_is_bounded_and_leaves_the_picture_alone():
    picture = Image.new("RGB", (3000, 1500))
    assert shown(picture).size == (640, 320) and picture.size == (3000, 1500)
