"""Keras' optimisers, careful: a step whose gradients are not all numbers moves no weight to one.

A rare step may have none. Seen once, on TensorFlow's CPU in bfloat16: a step gave NaN to the first
convolutions of InceptionResNetV2, and max pooling hid it from the loss.
"""

import keras
from keras import ops


class _Careful:
    """Before an optimiser: where one gradient is not finite, all of that step count as zero, and
    `left_out` counts the step."""

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.left_out = self.add_variable((), dtype="int32", name="left_out")

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(list(trainable_variables))
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))
        self.left_out.assign_add(1 - ops.cast(finite, "int32"))
        grads = [None if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in grads]
        super().apply(grads, trainable_variables)


class Adam(_Careful, keras.optimizers.Adam):
    """keras.optimizers.Adam, careful."""


class AdamW(_Careful, keras.optimizers.AdamW):
    """keras.optimizers.AdamW, careful."""
