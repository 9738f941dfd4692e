"""One test picture of each diagnosis, from the data set that a model was trained on.

Reads Parquet files, from a local folder or the Hub, with pyarrow if that is installed, and only the
columns and row groups that are needed. The repository itself holds no example pictures, because the
data set has another licence.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from model.folder import SPLIT
from model.labels import LABELS, to_code


@dataclass(frozen=True)
class Example:
    """A picture file, its id in the data set, and its true diagnosis, one of the seven codes."""

    path: Path
    image_id: str
    label: str


def find_examples(folder: "str | Path", dataset: str, into: "str | Path") -> list[Example]:
    """The first test picture of each diagnosis, written to the folder `into`, in LABELS' order.

    `folder` is the model folder, whose split.json names the test part; `dataset` is a local folder
    or a Hub id. Returns an empty list if the data set cannot be read for any reason: the page works
    without.
    """
    try:
        split = json.loads((Path(folder) / SPLIT).read_text(encoding="utf-8"))
        return _read(set(split["test"]), dataset, Path(into))
    except Exception:
        return []


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

    hub = HfFileSystem()
    for path in sorted(hub.glob(f"datasets/{dataset}/**/*.parquet")):
        yield hub.open(path, "rb")
