"""Other precisions of a float32 TF Lite graph, by the recipes of ai-edge-quantizer
(https://github.com/google-ai-edge/ai-edge-quantizer). They are called as its recipes are:

    fp32                 as it is
    fp16                 weights float16
    dynamic_wi8_afp32    weights int8; activations are rounded to int8 by their range in the picture
    static_wi8_ai8       weights int8; the backbone's activations are rounded to int8 by ranges that
                         sample pictures gave
    dynamic_wi4_afp32    as dynamic_wi8_afp32, with kernels of 4 bits where LiteRT has the operation

Only the network is rounded. Familiarity (ood.py), and what follows the network's head, are float32
in all of them: 256 levels are too few for logarithms and probabilities. (TensorFlow's own full int8
rounds them too; of model/compact's familiarity, the correlation with float32's was 0.34.)
results/variants.md measures all precisions; convert.py offers all but the last.
"""

import os
import re

import numpy as np

SIGNATURE = "serving_default"  # what Keras's ExportArchive calls the first endpoint in TF Lite
# Layers that static_wi8_ai8 leaves in float32, as a regular expression, by the beginning of the
# backbone's name. EfficientNet-Lite's first layers have few channels of very different ranges: with
# them in int8 too, model/compact agrees with Keras on 95 % of the validation pictures instead of
# 99.3 %.
FLOAT32 = {"efficientnet_lite": "/(stem|block0|block1)_"}


def quantized(graph: bytes, precision: str, backbone: str, pictures=None) -> bytes:
    """`graph`, a float32 TF Lite file, in the precision of that name.

    backbone: the name of the Keras model inside the network, which its operations' names contain;
    pictures: uint8 [n, h, w, 3], of which static_wi8_ai8 takes the ranges of the activations.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    if precision == "fp32":
        return graph
    every, algorithms = qtyping.TFLOperationName.ALL_SUPPORTED, quantizer.AlgorithmName
    work = quantizer.Quantizer(bytearray(graph))
    if precision == "fp16":
        casting = algorithms.FLOAT_CASTING
        work.add_weight_only_config(".*", every, num_bits=16, algorithm_key=casting)
    else:
        # Kernels of fewer than 1,024 weights stay float32, as in TensorFlow's own quantisation. The
        # recipe without this saves 5 kB of model/compact and agrees with Keras on 97.1 % of the
        # validation pictures instead of 98.9 %.
        rules = recipe.dynamic_legacy_wi8_afp32()
        work.load_quantization_recipe(rules + ([_four_bits(*rules)] if "wi4" in precision else []))
    ranges = None
    if precision == "static_wi8_ai8":
        # A later rule overrides an earlier one. The exporter may append a number to a name.
        within = rf"(^|[/;]){re.escape(backbone)}(_\d+)?/"
        work.add_static_config(within, every, activation_num_bits=8, weight_num_bits=8)
        for name, kept in FLOAT32.items():
            if backbone.startswith(name):
                work.update_quantization_recipe(kept, every, algorithm_key=algorithms.NO_QUANTIZE)
        ranges = _ranges(work, pictures)
    result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return _portable(result.quantized_model)


def _four_bits(rule: dict) -> dict:
    """The rule with 4 bits in place of 8, for ordinary convolutions: LiteRT has no depthwise ones
    of 4 bits."""
    weights = rule["op_config"]["weight_tensor_config"] | {"num_bits": 4}
    op_config = rule["op_config"] | {"weight_tensor_config": weights}
    return rule | {"operation": "CONV_2D", "op_config": op_config}


def _ranges(work, pictures: np.ndarray) -> dict:
    """The ranges of the activations on uint8 pictures [n, h, w, 3], for a Quantizer."""
    from ai_edge_quantizer.calibrator import CalibrationMode

    samples = [{"pixels": picture[None].astype(np.float32)} for picture in pictures]
    return work.calibrate(
        {SIGNATURE: samples},
        num_threads=os.cpu_count(),
        mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
    )


def _portable(content: bytearray) -> bytes:
    """A TF Lite file as OpenVINO reads it too: with the weights inside the flatbuffer, which
    ai-edge-quantizer appends to it, and each operation's code in the older field as well."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(buffer.data, np.uint8)  # lists take a minute to write
    for code in model.operatorCodes:
        last = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
        code.deprecatedBuiltinCode = min(code.builtinCode, last)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
