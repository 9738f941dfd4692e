import keras
import numpy as np
import pytest

from model.data import augmentation as a

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3)).astype("float32")


def augmented(*settings, pixels=PIXELS, training=True):
    model = keras.Sequential([keras.Input((24, 32, 3)), *a.augmentation(*settings)])
    return np.asarray(model(pixels, training=training))


def test_augmentation_keeps_shape_and_range_and_rests_in_use():
    moved = augmented(1.0, 0)
    assert moved.shape == PIXELS.shape and moved.min() >= 0 and moved.max() <= 255
    assert np.abs(moved - PIXELS).mean() > 5
    np.testing.assert_array_equal(augmented(1.0, 0, training=False), PIXELS)
    assert a.augmentation(0, 0) == []


def test_colour_goes_apart_from_geometry():
    # Of one colour all over, pictures show no geometry; flips alone keep the sorted pixels.
    plain = np.full((4, 24, 32, 3), 128.0, "float32")
    assert np.abs(augmented(1.0, 0, 0.0, pixels=plain) - 128).max() < 1e-3
    weak = np.abs(augmented(0.0, 0, 0.5, pixels=plain) - 128).mean()
    strong = np.abs(augmented(0.0, 0, 3.0, pixels=plain) - 128).mean()
    assert 0 < 2 * weak < strong
    assert len(a.augmentation(1.0, 0)) == len(a.augmentation(0.0, 0, 1.0)) + 4


def test_noise_is_on_half_of_the_pictures_and_rests_in_use():
    plain = np.full((400, 8, 8, 3), 128.0, "float32")
    noise = a.Noise(32, 0)
    strengths = np.asarray(noise(plain, training=True)).std(axis=(1, 2, 3))
    assert 0.4 < (strengths == 0).mean() < 0.6
    assert 14 < strengths[strengths > 0].mean() < 18 and 28 < strengths.max() < 36
    dark = np.asarray(noise(np.zeros_like(plain), training=True))
    assert dark.min() == 0 and 0 < dark.max() <= 255
    np.testing.assert_array_equal(np.asarray(noise(plain)), plain)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_pictures_and_labels_are_mixed_alike(kind):
    # Each picture has its own brightness, so the mean tells who is in it, and how much.
    n = 16
    pixels = np.arange(n, dtype="float32")[:, None, None, None] * np.ones((n, 40, 40, 3), "float32")
    mix = a.Mix(kind, 1.0, n, seed=3)
    mixed = np.asarray(mix(pixels, training=True))
    labels = np.asarray(mix.labels(np.eye(n, dtype="float32")))
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    # CutMix cuts at whole pixels, and its labels follow the uncut box.
    close = 1e-3 if kind == "mixup" else 0.06 * n
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), labels @ np.arange(n), atol=close)
    assert (labels.max(axis=1) < 0.99).sum() > n / 2
    np.testing.assert_array_equal(np.asarray(mix(pixels)), pixels)
