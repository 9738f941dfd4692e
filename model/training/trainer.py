"""The network as what Keras trains: augmentation, loss, optimiser and a metric."""

import keras
import numpy as np
from keras import layers, ops

from model.data.augmentation import Mix, augmentation
from model.data.batches import Batches
from model.network.network import NetworkError, backbone_of, on_gpu
from model.training.distillation import Teachers
from model.training.learner import Learner
from model.training.optimizers import Adam, AdamW


def compile_model(
    settings, network, classes: int, batches: Batches, teachers: Teachers | None = None
) -> keras.Model:
    """Augmentation and network, with its teachers, as one compiled Keras model on uint8 pixels.

    `settings`: the arguments of train.py (model/training/recipe.py).
    """
    steps, rate = len(batches), settings.learning_rate
    top_3 = settings.monitor == "val_top_3"
    if keras.backend.backend() == "torch" and settings.steps_per_execution != 1:
        raise NetworkError(
            "Keras on PyTorch takes one step a call: leave out --steps-per-execution."
        )
    if settings.schedule == "cosine":
        warmup = max(1, int(settings.warmup_epochs * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 100,
            max(1, steps * settings.epochs - warmup),
            alpha=0.0,
            warmup_target=rate,
            warmup_steps=warmup,
        )
    average = {"use_ema": settings.average > 0, "ema_momentum": settings.average or 0.99}
    if settings.optimizer == "adamw":
        optimizer = AdamW(
            rate, epsilon=settings.epsilon, weight_decay=settings.weight_decay, **average
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = Adam(rate, epsilon=settings.epsilon, **average)
    if settings.backbone_rate != 1:
        slow = backbone_of(network).trainable_variables
        optimizer.slow_down([v.path for v in slow], settings.backbone_rate)
    mixing = [
        Mix(kind, getattr(settings, kind), batches.batch, settings.seed + 5)
        for kind in ("mixup", "cutmix")
        if getattr(settings, kind)
    ]
    model = Learner(
        [
            layers.Rescaling(1.0, dtype="float32", name="pixels_as_float"),
            *augmentation(settings.augment, settings.seed, settings.colour),
            *mixing,
        ],
        network,
        adjust=settings.logit_adjust * np.log(batches.prior()) if settings.logit_adjust else None,
        teachers=teachers,
        label_share=settings.label_share,
        temperature=settings.distill_temperature,
    )
    model.build((batches.batch, settings.height, settings.width, 3))
    if keras.backend.backend() == "jax":
        # Keras' geometric layers say no, for XLA in TensorFlow; one such layer keeps the whole
        # step from being compiled, and JAX compiles all of them.
        for layer in model.data.augmentation:
            layer.supports_jit = True
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        ),
        weighted_metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            BalancedAccuracy(classes),
            *([keras.metrics.TopKCategoricalAccuracy(3, "top_3")] if top_3 else []),
        ],
        steps_per_execution=settings.steps_per_execution or steps,
        # TensorFlow's own kernels beat XLA's on a CPU.
        jit_compile=True if keras.backend.backend() == "jax" else "auto" if on_gpu() else False,
    )
    return model


class BalancedAccuracy(keras.metrics.Metric):
    """Mean recall of the classes that occur, from one-hot labels and logits, over a whole part.

    Images of weight 0 do not count."""

    def __init__(self, classes, name="balanced_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.right = self.add_variable((classes,), initializer="zeros", name="right")
        self.all = self.add_variable((classes,), initializer="zeros", name="all")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "float32")
        if sample_weight is not None:
            y_true = y_true * ops.cast(sample_weight, "float32")[:, None]
        hit = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
        hit = ops.cast(hit, "float32")[:, None]
        self.right.assign_add(ops.sum(y_true * hit, axis=0))
        self.all.assign_add(ops.sum(y_true, axis=0))

    def result(self):
        present = ops.cast(self.all > 0, "float32")
        recall = self.right / ops.maximum(self.all, 1.0)
        return ops.sum(recall * present) / ops.maximum(ops.sum(present), 1.0)
