"""The example pictures of the page: seven that come with it, or those of another data set.

    read_examples(folder)                   the bundled ones, in examples/
    read_examples(folder, dataset)          those of a data set, for the model in `folder`

Either way there is one picture of each diagnosis: the first by image id in the test part that the
model folder's split.json names. This makes the bundled ones again:

    python -m model.page.examples --dataset ../shared/ham10000

Reading a data set takes pyarrow. It reads Parquet files, from a local folder or the Hub, and only
the columns and row groups that are needed.
"""

import argparse
import atexit
import io
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from model.folder import (
    BUNDLED,
    SPLIT,
    UserError,
    errors_in_words,
    no_folder,
    read_json,
    write_json,
)
from model.labels import LABELS, to_code

FOLDER = Path(__file__).with_name("examples")
LIST = FOLDER / "examples.json"
COLUMNS = {"image", "image_id", "dx"}  # lesion_id is optional


class ExamplesError(UserError):
    """Why there are no example pictures."""


@dataclass(frozen=True)
class Example:
    """A picture file, its id in the data set, its true diagnosis, one of the seven codes, and the
    id of its lesion if the data set has one."""

    path: Path
    image_id: str
    label: str
    lesion_id: str | None = None


def read_examples(folder: "str | Path", dataset: str | None = None) -> list[Example]:
    """The examples from `dataset`, a local folder or a Hub id, for the model in `folder`. Without a
    data set they are the bundled pictures; so they are if it cannot be read, and the log says why.
    """
    if dataset:
        into = tempfile.mkdtemp(prefix="examples-")
        atexit.register(shutil.rmtree, into, ignore_errors=True)
        try:
            return find_examples(folder, dataset, into)
        except ExamplesError as error:
            log = logging.getLogger(__name__)
            log.warning("The example pictures are the bundled ones. %s", error)
    return bundled()


def bundled() -> list[Example]:
    """The pictures that come with the page, in LABELS' order."""
    return [
        Example(FOLDER / each["file"], each["image_id"], each["label"], each["lesion_id"])
        for each in read_json(LIST)
    ]


def find_examples(folder: "str | Path", dataset: str, into: "str | Path") -> list[Example]:
    """The first test picture of each diagnosis by image id, written as it is in the data set to the
    folder `into`, in LABELS' order.

    `folder` is the model folder, whose split.json names the test part; `dataset` is a local folder
    or a Hub id. Raises ExamplesError if there are none, whatever the reason.
    """
    try:
        if not (Path(folder) / SPLIT).is_file():  # a page pulls no more of a model than it needs
            raise ExamplesError(f"{folder} has no {SPLIT}, which would name its test part.")
        split = read_json(Path(folder) / SPLIT)
        examples = _read(set(split["test"]), dataset, Path(into))
    except UserError as error:
        raise ExamplesError(str(error)) from None
    except ImportError:
        raise ExamplesError(f"Reading {dataset} takes pyarrow: pip install pyarrow") from None
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

    paths, opened = _files(dataset)
    rows = []
    for path in paths:
        with opened(path, "rb") as file:
            table = parquet.ParquetFile(file)
            if missing := COLUMNS - set(table.schema_arrow.names):
                raise ExamplesError(f"{path} has no column {' and no '.join(sorted(missing))}.")
            for group in range(table.num_row_groups):
                cells = table.read_row_group(group, columns=["image_id", "dx", "lesion_id"])
                rows += [
                    row | {"place": (path, group), "number": number}
                    for number, row in enumerate(cells.to_pylist())
                    if row["image_id"] in wanted
                ]
    first = {}
    for row in sorted(rows, key=lambda row: row["image_id"]):
        first.setdefault(to_code(row["dx"]), row)
    examples = {}
    for place in {row["place"] for row in first.values()}:
        path, group = place
        with opened(path, "rb") as file:
            images = parquet.ParquetFile(file).read_row_group(group, columns=["image"])["image"]
        for label, row in first.items():
            if row["place"] == place:
                data = images[row["number"]].as_py()["bytes"]
                with Image.open(io.BytesIO(data)) as picture:
                    kind = (picture.format or "jpeg").lower()
                target = into / f"{Path(row['image_id']).name}.{kind}"  # browsers go by the ending
                target.write_bytes(data)
                examples[label] = Example(target, row["image_id"], label, row.get("lesion_id"))
    return [examples[label] for label in LABELS if label in examples]


def _files(dataset: str):
    """The Parquet files of a data set, and what opens them."""
    if Path(dataset).is_dir():
        return sorted(Path(dataset).rglob("*.parquet")), open
    if missing := no_folder(dataset):
        raise ExamplesError(missing.strip())
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem()
    return sorted(hub.glob(f"datasets/{dataset}/**/*.parquet")), hub.open


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model.page.examples", description="Make the bundled example pictures again."
    )
    parser.add_argument("--dataset", required=True, help="HAM10000, a folder or Hub id")
    args = parser.parse_args(arguments)
    with errors_in_words(parser.prog):
        listed = [
            {
                "file": example.path.name,
                "image_id": example.image_id,
                "label": example.label,
                "lesion_id": example.lesion_id,
            }
            for example in find_examples(BUNDLED, args.dataset, FOLDER)
        ]
        write_json(LIST, listed)


if __name__ == "__main__":
    main()
