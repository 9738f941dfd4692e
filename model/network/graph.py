"""The network as a float32 TF Lite graph, with its evidence and familiarity, as convert.py's
docstring describes it."""

import tempfile

import keras

from model.network.network import with_evidence
from model.network.ood import Reference, familiarity


def float32_graph(network: keras.Model, config: dict, reference: Reference | None = None) -> bytes:
    """The bytes of the TF Lite file, at the temperature of `config`, the network's config.json.
    Without a `reference` the graph has no output `familiarity`."""
    import tensorflow as tf

    model = with_evidence(network, config)
    temperature = config["calibration"]["temperature"]
    height, width = config["input"]["height"], config["input"]["width"]

    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.float32, name="pixels")])
    def serve(pixels):
        out = model(pixels, training=False)
        probabilities = tf.nn.softmax(out["logits"] / temperature)
        outputs = {"probabilities": probabilities, "evidence": out["evidence"] / temperature}
        return outputs | ({"familiarity": familiarity(pixels, reference)} if reference else {})

    with tempfile.TemporaryDirectory() as saved:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", serve)
        archive.write_out(saved, verbose=False)
        return tf.lite.TFLiteConverter.from_saved_model(saved).convert()
