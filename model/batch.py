"""Several pictures at once: pictures, and zips of them, to a table and a CSV.

A zip is read member by member, within the bounds below, and nothing of it is written to disk.
"""

import contextlib
import csv
import io
import itertools
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from model.folder import replacing
from model.labels import LABELS
from model.preprocessing import PictureError, open_picture

# Bounds for one call, which the page states. Bytes count as sent and, of a zip, as unpacked.
MAX_PICTURES = 200
MAX_BYTES = 200_000_000
MAX_PICTURE_BYTES = 25_000_000

MAX_MEMBERS = 10 * MAX_PICTURES  # a zip's folders and hidden files, too
MAX_DIRECTORY = 500_000  # bytes of a zip's table of contents; 200 pictures need some 20,000
MAX_NAME = 80
THUMBNAIL = 96
ZIP_STARTS = b"PK\x03\x04", b"PK\x05\x06"  # the second: an empty zip

TOO_MANY = f"These are more than {MAX_PICTURES} pictures. Send them in several parts."
TOO_LARGE = f"These are more than {MAX_BYTES // 10**6} MB together. Send them in several parts."
PICTURE_TOO_LARGE = f"The picture has more than {MAX_PICTURE_BYTES // 10**6} MB. Send a smaller one."


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
) -> list[BatchRow]:
    """Classify pictures, and the pictures in zips, in the order of `files` and of each zip.

    `classifier` is a `model.classifier.Classifier`. `progress` is called with (done, total) before
    the first picture and after each. Memory holds one picture at a time, and the thumbnails. A
    picture or zip that cannot be used becomes a row with an error; folders and hidden files in a
    zip are left out. Raises BatchError, before any picture is read, where there is no file or a
    bound is passed.
    """
    jobs = _list(Path(file) for file in files)
    rows, seen = [], Counter()
    progress and progress(0, len(jobs))
    for row in _classify(classifier, jobs):
        seen[row.name] += 1
        again = seen[row.name] > 1
        rows.append(replace(row, name=f"{row.name} ({seen[row.name]})") if again else row)
        progress and progress(len(rows), len(jobs))
    return rows


def _list(paths: Iterable[Path]) -> list[tuple[Path, zipfile.ZipInfo | None, str]]:
    """What becomes a row: file, member where the file is a zip, and why it cannot be read or ""."""
    jobs, sent, unpacked, members = [], 0, 0, 0
    for path in paths:
        if not path.is_file():
            jobs.append((path, None, "There is no such file any more. Send it again."))
            continue
        sent += (size := path.stat().st_size)
        if _is_zip(path):
            infos, error = _members(path)
            members += len(infos)
            infos = [info for info in infos if not _left_out(info)]
            checked = [(info, _refusal(info)) for info in infos]
            jobs += [(path, info, refusal) for info, refusal in checked]
            unpacked += sum(info.file_size for info, refusal in checked if not refusal)
            if not infos:
                jobs.append((path, None, error or "The zip holds no pictures."))
        else:
            large = size > MAX_PICTURE_BYTES
            jobs.append((path, None, PICTURE_TOO_LARGE if large else ""))
            unpacked += size
        if len(jobs) > MAX_PICTURES or members > MAX_MEMBERS:
            raise BatchError(TOO_MANY)
        if max(sent, unpacked) > MAX_BYTES:
            raise BatchError(TOO_LARGE)
    if not jobs:
        raise BatchError("There are no files. Choose pictures, or a zip of pictures.")
    return jobs


def _classify(classifier, jobs) -> Iterator[BatchRow]:
    for path, group in itertools.groupby(jobs, key=lambda job: job[0]):
        with contextlib.ExitStack() as stack:
            archive = None
            for _, member, error in group:
                name = safe_name(member.filename if member else path.name)
                try:
                    if error:
                        raise PictureError(error)
                    if member and not archive:
                        archive = stack.enter_context(zipfile.ZipFile(path))
                    with archive.open(member) if member else open(path, "rb") as file:
                        # Bounded, whatever size was declared; a member that has another is damaged.
                        data = file.read(MAX_PICTURE_BYTES)
                    yield _classify_one(classifier, name, data)
                except PictureError as error:
                    yield BatchRow(name, error=str(error))
                except (zipfile.BadZipFile, zlib.error, EOFError):
                    yield BatchRow(name, error="This part of the zip is damaged. Make the zip anew.")
                except Exception as error:  # whatever it is, the others get their answer
                    reason = type(error).__name__
                    yield BatchRow(name, error=f"The picture cannot be classified ({reason}).")


def _classify_one(classifier, name: str, data: bytes) -> BatchRow:
    if data.startswith(ZIP_STARTS):
        raise PictureError("This is a zip within a zip. Send it by itself.")
    picture = open_picture(data, classifier.height, classifier.width)
    prediction = classifier(picture)
    label, probability = prediction.top(1)[0]
    if not getattr(prediction, "confident", True):
        label = probability = None
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    # Through an array: the picture's metadata, megabytes at times, stay behind.
    thumbnail = Image.fromarray(np.asarray(picture))
    notices = list(getattr(prediction, "notices", []))
    return BatchRow(name, thumbnail, label, probability, prediction.probabilities, notices)
