"""Other precisions of a float32 TF Lite graph, by the recipes of ai-edge-quantizer
(https://github.com/google-ai-edge/ai-edge-quantizer), whose names are the keys of VARIANTS in
model/folder.py.

    fp32                 as it is
    fp16                 weights float16
    dynamic_wi8_afp32    weights int8; activations are rounded to int8 by their range in the picture
    static_wi8_ai8       weights int8; the backbone's activations are rounded to int8 by ranges that
                         sample pictures gave

Only the network's weights are rounded. Familiarity (ood.py), evidence, logits and probabilities are
computed in float32 in all of them: 256 levels are too few for probabilities and for logarithms.
"""

import os
import re

import numpy as np

SIGNATURE = "serving_default"  # what Keras's ExportArchive calls the first endpoint in TF Lite


def quantized(graph: bytes, precision: str, backbone: str, pictures=None) -> bytes:
    """`graph`, a float32 TF Lite file, in the precision of that name.

    backbone: the name of the Keras model inside the network, which its operations' names contain;
    pictures: uint8 [n, h, w, 3], of which static_wi8_ai8 takes the ranges of the activations.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    if precision == "fp32":
        return graph
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    work = quantizer.Quantizer(bytearray(graph))
    ranges = None
    if precision == "fp16":
        casting = quantizer.AlgorithmName.FLOAT_CASTING
        work.add_weight_only_config(".*", every, num_bits=16, algorithm_key=casting)
    else:
        # Kernels of fewer than 1,024 weights stay float32, as in TensorFlow's own quantisation. The
        # recipe without this saves 5 kB of model/compact and agrees with Keras on 97.1 % of the
        # validation pictures instead of 98.9 %.
        work.load_quantization_recipe(recipe.dynamic_legacy_wi8_afp32())
    if precision == "static_wi8_ai8":
        # A later rule overrides an earlier one. The exporter may append a number to a name.
        within = rf"(^|[/;]){re.escape(backbone)}(_\d+)?/"
        work.add_static_config(within, every, activation_num_bits=8, weight_num_bits=8)
        samples = [{"pixels": picture[None].astype(np.float32)} for picture in pictures]
        ranges = work.calibrate({SIGNATURE: samples}, num_threads=os.cpu_count())
    result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
