"""1x1 convolutions as matrix products give and learn what Keras' own do."""

import keras
import numpy as np
import pytest
from keras import layers

from model.network.network import build_network
from model.network.pointwise import multiply_pointwise

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the slow kernel is TensorFlow's"
)


@tensorflow_only
@pytest.mark.parametrize(
    "options", [{}, {"activation": "relu"}, {"use_bias": False}, {"dtype": "mixed_bfloat16"}]
)
def test_a_layer_gives_and_learns_what_keras_own_does(options):
    import tensorflow as tf

    x = np.random.default_rng(1).normal(0, 1, (4, 3, 5, 6)).astype(np.float32)

    def results(as_product):
        keras.utils.set_random_seed(2)
        pixels = keras.Input(x.shape[1:])
        layer = layers.Conv2D(7, 1, bias_initializer="normal", **options)
        model = keras.Model(pixels, layer(pixels))
        assert not as_product or multiply_pointwise(model) == 1
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            y = model(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
        assert model.output_shape == (None, 3, 5, 7)
        return [y, *tape.gradient(loss, [inputs, *(v.value for v in model.trainable_variables)])]

    close = 0.05 if "dtype" in options else 1e-4
    for mine, theirs in zip(results(True), results(False), strict=True):
        assert mine.dtype == theirs.dtype
        mine, theirs = np.asarray(mine, np.float32), np.asarray(theirs, np.float32)
        np.testing.assert_allclose(mine, theirs, rtol=close, atol=close)


@tensorflow_only
def test_files_stay_as_they_are_and_no_other_convolution_is_taken(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    network = build_network("mobilenet_v2", 32, 32, 3)
    before = network.predict(images, verbose=0)
    # Two in each of the 16 blocks that expand, one in the one that does not, and the last.
    assert multiply_pointwise(network) == 34
    network.save_weights(tmp_path / "w.weights.h5")
    other = build_network("mobilenet_v2", 32, 32, 3)
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(other.predict(images, verbose=0), before, atol=1e-5)
    np.testing.assert_allclose(network(images), before, atol=1e-4)
    strided = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(4, 1, strides=2),
            layers.Conv2D(4, 3),
            layers.Conv2D(4, 1, groups=2),
        ]
    )
    assert multiply_pointwise(strided) == 0
