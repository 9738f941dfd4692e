"""One test picture of each diagnosis, from the data set that a model was trained on.

Reads Parquet files, from a local folder or the Hub, with pyarrow if that is installed, and only the
columns and row groups that are needed. The repository itself holds no example pictures, because the
data set has another licence.
"""

import atexit
import functools
import io
import logging
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from model.folder import SPLIT, UserError, read_json
from model.labels import LABELS, to_code

RETRY = 60  # seconds after which a reading that failed is tried again


class ExamplesError(UserError):
    """Why there are no example pictures."""


@dataclass(frozen=True)
class Example:
    """A picture file, its id in the data set, and its true diagnosis, one of the seven codes."""

    path: Path
    image_id: str
    label: str


class Examples:
    """The example pictures of a page, which works without.

    `folder` is the model folder, and `dataset` a local folder or a Hub id. With `wanted`, the log
    says why there are none.
    """

    def __init__(self, folder: "str | Path", dataset: str, wanted: bool = False):
        self.folder, self.dataset, self.wanted = folder, dataset, wanted
        self.lock = threading.Lock()
        self.found: list[Example] = []
        self.next_try, self.said = 0.0, ""

    @functools.cached_property
    def into(self) -> str:
        """A temporary folder for the pictures, deleted at exit."""
        folder = tempfile.mkdtemp(prefix="examples-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def read(self) -> list[Example]:
        """The examples, read from the data set at the first call; none if that fails. Then a call
        after RETRY seconds reads again, as the data set or the Hub may be back."""
        with self.lock:
            if not self.found and time.monotonic() >= self.next_try:
                try:
                    self.found = find_examples(self.folder, self.dataset, self.into)
                except (ExamplesError, OSError) as error:
                    self._say(str(error))
                self.next_try = time.monotonic() + RETRY
            return self.found

    def _say(self, reason: str) -> None:
        if self.wanted and reason != self.said:
            logging.getLogger(__name__).warning("There are no example pictures: %s", reason)
        self.said = reason


def find_examples(folder: "str | Path", dataset: str, into: "str | Path") -> list[Example]:
    """The first test picture of each diagnosis, written to the folder `into`, in LABELS' order.

    `folder` is the model folder, whose split.json names the test part; `dataset` is a local folder
    or a Hub id. Raises ExamplesError if there are none, whatever the reason.
    """
    if not dataset:
        raise ExamplesError("No data set is named.")
    try:
        split = read_json(Path(folder) / SPLIT)
        examples = _read(set(split["test"]), dataset, Path(into))
    except UserError as error:
        raise ExamplesError(str(error)) from None
    except ImportError:
        raise ExamplesError("Reading them takes pyarrow (pip install pyarrow).") from None
    except Exception as error:  # pyarrow and the Hub's client raise many kinds
        reason = " ".join(str(error).split())[:300]
        raise ExamplesError(
            f"{dataset} cannot be read ({type(error).__name__}: {reason})."
        ) from None
    if not examples:
        raise ExamplesError(
            f"{dataset} has no Parquet file with a picture of the model's test part."
        )
    return examples


def _read(wanted: set[str], dataset: str, into: Path) -> list[Example]:
    from pyarrow import parquet

    examples: dict[str, Example] = {}
    for opened in _files(dataset):
        with opened as file:
            table = parquet.ParquetFile(file)
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=["image_id", "dx"]).to_pydict()
                chosen = {}
                for row, (image_id, dx) in enumerate(zip(rows["image_id"], rows["dx"])):
                    label = to_code(dx)
                    if image_id in wanted and label not in examples and label not in chosen:
                        chosen[label] = row
                if chosen:
                    images = table.read_row_group(group, columns=["image"]).column("image")
                    for label, row in chosen.items():
                        image_id = rows["image_id"][row]
                        data = images[row].as_py()["bytes"]
                        with Image.open(io.BytesIO(data)) as picture:
                            kind = (picture.format or "jpeg").lower()
                        # The browser goes by the ending.
                        path = into / f"{Path(image_id).name}.{kind}"
                        path.write_bytes(data)
                        examples[label] = Example(path, image_id, label)
        if len(examples) == len(LABELS):
            break
    return [examples[label] for label in LABELS if label in examples]


def _files(dataset: str):
    if Path(dataset).is_dir():
        for path in sorted(Path(dataset).rglob("*.parquet")):
            yield open(path, "rb")
        return
    from huggingface_hub import HfFileSystem

    # A new instance, since a shared one remembers that a data set was out of reach.
    hub = HfFileSystem(skip_instance_cache=True)
    for path in sorted(hub.glob(f"datasets/{dataset}/**/*.parquet")):
        yield hub.open(path, "rb")
