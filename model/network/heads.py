"""Heads, which stand on the last feature map of a backbone, and the map of evidence."""

import keras
import numpy as np
from keras import layers, ops


def add_head(features, head: str, classes: int, dropout: float, spec):
    """Features [n, h, w, c] to logits [n, classes].

    "pooling": one Dense layer over the feature map, then the mean over places: the Dense layer's
    map is the evidence whose mean is the logits (class activation mapping, Zhou et al. 2016).
    "flatten": Flatten and Dense, the head of P1. "published", of the networks of P2 and P3:
    Flatten, or the mean over places (MobileNetV2), the hidden Dense layer that `spec` (a Backbone)
    names, Dense. Of two classes that computes one logit, that of a sigmoid; the other class' is 0,
    and their softmax is the same.
    """
    if head == "pooling":
        # The same channels are dropped at every place: equal to dropout after pooling.
        shape = (None, 1, 1, features.shape[-1])
        x = layers.Dropout(dropout, noise_shape=shape, name="dropout")(features)
        evidence = layers.Dense(classes, dtype="float32", name="head")(x)
        return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(evidence)
    if head == "flatten":
        x = layers.Flatten(name="flatten")(features)
        x = layers.Dropout(dropout, name="dropout")(x)
        return layers.Dense(classes, dtype="float32", name="head")(x)
    x = layers.Dropout(dropout, name="dropout")(features)
    if spec.filters:
        x = layers.Flatten(name="flatten")(x)
    else:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(spec.hidden, activation="relu", name="hidden")(x)
    if spec.normalised:
        x = layers.BatchNormalization(name="hidden_normalisation")(x)
    if classes > 2:
        return layers.Dense(classes, dtype="float32", name="head")(x)
    sigmoid = layers.Dense(1, dtype="float32", name="head")(x)
    nothing = layers.Rescaling(0.0, dtype="float32", name="other_logit")(sigmoid)
    return layers.Concatenate(dtype="float32", name="logits")([nothing, sigmoid])


def with_evidence(network: keras.Model, config: dict) -> keras.Model:
    """Pixels to {"logits": [n, k], "evidence": [n, h, w, k]}; the evidence's mean is the logits.

    A published head is linear for the hidden units that one picture sets to work: what each place
    adds to their logits is its features times the gradient (Ancona et al., Towards better
    understanding of gradient-based attribution methods, ICLR 2018).
    """
    named = {layer.name: layer for layer in network.layers}
    features, head = (
        named["flatten" if config["head"] == "flatten" else "dropout"].input,
        named["head"],
    )
    if config["head"] == "pooling":
        return keras.Model(network.input, {"logits": network.output, "evidence": head.output})
    if config["head"] == "flatten":
        local = _by_place(features, *head.get_weights(), "evidence")
        return keras.Model(network.input, {"logits": network.output, "evidence": local(features)})
    kernel, bias = named["hidden"].get_weights()
    if "pooled" in named:
        by_place = layers.Dense(len(bias), dtype="float32", name="hidden_by_place")
        local = by_place(features)
        by_place.set_weights([kernel, bias])
    else:
        local = _by_place(features, kernel, bias, "hidden_by_place")(features)
    total = layers.GlobalAveragePooling2D(keepdims=True, dtype="float32")(local)
    works = ops.cast(total > 0, "float32")
    kernel, bias = head.get_weights()
    if norm := named.get("hidden_normalisation"):
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        kernel, bias = scale[:, None] * kernel, bias + (beta - mean * scale) @ kernel
    if head.units < len(config["labels"]):
        kernel, bias = (np.concatenate([0 * part, part], axis=-1) for part in (kernel, bias))
    output = layers.Dense(kernel.shape[1], dtype="float32", name="evidence")
    evidence = output(local * works)
    output.set_weights([kernel, bias])
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="mean_evidence")(evidence)
    return keras.Model(network.input, {"logits": logits, "evidence": evidence})


def _by_place(features, kernel, bias, name):
    """A Dense layer on flattened features [n, h, w, c] as one on each place: a layer whose output
    [n, h, w, units] has the mean over places that is the Dense layer's."""
    height, width, channels = features.shape[1:]
    local = layers.EinsumDense(
        "bhwc,hwck->bhwk", (height, width, len(bias)), bias_axes="k", dtype="float32", name=name
    )
    local.build(features.shape)
    places = height * width
    local.set_weights([kernel.reshape(height, width, channels, -1) * places, bias])
    return local
