"""The comparison of prediction sets: scores computed by hand, halves, and the report."""

import numpy as np
import pytest

from model import folder as f
from model.evaluation.conformal import rounded, sets_of
from results import sets as s

SHARES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])


def test_the_adaptive_scores_of_two_pictures():
    assert s.threshold(SHARES) == pytest.approx(np.array([[0.5, 0.7, 0.8], [0.9, 0.8, 0.3]]))
    # All that is more probable, and the label itself.
    assert s.raps(SHARES) == pytest.approx(np.array([[0.5, 0.8, 1.0], [1.0, 0.9, 0.7]]))
    assert s.raps(SHARES, own=0) == pytest.approx(np.array([[0, 0.5, 0.8], [0.9, 0.7, 0]]))
    random = np.array([[0.5], [0.1]])
    expected = np.array([[0.25, 0.65, 0.9], [0.91, 0.72, 0.07]])
    assert s.raps(SHARES, own=random) == pytest.approx(expected)
    # The second and third label have a penalty for their rank.
    penalised = np.array([[0.5, 0.9, 1.2], [1.2, 1.0, 0.7]])
    assert s.raps(SHARES, penalty=0.1, free=1) == pytest.approx(penalised)


def test_aps_sets_of_a_tiny_example():
    # The scores of class a are 0.5, 0.6, 0.7 and 1; at 80 % the fourth of them counts.
    shares = np.array([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    answers = s.ValidationAnswers(["a", "b"], np.zeros(4, int), shares, np.arange(4))
    scores = s.raps(shares)
    every = np.ones(4, bool)
    limits = answers.limits(answers.by_lesion(scores), every, 0.8)
    assert limits == [1.0, np.inf]
    limits = answers.limits(answers.by_lesion(scores), every, 0.6)
    assert limits == [0.7, np.inf]
    assert answers.within(scores, limits).tolist() == [[True, True]] * 3 + [[False, True]]
    size, single, coverage, *of_classes = answers.figures(answers.within(scores, limits), every)
    assert (size, single, coverage, of_classes[0]) == (1.75, 0.25, 0.75, 0.75)
    assert np.isnan(of_classes[1])


def answers_of(n=400, seed=0):
    """Two pictures of each lesion, that resemble each other; the second class is hard."""
    random = np.random.default_rng(seed)
    truth = random.choice(3, n, p=[0.5, 0.4, 0.1]).repeat(2)
    logits = random.normal(size=(n, 3)).repeat(2, axis=0) + 0.5 * random.normal(size=(2 * n, 3))
    logits += np.array([2.5, 1.0, 2.0])[truth, None] * np.eye(3)[truth]
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    return s.ValidationAnswers(["easy", "hard", "rare"], truth, shares, np.arange(n).repeat(2))


@pytest.mark.parametrize("score", [s.threshold, s.raps, lambda p: s.raps(p, 0.0, 0.1, 1)])
def test_every_method_covers_each_class(score):
    answers = answers_of()
    found = answers.halved(score(answers.probabilities), 100)
    assert found.shape == (100, 3, 6)
    for at, level in enumerate(s.LEVELS):
        assert (found[:, at, 3:].mean(axis=0) > level - 0.02).all()
    assert (np.diff(found[:, :, 0].mean(axis=0)) > 0).all()


def test_the_threshold_of_all_lesions_is_the_one_that_is_served():
    answers = answers_of()
    by_lesion = answers.by_lesion(s.threshold(answers.probabilities))
    served = sets_of(answers.labels, answers.truth, answers.probabilities, answers.clusters)
    for level in s.LEVELS:
        limits = answers.limits(by_lesion, np.ones(400, bool), level)
        assert list(map(rounded, limits)) == [*served["quantiles"][str(level)].values()]


def test_a_lesion_may_count_with_the_mean_of_its_pictures():
    answers = s.ValidationAnswers(
        ["a", "b"], np.zeros(3, int), np.full((3, 2), 0.5), np.array([0, 0, 1])
    )
    scores = np.array([[0.2, 0], [0.6, 0], [0.3, 0]])
    assert answers.by_lesion(scores).tolist() == [0.6, 0.3]
    assert answers.by_lesion(scores, mean=True) == pytest.approx([0.4, 0.3])


def test_the_report_has_each_method_at_each_level(trained, made, tmp_path):
    output = tmp_path / "sets.md"
    options = f"{trained} --dataset {made} --output {output} --cache {tmp_path} --halves 4"
    report = s.main(options.split())
    assert report == output.read_text()
    for method in ("threshold", "APS", "APS, without own", "APS, randomised"):
        assert report.count(f"| {method} |") == 6, method
    assert report.count("| RAPS (") == report.count("| RAPS, randomised (") == 6
    for level in ("80%", "90%", "95%"):
        assert f"### {level}\n" in report and f"\n| {level} | " in report
    assert " of 3 cases, and `model/sets.py` uses it.**" in report


def test_a_model_that_saw_its_validation_part_is_refused(final):
    with pytest.raises(f.UserError, match="that part measures nothing"):
        s.measure(final, "nowhere")
