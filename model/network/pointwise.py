"""Convolutions of one pixel as matrix products, for training on TensorFlow's CPU.

On few places, as late in a network, TensorFlow's gradient of such a kernel takes several times as
long as the product that it is. Of a training step of InceptionResNetV2 (96x128, 32 images,
mixed_bfloat16, two cores) this saves a quarter.
"""

from functools import partial

import keras
from keras import layers, ops

from model.network.network import on_gpu


def multiply_pointwise(network: keras.Model) -> int:
    """Let the 1x1 convolutions of `network` be computed as products of matrices where Keras runs
    on TensorFlow's CPU; how many. Weights and what is saved stay as they are."""
    if keras.backend.backend() != "tensorflow" or on_gpu():
        return 0
    pointwise = [
        layer
        for layer in network._flatten_layers()
        if type(layer) is layers.Conv2D
        and layer.kernel_size == layer.strides == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
    ]
    for layer in pointwise:
        # The call alone, not the class: Keras names what it saves after the class.
        layer.call = partial(_call, layer)
    return len(pointwise)


def _call(layer, inputs):
    """What Keras' layer does to [n, height, width, channels]."""
    height, width, channels = inputs.shape[1:]
    result = ops.matmul(
        ops.reshape(inputs, (-1, channels)), ops.reshape(layer.kernel, (channels, layer.filters))
    )
    if layer.use_bias:
        result = ops.add(result, layer.bias)
    result = ops.reshape(result, (-1, height, width, layer.filters))
    return layer.activation(result) if layer.activation else result
