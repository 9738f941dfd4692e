"""The loss of a training step: mixed labels, adjusted logits, teachers, missing labels."""

import keras
import numpy as np
import pytest

from model.data.augmentation import Mix, Noise
from model.data.batches import TrainingBatches
from model.training.distillation import Teachers
from model.training.trainer import Learner

TRUTH = np.eye(3, dtype="float32")[[0, 1, 2, 2]]
LOGITS = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
TEACHER = np.random.default_rng(2).dirichlet(np.ones(3), 4).astype("float32")


def network():
    keras.utils.set_random_seed(3)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(3)(x))


def learner(*augmentation, **options):
    model = Learner(list(augmentation), network(), **options)
    model.build((4, 8, 8, 3))
    model.compile(
        "sgd",
        keras.losses.CategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    return model


def log_softmax(values):
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def cross_entropy(truth, logits):
    return -(truth * log_softmax(logits)).sum(axis=1)


def test_logits_are_adjusted_in_training_only():
    adjustment = np.log([0.7, 0.2, 0.1])
    model = learner(logit_adjustment=adjustment)
    trained = model.compute_loss(None, TRUTH, LOGITS, None, training=True)
    used = model.compute_loss(None, TRUTH, LOGITS, None, training=False)
    assert float(trained) == pytest.approx(
        cross_entropy(TRUTH, LOGITS + adjustment).mean(), rel=1e-5
    )
    assert float(used) == pytest.approx(cross_entropy(TRUTH, LOGITS).mean(), rel=1e-5)


def test_loss_in_training_is_of_the_mixed_labels():
    mix = Mix("mixup", 1.0, 4, seed=3)
    model = learner(mix)
    mix(np.random.default_rng(0).uniform(size=(4, 8, 8, 3)).astype("float32"), training=True)
    truth, logits = np.eye(4, dtype="float32"), np.random.default_rng(1).normal(size=(4, 4))
    logits = logits.astype("float32")
    mixed = cross_entropy(np.asarray(mix.labels(truth)), logits).mean()
    plain = cross_entropy(truth, logits).mean()
    assert abs(mixed - plain) > 1e-3
    trained = model.compute_loss(None, truth, logits, None, training=True)
    used = model.compute_loss(None, truth, logits, None, training=False)
    assert float(trained) == pytest.approx(mixed, rel=1e-5)
    assert float(used) == pytest.approx(plain, rel=1e-5)


def test_with_teachers_the_loss_is_a_share_of_labels_and_the_divergence():
    model = learner(teachers=Teachers([network()], [1.0]), label_share=0.3, temperature=2.0)
    soft = np.exp(log_softmax(np.log(TEACHER) / 2))
    divergences = 4 * (soft * (np.log(soft) - log_softmax(LOGITS / 2))).sum(axis=1)
    expected = 0.3 * cross_entropy(TRUTH, LOGITS).mean() + 0.7 * divergences.mean()
    given = {"logits": LOGITS, "teacher_probabilities": TEACHER}
    trained = model.compute_loss(None, TRUTH, given, None, training=True)
    assert float(trained) == pytest.approx(expected, rel=1e-5)
    used = model.compute_loss(None, TRUTH, LOGITS, None, training=False)
    assert float(used) == pytest.approx(cross_entropy(TRUTH, LOGITS).mean(), rel=1e-5)


def test_an_image_without_a_label_counts_through_the_teachers_only():
    model = learner(teachers=Teachers([network()], [1.0]), label_share=0.5, temperature=1.0)
    truth = TRUTH * [[1], [1], [0], [0]]
    divergences = (TEACHER * (np.log(TEACHER) - log_softmax(LOGITS))).sum(axis=1)
    expected = 0.5 * cross_entropy(truth, LOGITS).mean() + 0.5 * divergences.mean()
    given = {"logits": LOGITS, "teacher_probabilities": TEACHER}
    trained = model.compute_loss(None, truth, given, None, training=True)
    assert float(trained) == pytest.approx(expected, rel=1e-5)
    right = np.eye(3, dtype="float32")[[0, 1, 0, 0]] * 9  # right for the two that have a label
    figures = model.compute_metrics(
        None, truth, {"logits": right, "teacher_probabilities": TEACHER}
    )
    assert float(figures["accuracy"]) == 1.0


def test_teachers_see_the_augmented_image_and_do_not_change():
    """A student that copies its teacher agrees with it on the same crop and learns nothing."""
    flip = keras.layers.RandomFlip("horizontal_and_vertical", seed=1, dtype="float32")
    teacher = network()
    model = learner(
        keras.layers.Rescaling(1.0, dtype="float32"),
        flip,
        teachers=Teachers([teacher], [1.0]),
        label_share=0.0,
        temperature=1.0,
    )
    model.network.set_weights(teacher.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    batches = TrainingBatches(images, np.arange(12) % 3, 3, 4)
    before = [w.copy() for w in teacher.get_weights()]
    losses = model.fit(batches, epochs=2, verbose=0).history["loss"]
    assert max(losses) < 1e-6
    model.network.set_weights([w * 0 for w in before])
    losses = model.fit(batches, epochs=60, verbose=0).history["loss"]
    assert losses[0] > 1e-3 and losses[-1] < losses[0] / 2
    for now, then in zip(teacher.get_weights(), before):
        np.testing.assert_array_equal(now, then)
    assert {v.path for v in model.trainable_variables} == {
        v.path for v in model.network.trainable_variables
    }


def test_noise_is_for_the_student_alone():
    teacher = network()
    model = learner(noise=Noise(64, 0), teachers=Teachers([teacher], [1.0]), label_share=0.5)
    images = np.full((16, 8, 8, 3), 128.0, "float32")
    answers = model(images, training=True)
    clean = log_softmax(np.asarray(teacher(images)))
    told = np.log(np.asarray(answers["teacher_probabilities"]))
    np.testing.assert_allclose(told, clean, atol=1e-4)
    moved = np.abs(np.asarray(answers["logits"]) - np.asarray(model(images))).max(axis=1)
    assert 3 < (moved > 1e-4).sum() < 13
