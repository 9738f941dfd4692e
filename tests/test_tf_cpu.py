"""The faster layers give and learn what Keras' own do, and weights files stay the same."""

import keras
import numpy as np
import pytest
from keras import layers

from model.network import tf_cpu
from model.network.network import all_layers, build_network
from model.network.tf_cpu import speed_up_on_cpu

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the slow layers are those on TensorFlow"
)


def faster(network):
    """How many layers of the network are BatchNormalization and Conv2D of tf_cpu.py."""
    found = [type(layer) for layer in all_layers(network)]
    return found.count(tf_cpu.BatchNormalization), found.count(tf_cpu.Conv2D)


def both(shape, layer):
    """A model of one layer, and its faster copy."""
    pixels = keras.Input(shape[1:])
    model = keras.Model(pixels, layer(pixels))
    return model, speed_up_on_cpu(model)


def outcome(model, x, target):
    """Output, gradients, moving statistics and output in inference of a model after one step."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        y = model(inputs, training=True)
        loss = tf.reduce_sum((tf.cast(y, tf.float32) - target) ** 2)
    slopes = tape.gradient(loss, [inputs, *(v.value for v in model.trainable_variables)])
    return [y, *slopes, *model.non_trainable_variables, model(x, training=False)]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "momentum": 0.5}])
def test_batch_normalisation_gives_and_learns_what_keras_own_does(options):
    x = np.random.default_rng(1).normal(3, 2, (8, 12, 16, 5)).astype(np.float32)
    target = np.random.default_rng(2).normal(0, 1, x.shape).astype(np.float32)
    own, fused = both(x.shape, layers.BatchNormalization(**options))
    assert faster(fused) == (1, 0)
    population = 8 * 12 * 16
    results = zip(outcome(fused, x, target), outcome(own, x, target), strict=True)
    for number, (mine, theirs) in enumerate(results):
        np.testing.assert_allclose(
            mine, theirs, rtol=2 / population, atol=2e-3, err_msg=str(number)
        )


@pytest.mark.parametrize(
    "options", [{}, {"activation": "relu"}, {"use_bias": False}, {"dtype": "mixed_bfloat16"}]
)
def test_a_1x1_convolution_gives_and_learns_what_keras_own_does(options):
    x = np.random.default_rng(1).normal(0, 1, (4, 3, 5, 6)).astype(np.float32)
    own, product = both(x.shape, layers.Conv2D(7, 1, bias_initializer="normal", **options))
    assert faster(product) == (0, 1) and product.output_shape == (None, 3, 5, 7)
    close = 0.05 if "dtype" in options else 1e-4
    for mine, theirs in zip(outcome(product, x, 0.0), outcome(own, x, 0.0), strict=True):
        assert mine.dtype == theirs.dtype
        mine, theirs = np.asarray(mine, np.float32), np.asarray(theirs, np.float32)
        np.testing.assert_allclose(mine, theirs, rtol=close, atol=close)


def test_other_layers_are_left_alone():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(4, 1, strides=2),
            layers.Conv2D(4, 3, padding="same"),
            layers.Conv2D(4, 1, groups=2),
            layers.Flatten(),
            layers.BatchNormalization(),
        ]
    )
    assert faster(speed_up_on_cpu(model)) == (0, 0)


def test_statistics_that_are_not_finite_are_left_out():
    x = np.full((2, 3, 3, 1), np.inf, np.float32)
    _, fused = both(x.shape, layers.BatchNormalization())
    fused(x, training=True)
    assert [float(v.value[0]) for v in fused.non_trainable_variables] == [0.0, 1.0]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def trained_in_bfloat16(images):
    """A MobileNetV2 after three steps with the faster layers."""
    keras.utils.set_random_seed(3)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = speed_up_on_cpu(build_network("mobilenet_v2", 32, 32, 3))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    network.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    for _ in range(3):
        assert np.isfinite(network.train_on_batch(images, np.arange(len(images)) % 3))
    return network


def test_every_layer_of_a_network_is_faster_and_its_statistics_stay_float32(trained_in_bfloat16):
    # One normalisation for each convolution. 1x1: two in each of the 16 blocks that expand, one in
    # the block that does not, and the last.
    assert faster(trained_in_bfloat16) == (52, 34)
    variances = [w for w in trained_in_bfloat16.weights if w.path.endswith("moving_variance")]
    assert {str(w.dtype) for w in variances} == {"float32"}
    assert all((np.asarray(w) != 1).any() for w in variances)


def test_weights_files_go_both_ways(trained_in_bfloat16, images, tmp_path):
    path = tmp_path / "w.weights.h5"
    trained_in_bfloat16.save_weights(path)
    own = build_network("mobilenet_v2", 32, 32, 3)
    own.load_weights(path)
    for mine, theirs in zip(own.weights, trained_in_bfloat16.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    own.save_weights(path)
    again = speed_up_on_cpu(build_network("mobilenet_v2", 32, 32, 3))
    again.load_weights(path)
    np.testing.assert_allclose(again(images), own(images), atol=1e-4)


def test_frozen_layers_stay_as_they_are(images):
    network = speed_up_on_cpu(build_network("mobilenet_v2", 32, 32, 3))
    network.trainable = False
    before = [np.array(w) for w in network.weights]
    network(images, training=True)
    for now, then in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(now), then)
