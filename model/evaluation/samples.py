"""What a run was shown, as figures: train.py --figures.

    distribution.png         images of each label, before and after balancing
    pictures/samples.png     nine of the training pictures
    pictures/augmented.png   the same nine, augmented

`pictures/` stays on this machine: it is neither in SHA256SUMS nor pushed to the Hub, since the
pictures belong to the data set, under its licence.
"""

from pathlib import Path

import keras
import numpy as np

from model.data.augmentation import augmentation
from model.evaluation.figures import distribution_figure, pictures_figure

PICTURES = "pictures"


def write_figures(folder: Path, settings, batches, labels: list[str]) -> None:
    """Write the three into a model folder. `settings`: the arguments of train.py; `batches`: the
    Batches (model/data/batches.py) that it trained on."""

    def counts(truth):
        return dict(zip(labels, np.bincount(truth, minlength=len(labels)).tolist()))

    shown = counts(batches.truth[batches.order])
    distribution_figure(counts(batches.truth), shown, settings.balance, folder / "distribution.png")
    rows = nine(batches.truth)
    (folder / PICTURES).mkdir(exist_ok=True)
    names, images = [labels[batches.truth[row]] for row in rows], batches.images[rows]
    pictures_figure(images, names, "Training pictures", folder / PICTURES / "samples.png")
    layers = augmentation(settings.augment, settings.seed, settings.colour)
    if not layers:
        return
    augmented = images.astype(np.float32)
    for layer in layers:
        augmented = layer(augmented, training=True)
    augmented = np.clip(keras.ops.convert_to_numpy(augmented), 0, 255).round().astype(np.uint8)
    pictures_figure(augmented, names, "The same, augmented", folder / PICTURES / "augmented.png")


def nine(truth: np.ndarray) -> list[int]:
    """Nine row numbers, or all where there are fewer: the first of each label, the second, ..."""
    nth = np.zeros(len(truth), dtype=int)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        nth[members] = np.arange(len(members))
    chosen = np.lexsort((truth, nth))[:9]
    return sorted(chosen.tolist(), key=lambda row: (truth[row], row))
