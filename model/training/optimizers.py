"""Keras' optimisers, careful: a step whose gradients are not all numbers moves no weight to one.

A rare step may have none. Seen once, on TensorFlow's CPU in bfloat16: a step gave NaN to the first
convolutions of InceptionResNetV2, and max pooling hid it from the loss.

On TensorFlow they take its fused kernels, which go through memory once; of Keras' own operations
each goes through it. A step of AdamW on the weights of InceptionResNetV2 takes two thirds as long.
"""

import keras
from keras import ops


class _Careful:
    """Before an optimiser: where one gradient is not finite, all of that step count as zero, and
    `left_out` counts the step. Variables can have a share of the learning rate (`slow_down`)."""

    slower: dict[str, float] = {}

    def slow_down(self, paths: list[str], share: float) -> None:
        """Take `share` of the learning rate for the variables of these paths. Their weight decay,
        which is decoupled, keeps the whole rate."""
        self.slower = {path: share for path in paths}

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.shares = [self.slower.get(variable.path, 1.0) for variable in variables]
        self.left_out = self.add_variable((), dtype="int32", name="left_out")

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(list(trainable_variables))
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))
        self.left_out.assign_add(1 - ops.cast(finite, "int32"))
        grads = [None if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in grads]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        learning_rate = learning_rate * self.shares[i]
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _apply_weight_decay(self, variables):
        if keras.backend.backend() != "tensorflow" or self.weight_decay is None:
            super()._apply_weight_decay(variables)
            return
        import tensorflow as tf

        share = tf.cast(self.learning_rate, tf.float32) * self.weight_decay
        for variable in filter(self._use_weight_decay, variables):
            value = variable.value
            tf.raw_ops.ResourceApplyGradientDescent(var=value.handle, alpha=share, delta=value)


class Adam(_Careful, keras.optimizers.Adam):
    """keras.optimizers.Adam, careful."""


class AdamW(_Careful, keras.optimizers.AdamW):
    """keras.optimizers.AdamW, careful."""
