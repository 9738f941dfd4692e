"""A list whose items lie in a temporary file."""

import pickle
import tempfile
from array import array
from collections.abc import Iterable, Sequence

IN_MEMORY = 8_000_000  # bytes; 200 thumbnails take 4, so the page's batches are not on the disk


class Kept(Sequence):
    """Items, pickled, in a file without a name, which is on the disk from IN_MEMORY bytes on: as
    many as one likes take no more memory. `append` raises OSError where the disk is full."""

    def __init__(self, items: Iterable = ()):
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)
        self._ends = array("q", [0])
        for item in items:
            self.append(item)

    def append(self, item) -> None:
        self._file.seek(self._ends[-1])
        pickle.dump(item, self._file, pickle.HIGHEST_PROTOCOL)
        self._ends.append(self._file.tell())

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        self._file.seek(self._ends[range(len(self))[place]])
        return pickle.load(self._file)
