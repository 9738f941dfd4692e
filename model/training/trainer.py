"""Training with Keras: the model with its augmentation, loss, optimiser and metrics, the loop over
epochs, and the devices."""

import os
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from model.data.augmentation import Mix, Noise, augmentation
from model.data.batches import TrainingBatches, ValidationBatches
from model.network.network import NetworkError, backend_device, on_gpu
from model.training.callbacks import Checkpoint, rates
from model.training.distillation import Teachers, divergence


class Learner(keras.Model):
    """Pixels [n, height, width, 3] through `augmentation` (layers) and `network` to logits [n, k].

    `logit_adjustment` [k] is added to the logits in training only: tau * log(prior), as in Menon et
    al., Long-tail learning via logit adjustment, ICLR 2021, equation 10.

    `teachers` see the same augmented crop. The loss is then label_share * cross-entropy +
    (1 - label_share) * KL divergence from the teachers' mean prediction at `temperature`.
    Unlabelled images (all-zero labels) count in the second term only. The layer `noise` is for the
    network alone, as in Xie et al., Self-training with noisy student improves ImageNet
    classification, CVPR 2020: teachers answer better without it.

    Metrics compare the labels before mixing with the logits before adjustment.
    """

    def __init__(
        self,
        augmentation: list,
        network: keras.Model,
        *,
        noise: layers.Layer | None = None,
        logit_adjustment: np.ndarray | None = None,
        teachers: Teachers | None = None,
        label_share: float | None = None,
        temperature: float | None = None,
    ):
        super().__init__()
        self.augmentation, self.network, self.teachers = augmentation, network, teachers
        self.noise, self.logit_adjustment = noise, logit_adjustment
        self.label_share, self.temperature = label_share, temperature

    def build(self, shape):
        for layer in self.augmentation:
            layer.build(shape)

    def call(self, pictures, training=False):
        for layer in self.augmentation:
            pictures = layer(pictures, training=training)
        seen = pictures if self.noise is None else self.noise(pictures, training=training)
        logits = self.network(seen, training=training)
        if self.teachers is None or not training:
            return logits
        return {"logits": logits, "teacher_probabilities": self.teachers(pictures)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        for layer in self.augmentation:
            if isinstance(layer, Mix):
                y = layer.labels(y)
        logits = adjusted = y_pred if self.teachers is None else y_pred["logits"]
        if self.logit_adjustment is not None:
            adjusted = logits + ops.convert_to_tensor(self.logit_adjustment, "float32")
        loss = super().compute_loss(x, y, adjusted, _of_labelled(y, sample_weight), training)
        if self.teachers is None:
            return loss
        divergences = divergence(y_pred["teacher_probabilities"], logits, self.temperature)
        if sample_weight is not None:
            divergences = divergences * ops.cast(sample_weight, "float32")
        return self.label_share * loss + (1 - self.label_share) * ops.mean(divergences)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        return super().compute_metrics(x, y, logits, _of_labelled(y, sample_weight))


def _of_labelled(y, weight):
    """The weight [n] of each image; 0 for those without a label."""
    labelled = ops.cast(ops.sum(y, axis=-1) > 0, "float32")
    return labelled if weight is None else labelled * ops.cast(weight, "float32")


class BalancedAccuracy(keras.metrics.Metric):
    """Mean recall of the classes that occur, from one-hot labels and logits. Images of weight 0 do
    not count."""

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


class _SkipNonFinite:
    """An optimiser that treats all gradients of a step as zero if one of them is not finite, and
    counts such steps in `left_out`.

    Once, on TensorFlow's CPU in bfloat16, a step gave NaN to the first convolutions of
    InceptionResNetV2; max pooling hid it from the loss, and every weight would have become NaN.
    Keras skips such a step only under the loss scale of mixed_float16:
    https://github.com/tensorflow/community/pull/293 (RFC: Keras Mixed Precision API).
    """

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.left_out = self.add_variable((), dtype="int32", name="left_out")

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(list(trainable_variables))
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))
        self.left_out.assign_add(1 - ops.cast(finite, "int32"))
        grads = [None if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in grads]
        super().apply(grads, trainable_variables)


class Adam(_SkipNonFinite, keras.optimizers.Adam):
    """keras.optimizers.Adam that ignores the gradients of a step if one is not finite."""


class AdamW(_SkipNonFinite, keras.optimizers.AdamW):
    """keras.optimizers.AdamW that ignores the gradients of a step if one is not finite."""


def compile_model(
    settings, network: keras.Model, batches: TrainingBatches, teachers: Teachers | None = None
) -> keras.Model:
    """Augmentation and network, with its teachers, as one compiled Keras model on uint8 pixels.

    `settings`: the arguments of train.py (model/training/recipe.py). Raises NetworkError.
    """
    classes, top_3 = batches.classes, settings.monitor == "val_top_3"
    if top_3 and classes <= 3:
        raise NetworkError(
            f"monitor=val_top_3 says nothing about {classes} labels; choose another monitor."
        )
    if batches.batch % settings.devices:
        raise NetworkError(
            f"{batches.batch} images cannot be shared evenly by {settings.devices} devices."
        )
    if keras.backend.backend() == "torch" and settings.steps_per_execution != 1:
        raise NetworkError(
            "Keras on PyTorch runs one step per call: leave steps_per_execution at 1."
        )
    mixing = [
        Mix(kind, alpha, batches.batch, settings.seed + 5)
        for kind, alpha in (("mixup", settings.mixup), ("cutmix", settings.cutmix))
        if alpha
    ]
    model = Learner(
        [
            layers.Rescaling(1.0, dtype="float32", name="pixels_as_float"),
            *augmentation(settings.augment, settings.seed, settings.colour),
            *mixing,
        ],
        network,
        noise=Noise(settings.noise, settings.seed + 6) if settings.noise else None,
        logit_adjustment=(
            settings.logit_adjust * np.log(batches.prior()) if settings.logit_adjust else None
        ),
        teachers=teachers,
        label_share=settings.label_share,
        temperature=settings.distill_temperature,
    )
    model.build((batches.batch, settings.height, settings.width, 3))
    on_jax = keras.backend.backend() == "jax"
    if on_jax:
        # Keras' geometric layers refuse compilation on every backend, since XLA in TensorFlow lacks
        # an operation: https://github.com/tensorflow/tensorflow/issues/100865. One such layer keeps
        # the whole step from being compiled, and JAX compiles them all.
        for layer in model.augmentation:
            layer.supports_jit = True
    metrics = [keras.metrics.CategoricalAccuracy(name="accuracy"), BalancedAccuracy(classes)]
    if top_3:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(3, "top_3"))
    model.compile(
        _optimizer(settings, len(batches)),
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        ),
        weighted_metrics=metrics,
        steps_per_execution=settings.steps_per_execution or len(batches),
        # TensorFlow's own kernels beat XLA's on a CPU.
        jit_compile=True if on_jax else "auto" if on_gpu() else False,
    )
    return model


def _optimizer(settings, steps):
    learning_rate = settings.learning_rate
    if settings.schedule == "cosine" and not settings.budget:
        warmup = max(1, int(settings.warmup_epochs * steps))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            settings.learning_rate / 100,
            max(1, steps * settings.epochs - warmup),
            alpha=0.0,
            warmup_target=settings.learning_rate,
            warmup_steps=warmup,
        )
    options = {
        "epsilon": settings.epsilon,
        "use_ema": settings.average > 0,
        "ema_momentum": settings.average or 0.99,
    }
    if settings.optimizer == "adam":
        return Adam(learning_rate, **options)
    optimizer = AdamW(learning_rate, weight_decay=settings.weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def fit(
    settings,
    model: Learner,
    batches: TrainingBatches,
    validation: ValidationBatches | None,
    work: Path,
    quiet: bool,
) -> Checkpoint:
    """Train `model` up to epoch `settings.stop_after`, from the state in the folder `work`, if any.
    Returns the checkpoint, which has the history and the best weights. Raises NetworkError if the
    loss or weights become infinite or NaN.

    `settings`: the arguments of train.py; `validation`: None in a final run; `quiet`: print no
    progress.
    """
    average = keras.callbacks.SwapEMAWeights() if settings.average else None
    print(
        f"{settings.backbone} {settings.height}x{settings.width}: "
        f"{model.network.count_params():,} parameters, {len(batches)} steps of {batches.batch} "
        f"images per epoch, on {backend_device()}"
    )
    checkpoint = Checkpoint(
        work,
        model.network,
        settings.monitor if validation else None,
        settings.patience,
        len(batches) * batches.batch,
        budget=None if settings.final else settings.budget,
        average=average,
    )
    done = checkpoint.load()
    if done:
        checkpoint.restore(model)
        batches.draw(done)
        print(f"resumed after epoch {done}")
    if done < settings.stop_after and not checkpoint.finished:
        model.fit(
            batches,
            validation_data=validation,
            initial_epoch=done,
            epochs=settings.stop_after,
            # TrainingBatches shuffles by seed and epoch. Keras would also shuffle the batches, by
            # a state that a resumed run does not have.
            shuffle=False,
            callbacks=[
                checkpoint,
                keras.callbacks.TerminateOnNaN(),
                *filter(None, [average]),
                *rates(settings, checkpoint.state),
            ],
            verbose=0 if quiet else 1 if sys.stdout.isatty() else 2,
        )
    return checkpoint


def spread(devices: int) -> tuple[int, int]:
    """Train on the first `devices` devices of all hosts from here on. Call it before anything is
    computed.

    This is data parallelism by keras.distribution, which needs JAX: every device holds the whole
    network and takes its share of each batch. Gradients and the statistics of batch normalisation
    are those of the whole batch, so the losses are those of one device. Several hosts find each
    other by Keras' environment variables:

        KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST_0:PORT   where the first process listens
        KERAS_DISTRIBUTION_NUM_PROCESSES=2             number of processes
        KERAS_DISTRIBUTION_PROCESS_ID=0                number of this process, from 0

    Returns the number of this process and the number of processes: (0, 1) on one host. Raises
    NetworkError if there are fewer devices, or if the backend is not JAX.
    """
    hosts = int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", "1"))
    if devices == 1 and hosts == 1:
        return 0, 1
    backend = keras.backend.backend()
    if backend != "jax":
        raise NetworkError(
            f"--devices {devices} needs JAX, and Keras runs on {backend}: set KERAS_BACKEND=jax."
        )
    import jax

    if hosts > 1:
        keras.distribution.initialize()
    available = keras.distribution.list_devices()
    if len(available) < devices:
        raise NetworkError(
            f"--devices {devices}: JAX finds {len(available)} ({', '.join(available)}). Ask for no "
            "more."
        )
    processes = jax.process_count()
    if processes > 1 and devices != len(available):
        raise NetworkError(
            f"--devices {devices}: on several hosts all devices take part, and they have "
            f"{len(available)}."
        )
    # model/data/batches.py gives each process its share of a batch.
    parallel = keras.distribution.DataParallel(
        devices=available[:devices], auto_shard_dataset=False
    )
    keras.distribution.set_distribution(parallel)
    return jax.process_index(), processes
