"""What the training loop needs beside Keras: batches, augmentation, a metric, safe checkpoints."""

import csv
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from model.folder import read_json, replacing, write_json

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
    """

    def __init__(
        self, images, truth, classes, batch, *, balance="none", power=1.0, seed=0, epoch=0
    ):
        super().__init__()
        self.images, self.truth, self.classes = images, truth, classes
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

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, i):
        rows = self.order[i * self.batch : (i + 1) * self.batch]
        return self.images[rows], self.one_hot[rows], self.weight[rows]

    def on_epoch_end(self):
        self.draw(self.epoch + 1)


def augmentation(strength: float, seed: int) -> list:
    """Keras layers on pixels 0-255: flips, rotation by any angle, scale and crop, colour.

    `strength` 0 is none, 1 the default; colour and scale grow with it.
    """
    if strength == 0:
        return []
    a = strength
    return [
        layers.RandomFlip("horizontal_and_vertical", seed=seed, dtype="float32"),
        layers.RandomRotation(0.5, fill_mode="reflect", seed=seed + 1, dtype="float32"),
        # Height and width apart: stands for the shapes that pictures are squeezed from.
        layers.RandomZoom(
            (-0.3 * a, 0.1 * a),
            (-0.3 * a, 0.1 * a),
            fill_mode="reflect",
            seed=seed + 2,
            dtype="float32",
        ),
        layers.RandomTranslation(
            0.08 * a, 0.08 * a, fill_mode="reflect", seed=seed + 3, dtype="float32"
        ),
        layers.RandomColorJitter(
            brightness_factor=0.12 * a,
            contrast_factor=min(0.2 * a, 0.9),
            saturation_factor=(0.5 - 0.1 * min(a, 5), 0.5 + 0.1 * min(a, 5)),
            hue_factor=0.02 * a,
            seed=seed + 4,
            dtype="float32",
        ),
    ]


class BalancedAccuracy(keras.metrics.Metric):
    """Mean recall of the classes that occur, from one-hot labels and logits, over a whole part."""

    def __init__(self, classes, name="balanced_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.right = self.add_variable((classes,), initializer="zeros", name="right")
        self.all = self.add_variable((classes,), initializer="zeros", name="all")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "float32")
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
    are in the network, and at the end of an epoch the raw ones.
    """

    def __init__(self, folder: Path, network, monitor: str, patience: int | None, images: int):
        super().__init__()
        self.folder, self.network, self.monitor = Path(folder), network, monitor
        self.patience, self.images = patience, images
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

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter()

    def on_test_end(self, logs=None):
        self.network.save_weights(self.folder / "candidate.weights.h5")

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1} | {k: float(v) for k, v in (logs or {}).items()}
        row["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["images_per_second"] = self.images / (self.trained - self.started)
        row["seconds"] = time.perf_counter() - self.started
        rows = self.state["rows"] + [row]
        scores = [r[self.monitor] for r in rows]
        best_epoch = int(np.argmin(scores) if self.monitor.endswith("loss") else np.argmax(scores))
        best = self.state["best"]
        if best_epoch == len(rows) - 1 or best is None:
            best = f"best-{epoch + 1}.weights.h5"
            os.replace(self.folder / "candidate.weights.h5", self.folder / best)
        state = f"state-{epoch + 1}.weights.h5"
        self.model.save_weights(self.folder / state)
        seeds = [ops.convert_to_numpy(variable).tolist() for variable in _seeds(self.model)]
        self.state = {
            "rows": rows, "state": state, "best": best, "best_epoch": best_epoch + 1, "seeds": seeds,
        }  # fmt: skip
        write_json(self.folder / "state.json", self.state)
        for old in self.folder.glob("*.weights.h5"):
            if old.name not in (state, best):
                old.unlink()
        write_history(rows, self.folder / "history.csv")
        if self.finished:
            self.model.stop_training = True


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
