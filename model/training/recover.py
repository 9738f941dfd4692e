"""Keras weights recovered from a model folder's `model.tflite`.

TF Lite keeps each convolution under its layer's name, with the batch normalisation after it folded
into kernel and bias, and as int8, with one scale per channel, where it was quantised. `recover`
undoes the folding. The resulting network can be trained and predicts what the file predicts, up to
int8 rounding. This works for backbones of plain convolutions, each with a normalisation of its own
or none, such as InceptionResNetV2 and InceptionV3; others are refused.
"""

import re
from pathlib import Path

import keras
import numpy as np
from keras import layers

from model.data.dataset import evenly
from model.evaluation.calibration import calibrated
from model.folder import TFLITE, read_config
from model.network.network import (
    NetworkError,
    all_layers,
    backbone_of,
    network_from_config,
    predict_logits,
)

TOLERANCE = 0.1  # of the probabilities, since int8 rounds activations too
BATCH, BATCHES = 32, 8  # of pictures, for the moving means


def recover(folder: "str | Path", images: np.ndarray) -> tuple[keras.Model, dict]:
    """The network of a model folder from its `model.tflite`, and its config.

    `images`: uint8 [n, height, width, 3] of any size, like those it will be trained on. At most
    256 of them give each normalisation its moving mean, which the file does not hold. Raises
    NetworkError for a network that cannot be recovered.
    """
    folder = Path(folder)
    config = read_config(folder)
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float32")
    try:
        network = network_from_config(config)
    finally:
        keras.mixed_precision.set_global_policy(policy)
    products = _products(folder / TFLITE)
    every = list(all_layers(network))
    learned = [layer for layer in every if isinstance(layer, (layers.Conv2D, layers.Dense))]
    learned.sort(key=lambda layer: _natural(layer.name))
    if [layer.kernel.shape for layer in learned] != [kernel.shape for kernel, _ in products]:
        raise NetworkError(_refusal(folder, "its layers are not those of the network"))
    followers = {id(tensor): layer for layer in every for tensor in keras.tree.flatten(layer.input)}
    for layer, (kernel, bias) in zip(learned, products):
        follower = followers.get(id(layer.output))
        if isinstance(follower, layers.BatchNormalization):
            _unfold(follower, bias)
        elif layer.use_bias:
            # InceptionResNetV2 scales the output of a block; the file holds kernel and bias scaled.
            scale = getattr(follower, "scale", 1.0)
            kernel, bias = kernel / scale, bias / scale
            layer.bias.assign(bias)
        layer.kernel.assign(kernel)
    _compare(folder, network, config)
    _centre(network, images)
    return network, config


def _products(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel, in Keras' shape, and bias of each convolution and Dense layer in the file, sorted by
    the layers' names."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    model = schema.Model.GetRootAs(path.read_bytes())
    graph = model.Subgraphs(0)
    operations = []  # code, inputs, outputs
    for i in range(graph.OperatorsLength()):
        each = graph.Operators(i)
        code = model.OperatorCodes(each.OpcodeIndex()).BuiltinCode()
        operations.append((code, each.InputsAsNumpy().tolist(), each.OutputsAsNumpy().tolist()))
    dequantize = schema.BuiltinOperator.DEQUANTIZE
    halves = {out[0]: inputs[0] for code, inputs, out in operations if code == dequantize}

    def numbers(index):
        index = halves.get(index, index)
        value = interpreter.get_tensor(index).astype(np.float32)
        scales = tensors[index]["quantization_parameters"]["scales"]
        # One scale per output channel, which is the first axis; the zero point is 0.
        return value * scales.reshape(-1, *[1] * (value.ndim - 1)) if len(scales) else value

    products = []  # sort key, kernel, bias
    for code, inputs, _ in operations:
        if code in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED):
            _, kernel, bias = inputs
            key = _natural(_layer_name(tensors[kernel]["name"]))
            # [out, ..., in] to [..., in, out]
            products.append((key, np.moveaxis(numbers(kernel), 0, -1), numbers(bias)))
    products.sort(key=lambda product: product[0])
    return [(kernel, bias) for _, kernel, bias in products]


def _layer_name(tensor: str) -> str:
    """The name of the layer that a tensor belongs to: "conv2d_5" of "a/conv2d_5_1/convolution".
    The exporter appends a second number to each name."""
    scopes = tensor.split(";")[0].split("/")
    end = next((i for i, s in enumerate(scopes) if s in ("convolution", "Tensordot", "MatMul")), -1)
    return re.sub(r"_\d+$", "", scopes[end - 1])


def _natural(name: str) -> list:
    """Natural sort key: conv2d_9 comes before conv2d_10, whatever number the names start from."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _unfold(norm, bias) -> None:
    """Make `norm` add the bias and nothing else."""
    if norm.scale:
        norm.gamma.assign(np.ones(norm.gamma.shape))
    norm.moving_mean.assign(np.zeros(norm.moving_mean.shape))
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1.0 - norm.epsilon))
    norm.beta.assign(bias)


def _centre(network: keras.Model, images: np.ndarray) -> None:
    """Set each normalisation's moving mean to the mean of its inputs, and add that to its beta.

    The predictions then stay about the same in training too, where the mean is that of a batch."""
    norms = [x for x in all_layers(network) if isinstance(x, layers.BatchNormalization)]
    if not norms:
        return
    backbone = backbone_of(network)
    means = keras.Model(
        backbone.input, [keras.ops.mean(norm.input, axis=(0, 1, 2)) for norm in norms]
    )
    scale = network.get_layer("normalisation")
    chosen = evenly(images, BATCHES * BATCH)
    of_batches = []
    for i in range(0, len(chosen), BATCH):
        pixels = np.asarray(chosen[i : i + BATCH], dtype=np.float32)
        size = network.input.shape[1:3]
        pixels = keras.ops.image.resize(pixels, size, data_format="channels_last")
        of_batches.append(means(scale(pixels), training=False))
    for norm, values in zip(norms, zip(*of_batches)):
        mean = np.mean([keras.ops.convert_to_numpy(value) for value in values], axis=0)
        norm.moving_mean.assign(mean)
        norm.beta.assign(keras.ops.convert_to_numpy(norm.beta) + mean)


def _compare(folder, network, config) -> None:
    """Raise NetworkError where the network does not predict what the file does."""
    from model.classifier import Classifier

    rng = np.random.default_rng(0)
    size = config["input"]["height"], config["input"]["width"]
    pictures = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    pictures = pictures.repeat(-(-size[0] // 6), axis=1).repeat(-(-size[1] // 8), axis=2)
    pictures = pictures[:, : size[0], : size[1]]
    classifier = Classifier(folder)
    theirs = np.stack([classifier.run(picture)[0] for picture in pictures])
    ours = calibrated(predict_logits(network, pictures), config["calibration"]["temperature"])
    if not np.abs(ours - theirs).max() < TOLERANCE:
        raise NetworkError(_refusal(folder, "its predictions are not those of the file"))


def _refusal(folder, why: str) -> str:
    return (
        f"{folder} has no Keras weights, and they cannot be recovered from its {TFLITE}: {why}. "
        "Start from a folder with model.weights.h5."
    )
