"""What a stopped run goes on from: its folder, the state after each epoch, the best weights."""

import csv
import math
import os
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.folder import ModelFolderError, read_json, replacing, write_json
from model.network.network import NetworkError


def begin(work: Path, settings: dict, resume: bool) -> None:
    """Make the folder of the unfinished run, or see that it was started by the same command."""
    if work.exists() and not resume:
        raise ModelFolderError(
            f"{work} holds an unfinished run: go on with --resume, or remove that folder."
        )
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "settings.json").exists():
        write_json(work / "settings.json", settings)
        return
    before = read_json(work / "settings.json")
    changed = sorted(k for k in settings if before.get(k) != settings[k])
    if changed:
        raise ModelFolderError(
            f"{work} was started with other settings of: {', '.join(changed)}. "
            "Resume with the same command, or choose another --output."
        )


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
        self,
        folder: Path,
        network,
        monitor: str | None,
        patience: int | None,
        images: int,
        *,
        average=None,
    ):
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
