"""The report on the evidence map: what is covered, where maps are strongest, table and figure."""

import numpy as np
import pytest
from PIL import Image

from model.classifier import Classifier
from results import map as m


def test_the_middle_of_an_area_lies_where_the_map_is_drawn():
    assert m.middle(0, (3, 4), (1, 1)) == pytest.approx((1 / 6, 1 / 8))
    assert m.middle(3, (3, 4), (2 / 3, 2 / 3)) == pytest.approx((1 / 6 + 1 / 9, 0.75))


def test_a_square_is_covered_in_the_colour_of_the_edge():
    image = np.full((90, 120, 3), (200, 150, 140), np.uint8)
    image[30:60, 30:90] = 20
    hidden = m.cover(image, (0.5, 0.5)).astype(int)
    assert np.abs(hidden[38:52, 53:67] - (200, 150, 140)).max() <= 1
    assert (hidden[:25] == image[:25]).all() and (hidden[40:50, 33] == 20).all()


def test_strongest_places_are_told_apart():
    maps = np.zeros((4, 3, 4))
    for values, at in zip(maps, ((0, 3), (2, 0), (1, 0), (1, 2))):
        values[at] = 1
    assert m.places(list(maps)) == [0.5, 0.25, 0.25]


def test_the_diagnosis_falls_when_its_strongest_area_is_covered():
    """A classifier that sees only how dark the middle is."""

    class Dark:
        blank = 0.1

        def run(self, image):
            grey = 1 - image.reshape(3, 16, 4, 16, 3).mean(axis=(1, 3, 4)) / 255
            p = grey[1, 1] * 0.9 + 0.05
            return np.array([1 - p, p]), np.stack([0 * grey, grey], axis=-1), None, 1.0

    image = np.full((48, 64, 3), 255, np.uint8)
    image[16:32, 16:32] = 0
    seen = m.look(Dark(), image, np.random.default_rng(0))
    (strongest, another), _ = seen.drops
    assert seen.top == 1 and seen.stands_out and strongest > another + 1


def test_the_report_has_two_rows_per_model_and_a_figure(trained, made, tmp_path):
    output = tmp_path / "map.md"
    options = ["--dataset", str(made), "--output", str(output), "--cache", str(tmp_path)]
    report = m.main([str(trained), *options, "--pictures", "8"])
    name = trained.name
    assert report == output.read_text()
    assert report.count(f"| {name} |") == 3 and f"{Classifier(trained).blank:.2f}" in report
    with Image.open(tmp_path / "map.png") as figure:
        assert figure.width == 1200
