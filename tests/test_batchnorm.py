"""The fused kernel gives and learns what Keras' own batch normalisation does."""

import keras
import numpy as np
import pytest

from model.network.batchnorm import fuse_batchnorm
from model.network.network import build_network

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the fused kernel is TensorFlow's"
)


def trained(policy: str, images, number: int = 3) -> keras.Model:
    """A small network after some steps with the fused kernel."""
    keras.utils.set_random_seed(3)
    keras.mixed_precision.set_global_policy(policy)
    try:
        network = build_network("mobilenet_v2", 32, 32, 3)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert fuse_batchnorm(network) == 52  # all that MobileNetV2 has
    network.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    for _ in range(number):
        assert np.isfinite(network.train_on_batch(images, np.arange(len(images)) % 3))
    return network


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype(np.float32)


@tensorflow_only
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "momentum": 0.5}])
def test_a_layer_gives_and_learns_what_keras_own_does(options):
    import tensorflow as tf

    x = np.random.default_rng(1).normal(3, 2, (8, 12, 16, 5)).astype(np.float32)
    target = np.random.default_rng(2).normal(0, 1, x.shape).astype(np.float32)

    def results(fuse):
        pixels = keras.Input(x.shape[1:])
        model = keras.Model(pixels, keras.layers.BatchNormalization(**options)(pixels))
        assert not fuse or fuse_batchnorm(model) == 1
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = model(inputs, training=True)
            loss = tf.reduce_sum((y - target) ** 2)
        slopes = tape.gradient(loss, [inputs, *(v.value for v in model.trainable_variables)])
        return [y, *slopes, *model.non_trainable_variables, model(x, training=False)]

    population = 8 * 12 * 16
    for number, (mine, theirs) in enumerate(zip(results(True), results(False), strict=True)):
        np.testing.assert_allclose(
            mine, theirs, rtol=2 / population, atol=2e-3, err_msg=str(number)
        )


@tensorflow_only
def test_bfloat16_keeps_the_statistics_in_float32(images):
    network = trained("mixed_bfloat16", images)
    variances = [w for w in network.weights if w.path.endswith("moving_variance")]
    assert {str(w.dtype) for w in variances} == {"float32"}
    assert all((np.asarray(w) != 1).any() for w in variances)


@tensorflow_only
def test_frozen_layers_and_files_stay_as_they_are(tmp_path, images):
    fused = trained("float32", images)
    fused.save_weights(tmp_path / "fused.weights.h5")
    own = build_network("mobilenet_v2", 32, 32, 3)
    own.load_weights(tmp_path / "fused.weights.h5")
    np.testing.assert_allclose(
        own.predict(images, verbose=0), fused.predict(images, verbose=0), atol=1e-5
    )
    fused.trainable = False
    before = [np.array(w) for w in fused.weights]
    fused(images, training=True)
    for now, then in zip(fused.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(now), then)
