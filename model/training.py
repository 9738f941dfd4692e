"""What the training loop needs beside Keras: batches, a metric, safe checkpoints."""

import csv
import math
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from model.augmentation import Learner, Mix, augmentation
from model.batchnorm import fuse_batchnorm
from model.folder import read_json, replacing, write_json
from model.network import NetworkError, on_gpu
from model.optimizers import Adam, AdamW
from model.pointwise import multiply_pointwise

BALANCES = ("none", "oversample", "class-weight", "under-over")


def epoch_order(
    truth: np.ndarray, classes: int, balance: str, power: float, rng: np.random.Generator
) -> np.ndarray:
    """Row numbers of one epoch, shuffled.

    "oversample": every image, and those of rarer classes again until a class of n images counts
    n * (largest / n) ** power; power 1 makes all classes equal (the published way), 0.5 is
    repeat-factor sampling (Gupta et al. 2019). "under-over": every class is brought to the mean
    class size, so the epoch keeps its length. Otherwise every image once.
    """
    members = [np.flatnonzero(truth == c) for c in range(classes)]
    present = [m for m in members if len(m)]
    if balance == "oversample":
        largest = max(len(m) for m in present)
        picked = []
        for m in present:
            size = round(len(m) * (largest / len(m)) ** power)
            extra = rng.choice(m, size - len(m) * (size // len(m)), replace=False)
            picked.append(np.concatenate([np.tile(m, size // len(m)), extra]))
    elif balance == "under-over":
        size = max(1, len(truth) // len(present))
        picked = [
            np.concatenate(
                [np.tile(m, size // len(m)), rng.choice(m, size % len(m), replace=False)]
            )
            for m in present
        ]
    else:
        picked = present
    return rng.permutation(np.concatenate(picked))


class Batches(keras.utils.PyDataset):
    """uint8 images, one-hot labels and weights in whole batches, shuffled anew by seed and epoch.

    The order depends on seed and epoch alone, so that a resumed run sees what it would have seen.
    Of several processes each gets its share of every batch: `share` is its number and theirs.
    """

    def __init__(
        self, images, truth, classes, batch, *, balance="none", power=1.0, seed=0, epoch=0,
        share=(0, 1),
    ):  # fmt: skip
        super().__init__()
        self.images, self.truth, self.classes, self.share = images, truth, classes, share
        self.balance, self.power, self.seed = balance, power, seed
        self.one_hot = np.eye(classes, dtype=np.float32)[truth]
        counts = np.bincount(truth, minlength=classes)
        weights = np.ones(classes, dtype=np.float32)
        if balance == "class-weight":
            weights = (len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype("f4")
        self.weight = weights[truth]
        self.draw(epoch)
        self.batch = min(batch, len(self.order))

    def draw(self, epoch: int) -> None:
        """Shuffle for this epoch, counted from 0."""
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, self.epoch])
        self.order = epoch_order(self.truth, self.classes, self.balance, self.power, rng)

    def prior(self) -> np.ndarray:
        """The share [classes] of each class in what an epoch shows, weights counted; a class that
        does not occur counts as one image."""
        drawn = np.bincount(self.truth[self.order], self.weight[self.order], self.classes)
        drawn = np.maximum(drawn, 1.0)
        return drawn / drawn.sum()

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, i):
        rows = _share(self.order[i * self.batch : (i + 1) * self.batch], self.share)
        return self.images[rows], self.one_hot[rows], self.weight[rows]

    def on_epoch_end(self):
        self.draw(self.epoch + 1)


class InOrder(keras.utils.PyDataset):
    """The same of a part to validate on, each image once, in whole batches.

    The last batch is filled up with images of weight 0; the other weights are raised to match,
    since Keras divides a loss by the images and not by their weights.
    """

    def __init__(self, images, truth, classes, batch, share=(0, 1)):
        super().__init__()
        self.images, self.batch, self.share = images, batch, share
        self.one_hot = np.eye(classes, dtype=np.float32)[truth]

    def __len__(self):
        return math.ceil(len(self.images) / self.batch)

    def __getitem__(self, i):
        n = len(self.images)
        rows = _share(np.arange(i * self.batch, (i + 1) * self.batch), self.share)
        weight = (rows < n).astype(np.float32) * (len(self) * self.batch / n)
        return self.images[rows % n], self.one_hot[rows % n], weight


def _share(rows, share):
    """This process' rows of a batch; share: (its number, how many processes)."""
    number, processes = share
    size = len(rows) // processes
    return rows[number * size : (number + 1) * size]


def compile_model(settings, network, classes: int, batches: Batches) -> keras.Model:
    """Augmentation and network as one compiled Keras model on uint8 pixels.

    `settings`: the arguments of train.py (model/recipes.py).
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
            rate / 100, max(1, steps * settings.epochs - warmup), alpha=0.0, warmup_target=rate,
            warmup_steps=warmup,
        )  # fmt: skip
    average = {"use_ema": settings.average > 0, "ema_momentum": settings.average or 0.99}
    if settings.optimizer == "adamw":
        optimizer = AdamW(
            rate, epsilon=settings.epsilon, weight_decay=settings.weight_decay, **average
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    else:
        optimizer = Adam(rate, epsilon=settings.epsilon, **average)
    mixing = [
        Mix(kind, getattr(settings, kind), batches.batch, settings.seed + 5)
        for kind in ("mixup", "cutmix")
        if getattr(settings, kind)
    ]
    model = Learner([
        keras.Input((settings.height, settings.width, 3), dtype="uint8"),
        layers.Rescaling(1.0, dtype="float32", name="pixels_as_float"),
        *augmentation(settings.augment, settings.seed, settings.colour),
        *mixing,
        network,
    ])  # fmt: skip
    fuse_batchnorm(network)
    multiply_pointwise(network)
    if settings.logit_adjust:
        model.adjust = settings.logit_adjust * np.log(batches.prior())
    if keras.backend.backend() == "jax":
        # Keras' geometric layers say no, for XLA in TensorFlow; one such layer keeps the whole
        # step from being compiled, and JAX compiles all of them.
        for layer in model.layers:
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


class Checkpoint(keras.callbacks.Callback):
    """Best weights, training state and history, kept so that a kill at any moment loses an epoch
    at most.

    `state.json` is the one pointer: it names the state file (weights and optimiser), the best
    weights and all rows of the history, and is replaced in one step after the files it names are
    whole. Stops the training when `patience` epochs brought no lower validation loss. Stands
    before SwapEMAWeights in the list of callbacks: at the end of a validation the averaged weights
    are in the network, and at the end of an epoch the raw ones. Raises NetworkError, and keeps what
    it had, where an epoch leaves weights that are no numbers.

    Without a `monitor` nothing is validated and the last epoch is the best; `average`, the run's
    SwapEMAWeights or None, then brings the averaged weights.
    """

    def __init__(
        self, folder: Path, network, monitor: str | None, patience: int | None, images: int,
        *, average=None,
    ):  # fmt: skip
        super().__init__()
        self.folder, self.network, self.monitor = Path(folder), network, monitor
        self.patience, self.images = patience, images
        self.average = average
        self.state = {"rows": [], "state": None, "best": None, "best_epoch": None}

    def load(self) -> int:
        """Take up a state from disk if there is one; returns the epoch to go on from."""
        if (self.folder / "state.json").exists():
            self.state = read_json(self.folder / "state.json")
        return len(self.state["rows"])

    @property
    def best(self) -> Path:
        return self.folder / self.state["best"]

    @property
    def finished(self) -> bool:
        if not self.monitor:
            return False
        losses = [row["val_loss"] for row in self.state["rows"]]
        return bool(
            losses and self.patience and len(losses) - 1 - int(np.argmin(losses)) >= self.patience
        )

    def restore(self, model) -> None:
        """Load weights and optimiser of the last whole epoch into the compiled `model`."""
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / self.state["state"])
        for variable, value in zip(_seeds(model), self.state["seeds"]):
            variable.assign(np.array(value, dtype=variable.dtype))

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        self.left_out = int(ops.convert_to_numpy(optimizer.left_out)) if optimizer.built else 0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter()

    def on_test_end(self, logs=None):
        self._save_candidate()

    def _save_candidate(self):
        self.network.save_weights(self.folder / "candidate.weights.h5")

    def on_epoch_end(self, epoch, logs=None):
        if not self.monitor:
            self.trained = time.perf_counter()
            if self.average:
                self.average.on_test_begin()
            self._save_candidate()
            if self.average:
                self.average.on_test_end()
        if not all(np.isfinite(ops.convert_to_numpy(w)).all() for w in self.network.weights):
            raise NetworkError(
                f"epoch {epoch + 1} left weights that are not numbers. What the one before it left "
                "is kept, to go on from with --resume; or start anew with a lower --learning-rate."
            )
        if left_out := int(ops.convert_to_numpy(self.model.optimizer.left_out)) - self.left_out:
            print(f"{left_out} steps of this epoch had gradients that are no numbers: left out")
        self.left_out += left_out
        logs = {} if logs is None else logs
        if not math.isfinite(logs.get("loss", 0.0)):
            raise NetworkError(
                "the loss is not a number: lower --learning-rate, or use float32. What the epoch "
                "before left is kept, to go on from with --resume."
            )
        # Into `logs`, so that Keras prints it with the epoch.
        logs["images_per_second"] = self.images / (self.trained - self.started)
        row = {"epoch": epoch + 1} | {k: float(v) for k, v in logs.items()}
        row["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = time.perf_counter() - self.started
        rows = self.state["rows"] + [row]
        best_epoch = len(rows) - 1
        if self.monitor:
            scores = [r[self.monitor] for r in rows]
            better = np.argmin if self.monitor.endswith("loss") else np.argmax
            best_epoch = int(better(scores))
        self.state |= {"rows": rows, "best_epoch": best_epoch + 1}
        self._write(epoch + 1, best_epoch == len(rows) - 1)
        if self.finished:
            self.model.stop_training = True

    def _write(self, epoch, is_best):
        best = self.state["best"]
        if is_best or best is None:
            best = f"best-{epoch}.weights.h5"
            os.replace(self.folder / "candidate.weights.h5", self.folder / best)
        state = f"state-{epoch}.weights.h5"
        self.model.save_weights(self.folder / state)
        seeds = [ops.convert_to_numpy(variable).tolist() for variable in _seeds(self.model)]
        self.state |= {"state": state, "best": best, "seeds": seeds}
        write_json(self.folder / "state.json", self.state)
        for old in self.folder.glob("*.weights.h5"):
            if old.name not in (state, best):
                old.unlink()
        write_history(self.state["rows"], self.folder / "history.csv")


def _seeds(model) -> list:
    """The state of each random layer, which Keras leaves out of a weights file."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def write_history(rows: list[dict], path: Path) -> None:
    """One line an epoch; numbers with six digits, which is more than they are good for."""
    with replacing(path) as beside, open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
