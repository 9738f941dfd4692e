"""One network under several runtimes, each as a call on one picture: for benchmark.py to time.

Each function raises ImportError where its runtime is not installed. Its call takes uint8
[height, width, 3] and gives probabilities [classes], or Keras' logits.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Call = Callable[[np.ndarray], np.ndarray]


def tflite(path: "str | Path", threads: int | None = None) -> Call:
    """LiteRT's interpreter, with XNNPACK, by itself with a thread a core."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    return lambda image: runner(pixels=image[None].astype(np.float32))["probabilities"][0]


def tflite_batch(path: "str | Path", size: int) -> Call:
    """The interpreter on `size` pictures at once, uint8 [size, height, width, 3]; raises
    RuntimeError or ValueError where the graph cannot be resized to it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    place = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(place["index"], [size, *place["shape"][1:]])
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    return lambda images: runner(pixels=images.astype(np.float32))["probabilities"]


def compiled(path: "str | Path", threads: int | None = None) -> Call:
    """LiteRT's newer interface, CompiledModel, on the processor."""
    from ai_edge_litert.compiled_model import (
        CompiledModel,
        CpuOptions,
        HardwareAccelerator,
        Options,
    )

    cpu = CpuOptions(num_threads=threads or os.cpu_count())
    options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=cpu)
    model = CompiledModel.from_file(str(path), options=options)
    key = next(iter(model.get_signature_list()))
    count = int(np.prod(model.get_output_tensor_details(key)["probabilities"]["shape"]))
    inputs = {"pixels": model.create_input_buffer_by_name(key, "pixels")}
    names = model.get_signature_list()[key]["outputs"]
    outputs = {name: model.create_output_buffer_by_name(key, name) for name in names}

    def call(image):
        inputs["pixels"].write(image[None].astype(np.float32))
        model.run_by_name(key, inputs, outputs)
        return outputs["probabilities"].read(count, np.float32)

    return call


def openvino(path: "str | Path", threads: int | None = None) -> Call:
    """OpenVINO on a `.tflite` file or its own `.xml`, in the precision that it chooses itself."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads or os.cpu_count()}
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    request = model.create_infer_request()
    # The file's own names differ; what has as many values as there are classes is the answer.
    place = next(i for i, port in enumerate(model.outputs) if len(port.partial_shape) == 2)

    def call(image):
        request.infer({0: image[None].astype(np.float32)}, share_outputs=True)
        return request.get_output_tensor(place).data[0].copy()

    return call


def onnx(path: "str | Path", threads: int | None = None) -> Call:
    """ONNX Runtime, float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image[None].astype(np.float32)})[0][0]


def keras_predict(network) -> Call:
    """`predict` of a Keras network, as the published Keras page calls it."""
    from model.network.network import predict_logits

    return lambda image: predict_logits(network, image[None])[0]
