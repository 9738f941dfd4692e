import numpy as np
import pytest

from model.data import batches as t
from model.training.recipe import CHOICES
from model.training.trainer import BalancedAccuracy

TRUTH = np.repeat([0, 1, 2], [100, 20, 4])


def counts(balance, power=1.0, truth=TRUTH, classes=3):
    order = t.epoch_order(truth, classes, balance, power, np.random.default_rng(0))
    return np.bincount(truth[order], minlength=classes).tolist(), order


def test_balances_bring_the_classes_to_their_sizes():
    assert counts("none")[0] == [100, 20, 4]
    assert counts("class-weight")[0] == [100, 20, 4]
    assert counts("oversample", 1.0)[0] == [100, 100, 100]
    assert counts("oversample", 0.5)[0] == [100, 45, 20]
    assert counts("under-over")[0] == [41, 41, 41]


def test_oversampling_keeps_every_image_and_skips_absent_classes():
    _, order = counts("oversample", 0.5)
    assert set(order) == set(range(124))
    shown, _ = counts("oversample", 1.0, np.repeat([0, 2], [10, 5]), 3)
    assert shown == [10, 0, 10]


def test_images_without_a_label_are_shown_once_with_a_row_of_zeros():
    truth = np.concatenate([TRUTH, [-1, -1, -1]])
    for balance in CHOICES["balance"]:
        order = t.epoch_order(truth, 3, balance, 1.0, np.random.default_rng(0))
        assert sorted(order[truth[order] < 0]) == [124, 125, 126]
    images = np.arange(127, dtype=np.uint8).reshape(-1, 1, 1, 1)
    batches = t.TrainingBatches(images, truth, 3, 127, balance="class-weight")
    x, y, weight = batches[0]
    assert y.sum() == 124 and (y[x.ravel() >= 124] == 0).all()
    assert set(weight[x.ravel() >= 124]) == {1.0}
    np.testing.assert_allclose(batches.prior(), [1 / 3] * 3, rtol=1e-5)


def test_artefacts_are_drawn_on_a_share_of_the_images_anew_each_epoch():
    images = np.full((60, 48, 64, 3), 200, np.uint8)
    options = {"artefacts": ["circle"], "artefact_share": 0.5, "seed": 2}
    batches = t.TrainingBatches(images, np.arange(60) % 3, 3, 60, **options)
    dark = batches[0][0][:, 0, 0, 0] < 100
    assert 15 < dark.sum() < 45
    np.testing.assert_array_equal(batches[0][0], batches[0][0])
    assert (images == 200).all()
    batches.on_epoch_end()
    assert ((batches[0][0][:, 0, 0, 0] < 100) != dark).any()


def test_batches_depend_on_seed_and_epoch_alone():
    images = np.arange(124, dtype=np.uint8).reshape(-1, 1, 1, 1)

    def firsts(**options):
        return t.TrainingBatches(images, TRUTH, 3, 16, **options)[0][0].ravel().tolist()

    batches = t.TrainingBatches(images, TRUTH, 3, 16, seed=5)
    x, y, weight = batches[0]
    assert x.dtype == np.uint8 and y.shape == (16, 3) and (weight == 1).all()
    assert len(batches) == 7  # the remainder is dropped: one shape, one compilation
    zero = x.ravel().tolist()
    batches.on_epoch_end()
    one = batches[0][0].ravel().tolist()
    assert zero != one
    assert firsts(seed=5) == zero and firsts(seed=5, epoch=1) == one and firsts(seed=6) != zero


def test_an_epoch_of_several_passes_draws_each_anew():
    images = np.arange(124, dtype=np.uint8).reshape(-1, 1, 1, 1)
    order = t.TrainingBatches(images, TRUTH, 3, 16, passes=3).order.reshape(3, 124)
    assert (np.sort(order) == np.arange(124)).all() and (order[0] != order[1]).any()


@pytest.mark.parametrize("passes, length, epochs", [(0.25, 31, 4), (0.3, 37, 7), (1.5, 186, 2)])
def test_an_epoch_of_part_of_a_pass_goes_on_where_the_last_one_ended(passes, length, epochs):
    images = np.arange(124, dtype=np.uint8).reshape(-1, 1, 1, 1)
    batches = t.TrainingBatches(images, TRUTH, 3, 16, passes=passes)
    seen = []
    for epoch in range(epochs):
        assert len(batches.order) == length
        resumed = t.TrainingBatches(images, TRUTH, 3, 16, passes=passes, epoch=epoch)
        np.testing.assert_array_equal(resumed.order, batches.order)
        seen.extend(batches.order)
        batches.on_epoch_end()
    whole = [t.TrainingBatches(images, TRUTH, 3, 16, epoch=e).order for e in range(3)]
    np.testing.assert_array_equal(seen, np.concatenate(whole)[: len(seen)])


def test_the_prior_is_that_of_a_whole_pass():
    images = np.arange(124, dtype=np.uint8).reshape(-1, 1, 1, 1)
    priors = [t.TrainingBatches(images, TRUTH, 3, 16, passes=p).prior() for p in (0.05, 1, 4)]
    for prior in priors:
        np.testing.assert_allclose(prior, np.array([100, 20, 4]) / 124)


@pytest.mark.parametrize("cores", [1, 16])
def test_batches_made_ahead_are_those_asked_for(cores, monkeypatch):
    """Also where the first is asked for twice, as Keras does to see its shape."""
    monkeypatch.setattr(t.os, "cpu_count", lambda: cores)
    images = np.arange(124, dtype=np.uint8).reshape(-1, 1, 1, 1)
    batches = t.TrainingBatches(images, TRUTH, 3, 16, seed=5)
    for epoch in range(2):
        wanted = batches.order[:112].reshape(7, 16)
        for i in (0, *range(7)):
            np.testing.assert_array_equal(batches[i][0].ravel(), wanted[i])
        batches.on_epoch_end()
    first = batches[0][0]  # the next ones are being made
    batches.draw(7)
    wanted = t.TrainingBatches(images, TRUTH, 3, 16, seed=5, epoch=7)
    assert (wanted[0][0] != first).any()
    for i in range(7):
        np.testing.assert_array_equal(batches[i][0], wanted[i][0])


def test_an_error_while_a_batch_is_made_ahead_is_raised():
    batches = t.TrainingBatches(np.zeros((124, 1, 1, 1), np.uint8), TRUTH, 3, 16)
    batches.images = batches.images[:1]
    with pytest.raises(IndexError):
        batches[0]


def test_class_weights_give_each_class_the_same_say():
    batches = t.TrainingBatches(
        np.zeros((124, 1, 1, 3), np.uint8), TRUTH, 3, 124, balance="class-weight"
    )
    _, y, weight = batches[0]
    np.testing.assert_allclose((y * weight[:, None]).sum(axis=0), [124 / 3] * 3, rtol=1e-5)


def test_balanced_accuracy_is_sklearns():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    truth, logits = rng.choice([0, 1, 3], 50), rng.normal(size=(50, 4))
    metric = BalancedAccuracy(4)
    for part in (slice(0, 20), slice(20, 50)):
        metric.update_state(np.eye(4)[truth[part]], logits[part])
    expected = np.mean([(logits[truth == c].argmax(1) == c).mean() for c in (0, 1, 3)])
    assert float(metric.result()) == pytest.approx(expected)
    known = truth[np.isin(logits.argmax(1), [0, 1, 3])]
    guessed = logits.argmax(1)[np.isin(logits.argmax(1), [0, 1, 3])]
    metric.reset_state()
    metric.update_state(np.eye(4)[known], np.eye(4)[guessed])
    assert float(metric.result()) == pytest.approx(balanced_accuracy_score(known, guessed))


def test_prior_is_that_of_what_an_epoch_shows():
    images = np.zeros((124, 1, 1, 3), np.uint8)

    def prior(classes=3, **options):
        return t.TrainingBatches(images, TRUTH, classes, 16, **options).prior()

    np.testing.assert_allclose(prior(), np.array([100, 20, 4]) / 124)
    np.testing.assert_allclose(
        prior(balance="oversample", power=0.5), np.array([100, 45, 20]) / 165
    )
    np.testing.assert_allclose(prior(balance="oversample", power=1.0), [1 / 3] * 3)
    np.testing.assert_allclose(prior(balance="class-weight"), [1 / 3] * 3)
    assert prior(classes=4)[3] == 1 / 125  # one that does not occur


def test_validation_in_whole_batches_gives_the_figures_of_each_image_once():
    import keras

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (21, 4, 4, 3), dtype=np.uint8)
    truth = rng.integers(0, 3, 21)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy"), BalancedAccuracy(3)],
    )
    expected = model.evaluate(images, np.eye(3)[truth], verbose=0, return_dict=True)
    batches = t.ValidationBatches(images, truth, 3, 8)
    assert [len(batches[i][0]) for i in range(len(batches))] == [8, 8, 8]
    figures = model.evaluate(batches, verbose=0, return_dict=True)
    assert figures == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["TrainingBatches", "ValidationBatches"])
def test_processes_share_each_batch(kind):
    images = np.arange(21, dtype=np.uint8).reshape(-1, 1, 1, 1)
    make = getattr(t, kind)
    whole = make(images, np.arange(21) % 3, 3, 8)
    shares = [make(images, np.arange(21) % 3, 3, 8, process=(i, 2)) for i in range(2)]
    for i in range(len(whole)):
        both = [np.concatenate(pair) for pair in zip(shares[0][i], shares[1][i])]
        for ours, theirs in zip(both, whole[i]):
            np.testing.assert_array_equal(ours, theirs)
