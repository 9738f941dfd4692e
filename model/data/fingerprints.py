"""Fingerprints of pictures, which tell that two are copies, and a model folder's record of them.

    python -m model.data.fingerprints FOLDER --dataset ../ham10000
    python -m model.data.fingerprints FOLDER --dataset ../ham10000 --more ../isic2019

A fingerprint is a difference hash of 256 bits (Krawetz, Kind of Like That, 2013,
https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html) and a thumbnail of
3 x 4 pixels. It survives another size, file format or JPEG quality, but no crop, turn or mirror.

Each model folder keeps the fingerprints of the pictures that taught its weights. train.py writes
them. The commands above make them for an older folder, from the data set it was trained on, its
split.json, and all pictures of the --more data sets that its weights were trained on before.
"""

import argparse
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from model.colour import GREY
from model.data.dataset import Rows, dataset_of, decode, load_rows, rows_of_model
from model.folder import (
    FINGERPRINTS,
    SPLIT,
    ModelFolderError,
    changing,
    errors_in_words,
    read_config,
    read_json,
    replacing,
    write_checksums,
)

HEIGHT, WIDTH = 48, 68  # of the picture that is hashed, whatever the network's input
BITS_BYTES, BYTES = 32, 68
# Copies differ by no more bits than this, and no value of their thumbnails by more levels. Those of
# HAM10000's pictures as JPEG of quality 30, as WebP of quality 50, at 84x84 pixels, or at 84x63
# without antialiasing differ by up to 38 bits and 4 levels. Within 40 bits, the closest pictures of
# two lesions are 7 levels apart. Narrow lens circles are the weak point, since all is black around
# them: one such pair of ISIC 2019 is taken for copies.
MOST_BITS, MOST_LEVELS = 40, 4


def fingerprints(images: np.ndarray) -> np.ndarray:
    """uint8 [n, BYTES] of RGB images, uint8 [n, HEIGHT, WIDTH, 3]."""
    n = len(images)
    blocks = images.reshape(n, 16, 3, 17, 4, 3).mean(axis=(2, 4), dtype=np.float32)
    grey = blocks @ np.float32(GREY)
    bits = np.packbits((grey[:, :, 1:] > grey[:, :, :-1]).reshape(n, 8 * BITS_BYTES), axis=1)
    thumbnail = images.reshape(n, 3, 16, 4, 17, 3).mean(axis=(2, 4), dtype=np.float32)
    return np.hstack([bits, np.rint(thumbnail).astype(np.uint8).reshape(n, BYTES - BITS_BYTES)])


def with_fingerprints(rows: Rows, cache: "str | Path | None" = None) -> Rows:
    """`rows` with the fingerprints of all its pictures; `cache` as in `decode`. Raises
    DatasetError."""
    images = decode(rows, np.arange(len(rows)), HEIGHT, WIDTH, cache, mapped=True)
    return replace(rows, fingerprints=fingerprints(images))


def copies(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """int64 [pairs, 2]: the row numbers in `ours` and `theirs`, fingerprints, of the pictures that
    are copies or near-copies of each other."""
    # Thumbnails that are alike have a similar mean, so that most need not be compared.
    order = np.argsort(_level(theirs))
    theirs, level = theirs[order], _level(theirs)[order]
    first = np.searchsorted(level, _level(ours) - MOST_LEVELS, "left")
    last = np.searchsorted(level, _level(ours) + MOST_LEVELS, "right")
    pairs = [np.zeros((0, 2), np.int64)]
    for i, (one, a, b) in enumerate(zip(ours, first, last)):
        bits = np.bitwise_count(theirs[a:b, :BITS_BYTES] ^ one[:BITS_BYTES]).sum(axis=1)
        alike = a + np.flatnonzero(bits <= MOST_BITS)
        apart = np.abs(_thumbnail(theirs[alike]) - _thumbnail(one)).max(axis=1)
        found = order[alike[apart <= MOST_LEVELS]]
        pairs.append(np.stack([np.full(len(found), i), found], axis=1))
    return np.concatenate(pairs)


def are_among(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """bool [n]: whether each picture of `ours` is a copy of one of `theirs`, all fingerprints."""
    found = np.zeros(len(ours), bool)
    found[copies(ours, theirs)[:, 0]] = True
    return found


def _thumbnail(prints):
    return prints[..., BITS_BYTES:].astype(np.int16)


def _level(prints):
    return _thumbnail(prints).mean(axis=1)


def none() -> np.ndarray:
    """The fingerprints of no picture."""
    return np.zeros((0, BYTES), np.uint8)


@dataclass
class Record:
    """The pictures that made a model, as fingerprints. `trained` taught its weights, and those that
    it started from or learned from; by `validation` it was selected and calibrated. `unrecorded`
    names start weights and teachers whose pictures are not known."""

    trained: np.ndarray = field(default_factory=none)
    validation: np.ndarray = field(default_factory=none)
    unrecorded: list[str] = field(default_factory=list)


def merged(records: list[Record]) -> Record:
    """One record of all."""

    def union(arrays):
        return np.unique(np.concatenate([none(), *arrays]), axis=0)

    return Record(
        union(record.trained for record in records),
        union(record.validation for record in records),
        sorted({name for record in records for name in record.unrecorded}),
    )


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a model folder; the caller renews SHA256SUMS."""
    with replacing(folder / FINGERPRINTS) as beside:
        np.savez_compressed(
            beside,
            trained=record.trained,
            validation=record.validation,
            unrecorded=np.array(record.unrecorded, dtype=np.str_),
        )


def read_record(folder: Path) -> Record | None:
    """The record of a model folder; None if it has none. Raises ModelFolderError."""
    path = Path(folder) / FINGERPRINTS
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            record = Record(*(arrays[name] for name in ("trained", "validation", "unrecorded")))
        for prints in (record.trained, record.validation):
            if prints.dtype != np.uint8 or prints.shape[1:] != (BYTES,):
                raise ValueError("it holds no fingerprints")
    except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelFolderError(
            f"{path} is damaged ({error}). Make it again with: python -m model.data.fingerprints "
            f"{folder}"
        ) from None
    return replace(record, unrecorded=record.unrecorded.tolist())


def known(
    folder: Path, config: dict, ids: np.ndarray, prints: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Which pictures, given by `image_id` [n] and fingerprint, a model folder knows: bool [n],
    whether each taught the model; bool [n], whether it only selected or calibrated it; and what was
    compared, "fingerprints" or, if the folder has no record, "image_id". Raises ModelFolderError.
    """
    if record := read_record(folder):
        trained = are_among(prints, record.trained)
        return trained, are_among(prints, record.validation) & ~trained, "fingerprints"
    split = read_json(folder / SPLIT) if (folder / SPLIT).is_file() else {}
    trained, validation = (np.isin(ids, split.get(part, [])) for part in ("train", "validation"))
    if "final" in config["training"]:
        trained = trained | validation
    return trained, validation & ~trained, "image_id"


def count_known(folder: Path, config: dict, rows: Rows, cache: "str | Path | None") -> dict:
    """How many pictures of `rows` a model folder knows: {"trained": n, "validation": m, "by": text}
    as in `known`. Raises DatasetError and ModelFolderError."""
    prints = with_fingerprints(rows, cache).fingerprints
    trained, validation, by = known(folder, config, rows.image_id, prints)
    return {"trained": int(trained.sum()), "validation": int(validation.sum()), "by": by}


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="model folder")
    parser.add_argument("--dataset", help="Hub id or folder (default: that of the training)")
    parser.add_argument(
        "--more", nargs="+", default=[], metavar="FOLDER_OR_ID", help="what it was trained on too"
    )
    parser.add_argument("--cache", help="folder of decoded pictures (default: as train.py's)")
    args = parser.parse_args(arguments)

    config, split = read_config(args.folder), read_json(args.folder / SPLIT)
    rows = rows_of_model(config, dataset_of(args.folder, config, args.dataset))
    parts = (rows.take(rows.find(split[part])) for part in ("train", "validation"))
    train, validation = (with_fingerprints(part, args.cache).fingerprints for part in parts)
    own = Record(train, validation, _root(config["weights"]))
    if "final" in config["training"]:
        own = replace(own, trained=np.concatenate([train, validation]), validation=none())
    more = (with_fingerprints(load_rows(name, None, ()), args.cache) for name in args.more)
    record = merged([own, *(Record(rows.fingerprints) for rows in more)])
    with changing(args.folder) as folder:
        write_record(folder, record)
        write_checksums(folder)
    print(
        f"{args.folder / FINGERPRINTS}: {len(record.trained)} different pictures taught the "
        f"model, {len(record.validation)} are its validation part"
    )


def _root(weights):
    """The weights at the beginning of the chain in config.json, unless they were random."""
    while weights.get("before"):
        weights = weights["before"]
    return [] if weights["start"] == "none" else [weights["start"]]


if __name__ == "__main__":
    with errors_in_words("fingerprints"):
        main()
