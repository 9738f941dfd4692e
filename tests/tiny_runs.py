"""Command lines of train.py for runs of some seconds."""

from pathlib import Path

import numpy as np

SMALL = "--backbone cnn_16_32 --size 24x32 --weights none --batch 16 --set head=pooling".split()


def arguments(made, output, options="") -> list[str]:
    """train.py's arguments for a tiny run on `made` with further `options`, a string."""
    cache = Path(output).parent / "cache"
    places = f"--dataset {made} --output {output} --set cache={cache}"
    return [*places.split(), *SMALL, *options.split()]


def history(folder) -> np.ndarray:
    """The columns of a run's history.csv by name, each an array over the epochs."""
    return np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
