"""Batches of images, labels and weights, for training (class-balanced) and for validation."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from model.data.artefacts import add_artefacts


def epoch_order(
    truth: np.ndarray, classes: int, balance: str, power: float, rng: np.random.Generator
) -> np.ndarray:
    """The row numbers of one epoch, shuffled.

    "oversample": every image at least once; rarer classes are repeated until a class of n images
    has n * (largest / n) ** power. Power 1 makes all classes equal (the published way); 0.5 is
    repeat-factor sampling (Gupta et al., LVIS, CVPR 2019).
    "under-over": every class is brought to the mean class size, so the epoch keeps its length.
    Any other balance, and images without a label (truth -1): every image once.
    """
    present = [rows for c in range(classes) if len(rows := np.flatnonzero(truth == c))]
    sizes = [len(rows) for rows in present]
    if balance == "oversample":
        sizes = [round(n * (max(sizes) / n) ** power) for n in sizes]
    elif balance == "under-over":
        sizes = [max(1, sum(sizes) // len(sizes))] * len(sizes)
    picked = []
    for rows, size in zip(present, sizes):
        times, more = divmod(size, len(rows))
        picked += [np.tile(rows, times), rng.choice(rows, more, replace=False)]
    return rng.permutation(np.concatenate([*picked, np.flatnonzero(truth < 0)]))


class TrainingBatches(keras.utils.PyDataset):
    """Training batches: uint8 images [b, h, w, 3], one-hot labels [b, classes], weights [b].

    The order depends only on the seed and the epoch, so a resumed run sees the same batches. An
    incomplete last batch is dropped. The label of an image without one (truth -1) is all zeros.

    process: (number of this process, number of processes); each gets its part of every batch.
    balance, power: as in `epoch_order`; with "class-weight" the weights balance the classes.
    passes: how many such orders make an epoch, one after the other. 0.25 is a quarter of an order;
    the next epoch goes on where this one ends.
    artefacts, artefact_share: as `kinds` and `share` of `add_artefacts` in model/data/artefacts.py.
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
        passes=1.0,
        seed=0,
        epoch=0,
        process=(0, 1),
        artefacts=(),
        artefact_share=0.0,
    ):
        super().__init__()
        # One thread that draws artefacts would keep a GPU waiting. PyDataset's own threads
        # (workers) mix up the batches of two epochs.
        self.threads = min(8, max(1, (os.cpu_count() or 1) // 2))
        self.pool, self.coming = ThreadPoolExecutor(self.threads), {}
        self.images, self.truth, self.classes, self.process = images, truth, classes, process
        self.balance, self.power, self.passes, self.seed = balance, power, passes, seed
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
        whole = len(self._order(0))
        length = max(1, round(self.passes * whole))
        first, start = divmod(epoch * length, whole)
        count = math.ceil((start + length) / whole)
        orders = [self._order(first + i) for i in range(count)]
        self.order = np.concatenate(orders)[start : start + length]
        self.coming = {}

    def _order(self, number):
        """The order of a pass, counted from 0 over all epochs."""
        rng = np.random.default_rng([self.seed, number])
        return epoch_order(self.truth, self.classes, self.balance, self.power, rng)

    def prior(self) -> np.ndarray:
        """The weighted share of each class in a pass, [classes]. An absent class counts as one
        image."""
        order = self._order(0)
        order = order[self.truth[order] >= 0]
        totals = np.bincount(self.truth[order], self.weight[order], self.classes)
        totals = np.maximum(totals, 1.0)
        return totals / totals.sum()

    def __len__(self):
        return len(self.order) // self.batch

    def __getitem__(self, i):
        for j in range(i, min(i + 1 + self.threads, len(self))):
            if j not in self.coming:
                self.coming[j] = self.pool.submit(self._make, j)
        return self.coming.pop(i).result()

    def _make(self, i):
        rows = _of_process(self.order[i * self.batch : (i + 1) * self.batch], self.process)
        images = self.images[rows]
        if self.artefacts:
            rng = np.random.default_rng([self.seed, self.epoch, i, self.process[0]])
            images = add_artefacts(images, self.artefacts, self.artefact_share, rng)
        return images, self.one_hot[rows], self.weight[rows]

    def on_epoch_end(self):
        self.draw(self.epoch + 1)


class ValidationBatches(keras.utils.PyDataset):
    """Validation batches, like those of `TrainingBatches`, but with each image once and in order.

    The last batch is padded with images of weight 0. The other weights are scaled up to match,
    since Keras divides the loss by the number of images, not by the sum of their weights.
    """

    def __init__(self, images, truth, classes, batch, process=(0, 1)):
        super().__init__()
        self.images, self.batch, self.process = images, batch, process
        self.one_hot = np.eye(classes, dtype=np.float32)[truth]

    def __len__(self):
        return math.ceil(len(self.images) / self.batch)

    def __getitem__(self, i):
        n = len(self.images)
        rows = _of_process(np.arange(i * self.batch, (i + 1) * self.batch), self.process)
        weight = (rows < n).astype(np.float32) * (len(self) * self.batch / n)
        return self.images[rows % n], self.one_hot[rows % n], weight


def _of_process(rows, process):
    """The rows of a batch that this process gets."""
    number, processes = process
    size = len(rows) // processes
    return rows[number * size : (number + 1) * size]
