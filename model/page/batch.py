"""Several pictures, or zips of them (never unpacked to disk), to a table and a CSV."""

import contextlib
import csv
import io
import itertools
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from model.folder import replacing
from model.labels import LABELS
from model.page.kept import Kept
from model.preprocessing import MAX_BYTES as MAX_PICTURE_BYTES
from model.preprocessing import PictureError, open_picture

# Bounds for one call, which the page states. Bytes count as sent and, of a zip, as unpacked.
MAX_PICTURES = 200
MAX_BYTES = 200_000_000
MAX_DIRECTORY = 250_000  # bytes of a zip's table of contents; 200 pictures need some 20,000
MAX_NAME, THUMBNAIL = 80, 96  # characters; pixels a side
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
ZIP_STARTS = b"PK\x03\x04", b"PK\x05\x06"  # the second: an empty zip

TOO_MANY = f"These are more than {MAX_PICTURES} pictures. Send them in several parts."
TOO_LARGE = f"These are more than {MAX_BYTES // 10**6} MB together. Send them in several parts."
TOO_LARGE_ONE = f"The picture has more than {MAX_PICTURE_BYTES // 10**6} MB. Send a smaller one."
DAMAGED = "This part of the zip is damaged. Make the zip anew."
FULL = "No room is left on the server's disk for the table. Try again later."
GONE = "The file is not there any more. Send it again."


class BatchError(ValueError):
    """The files as a whole are refused; the message is a sentence for the person who sent them."""


@dataclass(frozen=True)
class BatchRow:
    """One picture. `name`: printable base name, cut to MAX_NAME characters, numbered where it
    comes again. `thumbnail`: RGB, at most THUMBNAIL pixels a side, without metadata. `label`: the
    likeliest, with its `probability`; both None where the model is not confident. `probabilities`:
    {label: 0..1}. `notices`: codes. `error`: a sentence; then there is nothing else but the name.
    """

    name: str
    thumbnail: Image.Image | None = None
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    error: str = ""


def classify_many(
    classifier, files: Iterable[str | Path], progress: Callable[[int, int], None] | None = None
) -> Sequence[BatchRow]:
    """Classify pictures, and the pictures in zips, in the order of `files` and of each zip.

    `classifier` is a `model.classifier.Classifier`. `progress` is called with (done, total) before
    the first picture and after each. Memory holds one picture at a time, and of the rows what
    model/page/kept.py says. A picture or zip that cannot be used becomes a row with an error; folders
    and hidden files in a zip are left out. Raises BatchError, before any picture is read, without
    files or over a bound; and where the disk is too full for many rows.
    """
    jobs = _list(Path(file) for file in files)
    rows, seen = Kept(), Counter()
    progress and progress(0, len(jobs))
    for name, data, error in _contents(jobs):
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name} ({seen[name]})"
        row = BatchRow(name, error=error) if error else _classify(classifier, name, data)
        try:
            rows.append(row)
        except OSError:
            raise BatchError(FULL) from None
        progress and progress(len(rows), len(jobs))
    return rows


def _list(paths: Iterable[Path]) -> list[tuple[Path, zipfile.ZipInfo | None, str]]:
    """What becomes a row: file, member where the file is a zip, and why it is not read or ""."""
    jobs, sent, unpacked = [], 0, 0
    for path in paths:
        size, members, error = _look(path)
        sent += size
        for member in members:
            length = member.file_size if member else size
            refusal = error or _refusal(member, length)
            unpacked += 0 if refusal else length
            jobs.append((path, member, refusal))
        if len(jobs) > MAX_PICTURES:
            raise BatchError(TOO_MANY)
        if max(sent, unpacked) > MAX_BYTES:
            raise BatchError(TOO_LARGE)
    if not jobs:
        raise BatchError("There are no files. Choose pictures, or a zip of pictures.")
    return jobs


def _look(path: Path) -> tuple[int, list[zipfile.ZipInfo | None], str]:
    """Bytes, a zip's members or [None], and a sentence where there is nothing to read."""
    try:
        if not path.is_file():  # a folder, a pipe, or nothing any more
            return 0, [None], GONE
        with _Bounded(io.FileIO(path)) as file:
            size = path.stat().st_size
            if file.read(4) not in ZIP_STARTS:
                return size, [None], ""
            with zipfile.ZipFile(file) as archive:
                members = [info for info in archive.infolist() if not _left_out(info)]
    except BatchError:
        raise
    except OSError:
        return 0, [None], GONE
    except Exception:  # zipfile raises many kinds on damaged files
        return 0, [None], "The zip is damaged or cut off. Make it anew."
    return size, members or [None], "" if members else "The zip has no pictures."


def _contents(jobs) -> Iterator[tuple[str, bytes, str]]:  # name, bytes, error
    for path, group in itertools.groupby(jobs, key=lambda job: job[0]):
        with contextlib.ExitStack() as stack:
            archive, data = None, b""
            for _, member, error in group:
                try:
                    if member and not archive:
                        archive = stack.enter_context(zipfile.ZipFile(path))
                    if not error:
                        # Bounded whatever the declared size; zipfile's checksum tells the rest.
                        with archive.open(member) if member else open(path, "rb") as file:
                            data = file.read(MAX_PICTURE_BYTES)
                except Exception:  # see _look
                    error = DAMAGED if member else GONE
                yield safe_name(member.filename if member else path.name), data, error


def _classify(classifier, name: str, data: bytes) -> BatchRow:
    if data.startswith(ZIP_STARTS):
        return BatchRow(name, error="This is a zip within a zip. Send it by itself.")
    try:
        picture = open_picture(data, classifier.height, classifier.width)
        prediction = classifier(picture)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
    except PictureError as error:
        return BatchRow(name, error=str(error))
    except Exception as error:  # whatever it is, the other pictures get their answer
        return BatchRow(name, error=f"The picture cannot be classified ({type(error).__name__}).")
    thumbnail = Image.fromarray(np.asarray(picture))  # without metadata, at times megabytes
    confident = prediction.confident
    label, probability = prediction.top(1)[0] if confident else (None, None)
    notices = list(prediction.notices)
    return BatchRow(name, thumbnail, label, probability, prediction.probabilities, notices)


class _Bounded(io.BufferedReader):
    """ZipFile reads the whole table of contents at once, however long it is; not from this."""

    def read(self, size=-1):
        if size > MAX_DIRECTORY:
            raise BatchError(TOO_MANY)
        return super().read(size)


def _left_out(member: zipfile.ZipInfo) -> bool:
    *folders, name = member.filename.replace("\\", "/").split("/")
    return not name or name.startswith(".") or "__MACOSX" in folders


def _refusal(member: zipfile.ZipInfo | None, size: int) -> str:
    if member and stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "This is a link or a device, not a picture. Put the picture in the zip."
    if member and member.flag_bits & 1:
        return "The zip asks for a password. Make one without."
    if member and member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks the other kinds without a bound on memory.
        return "The zip is packed in an unusual way. Make it anew, by the usual method."
    return TOO_LARGE_ONE if size > MAX_PICTURE_BYTES else ""


def safe_name(name: str) -> str:
    """The printable base name of a path of any system, at most MAX_NAME characters."""
    name = "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable())
    cut = f"{name[: MAX_NAME - 20]}…{name[-19:]}"
    return (name if len(name) <= MAX_NAME else cut) or "unnamed"


def write_csv(
    rows: Sequence[BatchRow], path: "str | Path", labels: list[str] | None = None
) -> None:
    """Write a UTF-8 CSV, a line a row, in one step: name, top_diagnosis, probability, a column for
    each label, notices (codes, a blank between), error; empty where there is nothing to say. Text
    that a spreadsheet would take for a formula gets a ' in front (OWASP, "CSV Injection")."""
    answered = (list(row.probabilities) for row in rows if row.probabilities)
    labels = labels or next(answered, LABELS)
    with replacing(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # ; in a name parts no cells
        writer.writerow(["name", "top_diagnosis", "probability", *labels, "notices", "error"])
        for row in rows:
            values = [row.probability, *map(row.probabilities.get, labels)]
            numbers = ["" if value is None else round(value, 6) for value in values]
            texts = [row.name, row.label or "", " ".join(row.notices), row.error]
            name, label, *rest = ["'" + text if FORMULA.match(text) else text for text in texts]
            writer.writerow([name, label, *numbers, *rest])
