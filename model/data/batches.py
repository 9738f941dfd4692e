"""What an epoch shows: its order by class sizes, and whole batches of images, labels, weights."""

import math

import keras
import numpy as np

from model.data.artefacts import drawn

BALANCES = ("none", "oversample", "class-weight", "under-over")


def epoch_order(
    truth: np.ndarray, classes: int, balance: str, power: float, rng: np.random.Generator
) -> np.ndarray:
    """Row numbers of one epoch, shuffled.

    "oversample": every image, and those of rarer classes again until a class of n images counts
    n * (largest / n) ** power; power 1 makes all classes equal (the published way), 0.5 is
    repeat-factor sampling (Gupta et al. 2019). "under-over": every class is brought to the mean
    class size, so the epoch keeps its length. Otherwise every image once. Images without a label
    (truth -1) are shown once each.
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
        size = max(1, sum(map(len, present)) // len(present))
        picked = [
            np.concatenate(
                [np.tile(m, size // len(m)), rng.choice(m, size % len(m), replace=False)]
            )
            for m in present
        ]
    else:
        picked = present
    return rng.permutation(np.concatenate([*picked, np.flatnonzero(truth < 0)]))


class Batches(keras.utils.PyDataset):
    """uint8 images, one-hot labels and weights in whole batches, shuffled anew by seed and epoch.

    The order depends on seed and epoch alone, so that a resumed run sees what it would have seen.
    Of several processes each gets its share of every batch: `share` is its number and theirs. An
    image of truth -1 has no label, its row of labels is zeros. `artefacts` are drawn on a share
    `artefact_share` of the images (model/data/artefacts.py).
    """

    def __init__(
        self,
        images,
        truth,
        classes,
        batch,
        *,
        balance="none",
        power=1.0,
        seed=0,
        epoch=0,
        share=(0, 1),
        artefacts=(),
        artefact_share=0.0,
    ):
        super().__init__()
        self.images, self.truth, self.classes, self.share = images, truth, classes, share
        self.balance, self.power, self.seed = balance, power, seed
        self.artefacts, self.artefact_share = artefacts, artefact_share
        # A last row, of zeros, for truth -1.
        self.one_hot = np.eye(classes + 1, classes, dtype=np.float32)[truth]
        labelled = truth[truth >= 0]
        counts = np.bincount(labelled, minlength=classes)
        weights = np.ones(classes + 1, dtype=np.float32)
        if balance == "class-weight":
            weights[:classes] = len(labelled) / (np.count_nonzero(counts) * np.maximum(counts, 1))
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
        order = self.order[self.truth[self.order] >= 0]
        shown = np.bincount(self.truth[order], self.weight[order], self.classes)
        shown = np.maximum(shown, 1.0)
        return shown / shown.sum()

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, i):
        rows = _share(self.order[i * self.batch : (i + 1) * self.batch], self.share)
        images = self.images[rows]
        if self.artefacts:
            rng = np.random.default_rng([self.seed, self.epoch, i, self.share[0]])
            images = drawn(images, self.artefacts, self.artefact_share, rng)
        return images, self.one_hot[rows], self.weight[rows]

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
