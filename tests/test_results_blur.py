"""The report on blur: what it measures, and that its figures and its figure are of one run."""

import shutil

import numpy as np
import pytest
from made import drawing
from PIL import Image

from model import folder as f
from model import quality
from model.quality import quality_notices
from results import blur as b


def test_a_radius_is_that_of_a_picture_600_pixels_wide():
    spot = Image.new("RGB", (600, 450))
    spot.paste("white", (290, 215, 310, 235))
    for size in ((600, 450), (300, 225)):
        grey = np.asarray(b.blurred(spot.resize(size), 6).resize((600, 450)).convert("L"), float)
        spread = np.sqrt((grey.sum(axis=0) * (np.arange(600) - 299.5) ** 2).sum() / grey.sum())
        # The square adds a twelfth of its side squared.
        assert spread == pytest.approx(np.sqrt(6**2 + 20**2 / 12), rel=0.05)


def test_the_share_with_the_notice_is_that_of_the_rule():
    pictures = [drawing("nv", i, (400, 300)) for i in range(6)]
    for radius in (0, 1, 2, 4):
        found = b.detail(pictures, lambda one, r=radius: b.blurred(one, r))
        named = ["blurred" in quality_notices(b.blurred(one, radius)) for one in pictures]
        assert b.noticed(found, quality.SHARP, quality.FINE) == np.mean(named)
    assert np.mean(named) == 1 and b.noticed(found, 0, 0) == 0


def test_the_report_has_the_bounds_in_use_and_the_figures_of_each_model(trained, made, tmp_path):
    output = tmp_path / "results" / "blur.md"
    text = b.main([str(trained), "--dataset", str(made), "--output", str(output), "--resamples=9"])
    assert output.read_text() == text
    assert Image.open(output.with_suffix(".png")).width == 1200
    bounds, model = text.split("\n## ")[1:]
    assert f"| **{quality.FINE}** |" in bounds and "| without |" in bounds
    rows = [line.split(" | ") for line in model.splitlines() if line.startswith("| ")][2:]
    assert [int(row[0].strip("| ")) for row in rows] == list(b.ANSWERED)
    assert "blurred 0.0 %" in model


def test_models_with_different_validation_parts_are_not_compared(trained, tmp_path, made):
    other = shutil.copytree(trained, tmp_path / "other")
    split = f.read_json(other / f.SPLIT)
    split["validation"] = split["validation"][1:]
    f.write_json(other / f.SPLIT, split)
    f.write_checksums(other)
    with pytest.raises(f.UserError, match="different validation parts"):
        b.main([str(trained), str(other), "--dataset", str(made)])
