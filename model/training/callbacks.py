"""What happens between epochs: the state is saved for --resume, the best weights are kept, and the
learning rate is set."""

import csv
import math
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.folder import read_json, replacing, write_json
from model.network.network import NetworkError


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimiser and history after each epoch, so that an interruption loses at most
    one epoch.

    `state.json` holds the history and names the file of the last state and that of the best
    weights. It is replaced in one step once these files are complete. Stops the training when the
    validation loss has not improved for `patience` epochs, or before an epoch that would take
    longer than what is left of a `budget` in minutes. Without a `monitor` nothing is validated and
    the last epoch is the best.

    Must come before `average` (SwapEMAWeights or None) in the list of callbacks, so that
    on_test_end sees the averaged weights and on_epoch_end the raw ones. `images`: images per epoch.
    Raises NetworkError, and keeps the previous epoch, if the loss or weights are infinite or NaN
    after an epoch.
    """

    def __init__(
        self,
        folder: Path,
        network: keras.Model,
        monitor: str | None,
        patience: int | None,
        images: int,
        *,
        budget: float | None = None,
        average: keras.callbacks.SwapEMAWeights | None = None,
    ):
        super().__init__()
        self.folder, self.network, self.monitor = Path(folder), network, monitor
        self.patience, self.images, self.budget, self.average = patience, images, budget, average
        # "spent": seconds of training so far, with all that is saved but the last epoch
        self.state = {"rows": [], "state": None, "best": None, "best_epoch": None, "spent": 0.0}

    def load(self) -> int:
        """Read the state on disk, if any; returns the number of complete epochs."""
        if (self.folder / "state.json").exists():
            self.state |= read_json(self.folder / "state.json")
        return len(self.state["rows"])

    @property
    def best(self) -> Path:
        """The file with the weights of the best epoch so far; there must have been one."""
        return self.folder / self.state["best"]

    @property
    def finished(self) -> bool:
        """Whether the budget is used up, or the validation loss has not improved for `patience`
        epochs."""
        rows = self.state["rows"]
        if self.budget and self.state["spent"] + epoch_seconds(rows) > 60 * self.budget:
            return True
        if not (self.monitor and self.patience and rows):
            return False
        losses = [row["val_loss"] for row in rows]
        return len(losses) - 1 - int(np.argmin(losses)) >= self.patience

    def restore(self, model: keras.Model) -> None:
        """Load weights and optimiser of the last complete epoch into the compiled `model`."""
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / self.state["state"])
        for variable, value in zip(_seeds(model), self.state["seeds"]):
            variable.assign(np.array(value, dtype=variable.dtype))

    def on_train_begin(self, logs=None):
        optimizer = _own_optimizer(self.model)
        self.left_out = int(ops.convert_to_numpy(optimizer.left_out)) if optimizer.built else 0
        self.before, self.resumed = self.state["spent"], time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter()

    def on_test_end(self, logs=None):
        self.network.save_weights(self.folder / "candidate.weights.h5")

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        if not self.monitor:
            self.trained = time.perf_counter()
            if self.average:
                self.average.on_test_begin()  # swaps the averaged weights in
            self.on_test_end()
            if self.average:
                self.average.on_test_end()
        self._check_finite(epoch, logs)
        # Put into `logs`, from which Keras prints it with the epoch.
        logs["images_per_second"] = self.images / (self.trained - self.started)
        row = {"epoch": epoch + 1} | {k: float(v) for k, v in logs.items()}
        row["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = time.perf_counter() - self.started
        rows = self.state["rows"] + [row]
        best = len(rows) - 1
        if self.monitor:
            scores = [r[self.monitor] for r in rows]
            best = int((np.argmin if self.monitor.endswith("loss") else np.argmax)(scores))
        spent = self.before + time.perf_counter() - self.resumed
        self.state |= {"rows": rows, "best_epoch": best + 1, "spent": spent}
        self._write(epoch + 1, best == len(rows) - 1)
        if self.finished:
            self.model.stop_training = True

    def _check_finite(self, epoch, logs):
        if not all(np.isfinite(ops.convert_to_numpy(w)).all() for w in self.network.weights):
            raise NetworkError(
                f"epoch {epoch + 1} left weights that are not finite. The epoch before it is kept: "
                "continue from it with --resume, or start again with a lower --learning-rate."
            )
        left_out = int(ops.convert_to_numpy(_own_optimizer(self.model).left_out)) - self.left_out
        if left_out:
            print(f"{left_out} steps of this epoch had gradients that are not finite: left out")
        self.left_out += left_out
        if not math.isfinite(logs.get("loss", 0.0)):
            raise NetworkError(
                "the loss is not finite: lower --learning-rate, or use float32. The epoch before "
                "is kept: continue from it with --resume."
            )

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


def _own_optimizer(model):
    """The optimiser of trainer.py, which mixed_float16 wraps in one that scales the loss."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _seeds(model) -> list:
    """The state of each random layer, which Keras leaves out of a weights file."""
    return [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]


def write_history(rows: list[dict], path: Path) -> None:
    """Write the history as a CSV: one row per epoch, numbers with six significant digits."""
    with replacing(path) as beside, open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Halves the learning rate, down to 1e-5, when `monitor` has not improved for two epochs.

    In a resumed run it first goes through `rows`, the history of the previous epochs. Must come
    after Checkpoint, which records the rate that the epoch was trained with.
    """

    def __init__(self, monitor: str, learning_rate: float, rows: list[dict]):
        mode = "min" if monitor.endswith("loss") else "max"
        super().__init__(monitor, factor=0.5, patience=2, min_lr=1e-5, mode=mode)
        self.start, self.rows = learning_rate, list(rows)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self.start
        for row in self.rows:
            self.on_epoch_end(row["epoch"] - 1, {self.monitor: row[self.monitor]})


def epoch_seconds(rows: list[dict]) -> float:
    """How long an epoch takes, by the history of a run; 0 if nothing is known of it. The first does
    not count, since it compiles the network, and nor does the first after each --resume, which is
    never the fastest."""
    return min([row["seconds"] for row in rows[1:]], default=0.0)


def budgeted_rate(settings, epoch: int, state: dict) -> float:
    """The learning rate of `epoch`, counted from 0, in a run of `settings.budget` minutes.

    It lies on a cosine of the time spent, at the middle of the epoch, so that it reaches 0 with the
    budget on any machine, and rises during the first `settings.warmup_epochs`. (Li, Yumer and
    Ramanan, Budgeted training, ICLR 2020, show that a schedule should end with the budget.)

    `settings`: the arguments of train.py; `state`: that of Checkpoint.
    """
    middle = state["spent"] + epoch_seconds(state["rows"]) / 2
    share = min(1.0, middle / (60 * settings.budget))
    warm = min(1.0, (epoch + 0.5) / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    return settings.learning_rate * warm * (1 + math.cos(math.pi * share)) / 2


def rates(settings, state: dict) -> list[keras.callbacks.Callback]:
    """The callbacks that set the learning rate for schedule "plateau" and for a budget. A final
    run takes the rates of the selected run: it is not validated, and has as many epochs.

    `settings`: the arguments of train.py; `state`: that of Checkpoint, which must come before.
    """
    scheduled = keras.callbacks.LearningRateScheduler
    if settings.schedule != "plateau" and not settings.budget:
        return []
    if settings.final:
        with open(Path(settings.final) / "history.csv", newline="") as file:
            selected = [float(row["learning_rate"]) for row in csv.DictReader(file)]
        return [scheduled(lambda epoch: selected[epoch])]
    if settings.budget:
        return [scheduled(lambda epoch: budgeted_rate(settings, epoch, state))]
    return [Plateau(settings.monitor, settings.learning_rate, state["rows"])]
