"""The tables of a data set: from the Hub, Parquet, class folders, or a folder with a known CSV."""

import os
from collections import Counter
from pathlib import Path

from model.data.layouts import PICTURES, expected_columns, files_of, read_layout
from model.data.tables import DatasetError, listed
from model.folder import no_folder

PACKED = {".zip", ".tar", ".gz", ".7z", ".rar"}


def load_tables(name: str) -> list:
    """All splits of a Hub id or local folder, as a list of datasets.Dataset whose pictures stay
    encoded. Raises DatasetError."""
    import datasets

    datasets.disable_progress_bars()
    layout = read_layout(name) if Path(name).is_dir() else None
    if layout is not None:
        return [layout]
    try:
        splits = datasets.load_dataset(name)
    except Exception as error:  # datasets raises many types, for the Hub, network and folder
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DatasetError(_unusable(name, f"could not be loaded ({lines[0]})")) from None
    for split, table in splits.items():
        if "image" not in table.column_names:
            columns = listed(table.column_names)
            reason = f"(part {split}) has no column 'image'; its columns are {columns}"
            raise DatasetError(_unusable(name, reason))
    return [table.cast_column("image", datasets.Image(decode=False)) for table in splits.values()]


def _unusable(name, reason):
    """The message for a data set that has no pictures, for a reason that depends on its kind."""
    if Path(name).is_file():
        return f"{name} is a file: name the folder that holds it and the pictures."
    if not Path(name).is_dir():
        first = no_folder(name)
        return f"{first}{name} {reason}. Check the Hub id, or name a local folder in its place."
    kinds = Counter(path.suffix.lower() for path in files_of(name))
    if kinds and PACKED.issuperset(kinds):
        packed = ", ".join(path.name for path in files_of(name))
        return f"{name} holds only {packed}: unpack it and name the folder of its contents."
    wanted = {*PICTURES, ".csv", ".parquet"}
    if wanted.isdisjoint(kinds):
        return f"{name} holds no pictures, CSV or Parquet files."
    if kinds.most_common(1)[0][0] not in wanted:
        held = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        return f"{name} holds more of other files than of pictures, CSV or Parquet: {held}."
    return f"{name} {reason}.{expected_columns(name)}"


def with_ids(table, name):
    """The table with its pictures' paths as `image_id`, if it has none and is a folder of files."""
    if "image_id" in table.column_names or not Path(name).is_dir():
        return table
    paths = [(cell or {}).get("path") for cell in table["image"]]
    here = Path(name).resolve()
    if not all(path and Path(path).is_file() for path in paths):
        return table
    return table.add_column("image_id", [os.path.relpath(path, here) for path in paths])
