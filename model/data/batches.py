"""Class-balanced batches of images, labels and weights for one epoch."""

import math

import keras
import numpy as np

from model.data.artefacts import drawn


def epoch_order(
    truth: np.ndarray, classes: int, balance: str, power: float, rng: np.random.Generator
) -> np.ndarray:
    """The row numbers of one epoch, shuffled.

    "oversample": every image, and images of rarer classes repeatedly, so that a class of n images
    appears n * (largest / n) ** power times. Power 1 makes all classes equal (the published way);
    0.5 is repeat-factor sampling (Gupta et al., LVIS, CVPR 2019).
    "under-over": every class is brought to the mean class size, so the epoch keeps its length.
    Otherwise, and for images without a label (truth -1): every image once.
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
    """Training batches: uint8 images [b, h, w, 3], one-hot labels [b, classes], weights [b].

    The order depends only on the seed and the epoch, so a resumed run sees the same batches. An
    incomplete last batch is dropped. An image without a label (truth -1) has a row of zeros.
    share: (number of this process, number of processes); each gets its part of every batch.
    artefacts, artefact_share: as `kinds` and `share` of `drawn` in model/data/artefacts.py.
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
        # The last row, of zeros, is for truth -1.
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
        """Draw the order of an epoch, counted from 0."""
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, self.epoch])
        self.order = epoch_order(self.truth, self.classes, self.balance, self.power, rng)

    def prior(self) -> np.ndarray:
        """The weighted share of each class in an epoch, [classes]. An absent class counts as one
        image."""
        order = self.order[self.truth[self.order] >= 0]
        totals = np.bincount(self.truth[order], self.weight[order], self.classes)
        totals = np.maximum(totals, 1.0)
        return totals / totals.sum()

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
    """Validation batches, as those of `Batches`: each image once, in order.

    The last batch is padded with images of weight 0. The other weights are scaled up to match,
    since Keras divides the loss by the number of images, not by the sum of their weights.
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
    """This process's rows of a batch."""
    number, processes = share
    size = len(rows) // processes
    return rows[number * size : (number + 1) * size]
