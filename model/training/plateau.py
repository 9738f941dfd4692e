"""The learning rate of P4: halved where training gets no further."""

import csv
from pathlib import Path

import keras


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Half the learning rate where two epochs brought no better `monitor`, down to 1e-5.

    What it has waited is in the history: `rows`, of the epochs before a resumed run, are gone
    through again. Stands after Checkpoint, which keeps the rate of the epoch that was.
    """

    def __init__(self, monitor: str, rate: float, rows: list[dict]):
        mode = "min" if monitor.endswith("loss") else "max"
        super().__init__(monitor, factor=0.5, patience=2, min_lr=1e-5, mode=mode)
        self.rate, self.rows = rate, list(rows)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self.rate
        for row in self.rows:
            self.on_epoch_end(row["epoch"] - 1, {self.monitor: row[self.monitor]})


def plateau(settings, rows: list[dict]) -> list[keras.callbacks.Callback]:
    """The callback that `settings`, train.py's arguments, ask for, or none. A final run, which has
    nothing to monitor, takes the rates of the selected one."""
    if settings.schedule != "plateau":
        return []
    if not settings.final:
        return [Plateau(settings.monitor, settings.learning_rate, rows)]
    with open(Path(settings.final) / "history.csv", newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    return [keras.callbacks.LearningRateScheduler(lambda epoch: rates[epoch])]
