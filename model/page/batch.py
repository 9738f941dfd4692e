"""Classify many pictures, or zips of them (never unpacked to disk), into rows and a CSV."""

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

from model.folder import UserError, replacing
from model.labels import LABELS
from model.page.sets import sets_of
from model.page.texts import ENGLISH, text
from model.preprocessing import MAX_BYTES as MAX_PICTURE_BYTES
from model.preprocessing import PictureError
from model.sets import LEVELS
from model.warning import suspicious

# Limits for one call, as the page states them. MAX_BYTES holds for the files as sent and, in the
# case of a zip, as unpacked.
MAX_PICTURES = 200
MAX_BYTES = 200_000_000
MAX_DIRECTORY = 250_000  # bytes of a zip's table of contents; 200 pictures need about 20,000
MAX_NAME = 80  # characters
FOLDERS = 5  # at most so many folders stand before a name
THUMBNAIL = 96  # pixels per side
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
ZIP_STARTS = b"PK\x03\x04", b"PK\x05\x06"  # the second: an empty zip


class BatchError(UserError):
    """Files, or one of them, that cannot be used. The message, for the person who sent them, is the
    text `error_CODE` with `values` in its places."""

    def __init__(self, code: str, **values):
        super().__init__(text(ENGLISH, f"error_{code}", **values))
        self.code, self.values = code, values


@dataclass(frozen=True)
class BatchRow:
    """One picture, or one file that cannot be used.

    name: printable, at most MAX_NAME characters: the base name, with the folders before it that
        tell it from other files of that name, or else a number behind it
    thumbnail: RGB, at most THUMBNAIL pixels per side, without metadata
    label, probability: the most probable label
    probabilities: {label: 0..1}
    suspicious: what model/warning.py's `suspicious` returns
    sets: what model/page/sets.py's `sets_of` returns
    confident: whether the picture is one that the model can judge; if not, the figures are those
        it computed all the same
    notices: codes from model/quality.py's CODES
    milliseconds: the network's share of the time
    reason: why the file cannot be used; then only `name` is set
    """

    name: str
    thumbnail: Image.Image | None = None
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    suspicious: dict | None = None
    confident: bool = False
    notices: list[str] = field(default_factory=list)
    milliseconds: float = 0.0
    reason: UserError | None = None
    sets: dict[str, list[str]] | None = None

    @property
    def flagged(self) -> bool:
        """Whether the score reaches the model's operating point, however reliable it is."""
        return bool(self.suspicious and self.suspicious["flag"])

    @property
    def error(self) -> str:
        """`reason` as an English sentence, or ""."""
        return str(self.reason or "")


def classify_many(
    classifier, files: Iterable[str | Path], progress: Callable[[int, int], None] | None = None
) -> list[BatchRow]:
    """Classify pictures, and the pictures in zips, in the order of `files` and of each zip.

    `classifier` is a `model.classifier.Classifier`. `progress` is called with (done, total) before
    the first picture and after each. Memory holds one picture at a time, and the rows' thumbnails.
    A picture or zip that cannot be used becomes a row with a reason; folders and hidden files in a
    zip are left out. Raises BatchError, before any picture is read, if there are no files or if
    they exceed a limit.
    """
    jobs = _list(Path(file) for file in files)
    rows = []
    progress and progress(0, len(jobs))
    for name, (data, reason) in zip(_names(jobs), _contents(jobs)):
        rows.append(BatchRow(name, reason=reason) if reason else _classify(classifier, name, data))
        progress and progress(len(rows), len(jobs))
    return rows


def _list(paths: Iterable[Path]) -> list[tuple[Path, zipfile.ZipInfo | None, Exception | None]]:
    """What becomes a row: the file, its member if the file is a zip, and why it cannot be read."""
    jobs, sent, unpacked = [], 0, 0
    for path in paths:
        size, members, reason = _look(path)
        sent += size
        for member in members:
            length = member.file_size if member else size
            refusal = reason or _refusal(member, length)
            unpacked += 0 if refusal else length
            jobs.append((path, member, refusal))
        if len(jobs) > MAX_PICTURES:
            raise BatchError("batch_many", pictures=MAX_PICTURES)
        if max(sent, unpacked) > MAX_BYTES:
            raise BatchError("batch_large", megabytes=MAX_BYTES // 1_000_000)
    if not jobs:
        raise BatchError("batch_none")
    return jobs


def _look(path: Path) -> tuple[int, list[zipfile.ZipInfo | None], BatchError | None]:
    """A file's bytes, a zip's members or [None], and why the file cannot be used."""
    try:
        if not path.is_file():  # a folder, a pipe, or deleted
            return 0, [None], BatchError("missing")
        with _Bounded(io.FileIO(path)) as file:
            size = path.stat().st_size
            if file.read(4) not in ZIP_STARTS:
                return size, [None], None
            with zipfile.ZipFile(file) as archive:
                members = [info for info in archive.infolist() if not _left_out(info)]
    except BatchError:
        raise
    except OSError:
        return 0, [None], BatchError("missing")
    except Exception:  # zipfile raises many kinds on damaged files
        return 0, [None], BatchError("batch_damaged")
    return size, members or [None], None if members else BatchError("batch_empty_zip")


def _contents(jobs) -> Iterator[tuple[bytes, Exception | None]]:
    """The bytes of each job, or why there are none."""
    for path, group in itertools.groupby(jobs, key=lambda job: job[0]):
        with contextlib.ExitStack() as stack:
            archive, data = None, b""
            for _, member, reason in group:
                try:
                    if member and not archive:
                        archive = stack.enter_context(zipfile.ZipFile(path))
                    if not reason:
                        # Bounded, since the declared size may be false; zipfile's checksum then
                        # fails.
                        with archive.open(member) if member else open(path, "rb") as file:
                            data = file.read(MAX_PICTURE_BYTES)
                except Exception:  # see _look
                    reason = BatchError("batch_part" if member else "missing")
                yield data, reason


def _classify(classifier, name: str, data: bytes) -> BatchRow:
    if data.startswith(ZIP_STARTS):
        return BatchRow(name, reason=BatchError("batch_nested"))
    try:
        prediction = classifier.predict(data)
        prediction.picture.thumbnail((THUMBNAIL, THUMBNAIL))
    except PictureError as error:
        return BatchRow(name, reason=error)
    except Exception as error:  # whatever it is, the other pictures get their answer
        return BatchRow(name, reason=BatchError("batch_failed", reason=type(error).__name__))
    label, probability = prediction.top(1)[0]
    return BatchRow(
        name,
        thumbnail=Image.fromarray(np.asarray(prediction.picture)),  # a copy without metadata
        label=label,
        probability=probability,
        probabilities=prediction.probabilities,
        suspicious=suspicious(prediction, classifier.config),
        confident=prediction.confident,
        notices=list(prediction.notices),
        milliseconds=prediction.milliseconds,
        sets=sets_of(prediction.probabilities, classifier.config),
    )


class _Bounded(io.BufferedReader):
    """Refuses to read a zip's table of contents, which ZipFile reads at once, if it is too long."""

    def read(self, size=-1):
        if size > MAX_DIRECTORY:
            raise BatchError("batch_many", pictures=MAX_PICTURES)
        return super().read(size)


def _left_out(member: zipfile.ZipInfo) -> bool:
    *folders, name = member.filename.replace("\\", "/").split("/")
    return not name or name.startswith(".") or "__MACOSX" in folders


def _refusal(member: zipfile.ZipInfo | None, size: int) -> Exception | None:
    if member and stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return BatchError("batch_link")
    if member and member.flag_bits & 1:
        return BatchError("batch_password")
    if member and member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks other methods without bounding the memory.
        return BatchError("batch_unusual")
    if size > MAX_PICTURE_BYTES:
        return PictureError("bytes", megabytes=MAX_PICTURE_BYTES // 1_000_000)
    return None


def _names(jobs) -> list[str]:
    """What to call each job; see BatchRow."""
    places = [_place(path, member) for path, member, _ in jobs]
    shown = dict.fromkeys(places, 1)  # how many of its last parts
    for _ in range(FOLDERS):
        seen = Counter(place[-parts:] for place, parts in shown.items())
        shown = {place: parts + (seen[place[-parts:]] > 1) for place, parts in shown.items()}
    names, seen = [], Counter()
    for place in places:
        name = "/".join(place[-shown[place] :])
        if len(name) > MAX_NAME:
            name = f"{name[: MAX_NAME - 20]}…{name[-19:]}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _place(path: Path, member: zipfile.ZipInfo | None) -> tuple[str, ...]:
    """The printable names of a job's folders and file; the first folder of a member is its zip.
    The paths in a zip may be those of any system."""
    whole = f"{path.name}/{member.filename}" if member else path.name
    parts = ["".join(filter(str.isprintable, part)) for part in re.split(r"[/\\]", whole)]
    return *(folder for folder in parts[:-1] if folder.strip(".")), parts[-1] or "unnamed"


def most_urgent_first(rows: Iterable[BatchRow]) -> list[BatchRow]:
    """Flagged rows, then those without a reliable answer, then the others, each by falling score;
    last the files that cannot be used. Without an operating point, ties keep their order."""

    def place(row: BatchRow) -> tuple[int, float]:
        group = 3 if row.reason else 0 if row.flagged else 2 if row.confident else 1
        return group, -row.suspicious["score"] if row.suspicious else 0

    return sorted(rows, key=place)


def write_csv(
    rows: Sequence[BatchRow], path: "str | Path", labels: list[str] | None = None
) -> None:
    """Write a CSV in one step, one line per row, with these columns:

        name              the picture, as the page names it
        flag              true if the score reaches the threshold, else false
        suspicious_score  0..1, the summed probability of the labels that a doctor should see soon
        threshold         0..1, the model's operating point
        confident         false if the picture is one that the model cannot judge
        top_diagnosis     the most probable label
        probability       0..1, that of the top diagnosis
        LABEL             0..1, a column for each label
        notices           codes of model/quality.py, separated by spaces
        error             why the file cannot be used; then only `name` is filled besides
        set_80, _90, _95  the labels of the prediction set at 80, 90 and 95 %, the most probable
                          first, separated by "; "

    The columns flag, suspicious_score and threshold are empty if the model has no operating point,
    those of the sets if it has no sets. The latter are last, so that the others keep their places.
    UTF-8 with a signature, by which Excel knows the encoding. Text that a spreadsheet would take
    for a formula gets the prefix ' (OWASP, "CSV Injection").
    """
    answered = (list(row.probabilities) for row in rows if row.probabilities)
    labels = labels or next(answered, LABELS)
    columns = ["name", "flag", "suspicious_score", "threshold", "confident", "top_diagnosis"]
    columns += ["probability", *labels, "notices", "error"]
    columns += [f"set_{100 * level:.0f}" for level in LEVELS]
    with replacing(path) as beside, open(beside, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # so a ; in a name splits no cell
        writer.writerow(map(_cell, columns))
        for row in rows:
            point = row.suspicious or {}
            values = [row.name, *map(point.get, ("flag", "score", "threshold"))]
            values += [None if row.reason else row.confident, row.label, row.probability]
            values += [*map(row.probabilities.get, labels), " ".join(row.notices), row.error]
            values += ["; ".join((row.sets or {}).get(str(level), [])) for level in LEVELS]
            writer.writerow(map(_cell, values))


def _cell(value: str | float | bool | None) -> str | float:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value if FORMULA.match(value) else value
    return "" if value is None else round(value, 6)
