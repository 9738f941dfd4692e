"""One test picture of each diagnosis, from the data set that a model was trained on.

Reads Parquet files, of a local folder or from the Hub, with pyarrow if that is installed, and only
the columns and row groups that are needed. The repository has no examples: the data set's licence
differs.
"""

import json
from dataclasses import dataclass
from pathlib import Path

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

    found: dict[str, Example] = {}
    for opened in _files(dataset):
        with opened as file:
            table = parquet.ParquetFile(file)
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=["image_id", "dx"]).to_pydict()
                chosen = {}
                for row, (image_id, dx) in enumerate(zip(rows["image_id"], rows["dx"])):
                    label = to_code(dx)
                    if image_id in wanted and label not in found and label not in chosen:
                        chosen[label] = row
                if chosen:
                    images = table.read_row_group(group, columns=["image"]).column("image")
                    for label, row in chosen.items():
                        image_id = rows["image_id"][row]
                        path = into / f"{Path(image_id).name}.{label}"
                        path.write_bytes(images[row].as_py()["bytes"])
                        found[label] = Example(_named(path), image_id, label)
        if len(found) == len(LABELS):
            break
    return [found[label] for label in LABELS if label in found]


def _named(path: Path) -> Path:
    """The picture file renamed to the ending of its format, which the browser goes by."""
    from PIL import Image

    with Image.open(path) as picture:
        kind = (picture.format or "jpeg").lower()
    return path.rename(path.with_suffix(f".{kind}"))


def _files(dataset: str):
    if Path(dataset).is_dir():
        for path in sorted(Path(dataset).rglob("*.parquet")):
            yield open(path, "rb")
        return
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem()
    for path in sorted(hub.glob(f"datasets/{dataset}/**/*.parquet")):
        yield hub.open(path, "rb")
