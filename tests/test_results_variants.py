"""Quantised files compared: figures by halves, what the sentences claim, and the report."""

import numpy as np
import pytest

from model import folder as f
from results import variants as v


@pytest.fixture(scope="module")
def measured():
    """Two precisions that answer as float32 does, and one that is too sure of itself by far."""
    random = np.random.default_rng(0)
    lesions = [f"l{i}" for i in np.arange(300).repeat(2)]
    truth = random.choice(3, 300, p=[0.5, 0.3, 0.2]).repeat(2)
    logits = random.normal(size=(600, 3)) + 2 * np.eye(3)[truth]
    found = {"fp32": logits, "fp16": logits + 1e-4, "static_wi8_ai8": 4 * logits}
    milliseconds = {"fp32": [4.0, 6.0], "fp16": [9.0, 11.0], "static_wi8_ai8": [1.0, 3.0]}
    megabytes = {"fp32": 8.0, "fp16": 4.0, "static_wi8_ai8": 2.0}
    return v.Measured(["akiec", "mel", "nv"], truth, lesions, found, megabytes, milliseconds)


@pytest.fixture(scope="module")
def halves(measured):
    return v.by_halves(measured, 20)


def test_a_file_calibrated_on_its_own_answers_may_be_of_any_scale(halves):
    own, _ = halves
    assert own["fp32"].shape == (20, len(v.FIGURES))
    for precision in ("fp16", "static_wi8_ai8"):
        np.testing.assert_allclose(own[precision], own["fp32"], atol=0.01)
    coverage = own["fp32"][:, 2].mean()
    assert 0.88 < coverage < 0.97


def test_the_temperature_of_another_file_makes_answers_worse_that_were_the_same(halves):
    own, kept = halves
    assert (kept["fp32"] == own["fp32"]).all()
    log_loss, error, coverage, _ = (kept["static_wi8_ai8"] - own["fp32"]).T
    assert (log_loss > 0.1).all() and error.mean() > 0.03 and coverage.mean() < -0.02


def test_sentences_claim_what_the_figures_show(measured, halves):
    own, kept = halves
    _, differences = v.files_cells(measured, 20)
    said = v.findings(measured, differences, kept, own["fp32"])
    assert said[0].endswith("float32's with: fp16, static_wi8_ai8.")
    assert said[1] == "The fastest of these, static_wi8_ai8, takes 0.40 of float32's time."
    assert "log-loss with static_wi8_ai8; calibration error with " in said[2]
    assert "coverage of 90% sets with static_wi8_ai8; " in said[2]
    assert said[3] == (
        "Of these, the interval of the difference in balanced accuracy includes 0 with "
        "static_wi8_ai8."
    )
    alone = {"fp32": own["fp32"]}
    only = v.Measured(
        measured.labels,
        measured.truth,
        measured.lesions,
        {"fp32": measured.logits["fp32"]},
        measured.megabytes,
        {"fp32": [5.0]},
    )
    said = v.findings(only, {}, alone, own["fp32"])
    assert said[0].endswith("with: none.") and len(said) == 2


def test_a_figure_grows_only_if_nearly_all_halves_say_so():
    assert v.grows(np.full(100, 0.1))
    assert not v.grows(np.zeros(100))
    assert not v.grows(np.r_[np.full(95, 0.1), np.full(5, -0.1)])
    assert not v.grows(np.full(100, np.nan))


def test_the_report_has_every_precision_of_a_trained_model(trained, made, tmp_path, monkeypatch):
    monkeypatch.setattr(v, "CALLS", 2)
    output = tmp_path / "variants.md"
    options = f"--dataset {made} --output {output} --cache {tmp_path} --halves 3 --resamples 5"
    report = v.main([str(trained), *options.split()])
    assert report == output.read_text()
    assert "\n## made\n" in report and f"`python -m results.variants {trained}`" in report
    for precision in v.PRECISIONS:
        assert report.count(f"\n| {precision} |") == 3, precision
        assert report.count(f"\n| made | {precision} |") == 1


def test_a_model_that_saw_its_validation_part_is_refused(final):
    with pytest.raises(f.UserError, match="that part measures nothing"):
        v.measure(final, None)
    (final / f.WEIGHTS).unlink()
    with pytest.raises(f.ModelFolderError, match="no Keras weights"):
        v.measure(final, None)
