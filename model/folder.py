"""The model folder. `train.py` makes it, `convert.py` and `evaluate.py` add to it, `app.py` serves.

    config.json        architecture, input, preprocessing, labels, calibration, data, training
    model.weights.h5   Keras weights                       (absent in model/bundled)
    model.tflite       the graph that is served
    model_*.tflite     the same in other precisions (convert.py --also); nothing here reads them
    metrics.json       what convert.py and evaluate.py measured
    shift.json         what evaluate.py --shift measured
    split.json         image ids of the training, validation and test parts
    fingerprints.npz   the pictures that taught the weights (model/data/fingerprints.py)
    history.csv, *.png, report.md, README.md    for people
    SHA256SUMS         checksums of all the above; `sha256sum -c SHA256SUMS` checks them too
    .local.json        where its data lie on this machine; never pushed

Every file is written beside its place and then renamed. Where several files change together
(`changing`), the whole folder is. A process that is killed leaves the old files as they were.
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path, PureWindowsPath

from model.labels import LABELS
from model.sets import LEVELS, METHOD

FORMAT = 1
CONFIG, WEIGHTS, TFLITE = "config.json", "model.weights.h5", "model.tflite"
METRICS, SPLIT, SUMS, LOCAL = "metrics.json", "split.json", "SHA256SUMS", ".local.json"
FINGERPRINTS = "fingerprints.npz"
# Files beside model.tflite by the precision of their numbers, called as in the repositories of
# litert-community on the Hub, and as the recipes of ai-edge-quantizer: weights of 8 bits (wi8),
# activations of 8 bits (ai8) or float32 (afp32).
VARIANTS = {
    precision: f"model_{precision}.tflite"
    for precision in ("fp32", "fp16", "dynamic_wi8_afp32", "static_wi8_ai8")
}
# The precision of model.tflite by the choices of convert.py --quantize.
QUANTIZATIONS = {
    "dynamic": "dynamic_wi8_afp32",
    "int8": "static_wi8_ai8",
    "float16": "fp16",
    "none": "fp32",
}
# What evaluate.py --shift writes, about one model.tflite.
SHIFT = "shift.json"
SHIFT_FILES = [SHIFT]
SHIFT_FILES += [
    f"shift_{kind}.{end}" for kind in ("clinic", "corruptions") for end in ("md", "png")
]
# What evaluate.py writes for people in an ordinary run, about one model.tflite too.
REPORT_FILES = ["report.md"]
REPORT_FILES += [
    f"{figure}.png"
    for figure in ("confusion", "roc", "reliability", "risk_coverage", "decision_curve")
]
BUNDLED = Path(__file__).parent / "bundled"
COMPACT = Path(__file__).parent / "compact"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # OSError.errno on a full disk


class UserError(ValueError):
    """Something that the user can put right. The message is for them: what was wrong, in which file
    or row, and what to do."""


class ModelFolderError(UserError):
    """A model folder that cannot be used."""


def print_any_sign() -> None:
    """From here on, print "?" for a sign that the encoding of the output lacks, as that of a log on
    Windows may. Python already escapes such signs in errors (sys.stderr)."""
    if hasattr(sys.stdout, "reconfigure"):  # notebooks have a stream of their own
        sys.stdout.reconfigure(errors="replace")


@contextlib.contextmanager
def errors_in_words(script: str):
    """End `script` with a sentence in place of a stack trace: for a UserError and a full disk. It
    can print any sign."""
    print_any_sign()
    try:
        yield
    except UserError as error:
        sys.exit(f"{script}: {error}")
    except OSError as error:
        sys.exit(f"{script}: {disk_error(error)}")


def check_free(path: "str | Path") -> None:
    """Raise ModelFolderError if `path` cannot become a new folder: it is a file or a folder with
    anything in it, or it has no name of its own, as "." has none."""
    path = Path(path)
    if path.name in ("", ".."):
        raise ModelFolderError(f"{path} is no name for a new folder: use one such as runs/NAME.")
    if path.is_dir() and any(path.iterdir()) or path.is_file():
        raise ModelFolderError(f"{path} exists already; choose another folder or remove it.")


def check_writable(folder: "str | Path", option: str) -> None:
    """Raise UserError, before hours of work, if nothing could be written into `folder`, which need
    not exist yet. `option`, such as "--output", is named in the message."""
    place = Path(folder).absolute()
    try:
        while not os.path.lexists(place):
            place = place.parent
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UserError(
            f"{option} {folder}: nothing can be written into {place} ({error.strerror}). Name "
            "another place, or change its permissions."
        ) from None


def check_file(path: "str | Path | None", option: str) -> None:
    """Raise UserError if no file can be written to `path`: it is a folder, or its folder is not
    writable. `option` as in `check_writable`; a `path` of None is fine."""
    if path and Path(path).is_dir():
        raise UserError(f"{option} {path} is a folder: name a file.")
    if path:
        check_writable(Path(path).parent, option)


def no_folder(name: "str | Path") -> str:
    """ "There is no folder NAME. " if `name` looks like a path, otherwise "". For the beginning of
    a message about a `name` that is neither a folder nor found on the Hub."""
    text, path = str(name), Path(name)
    is_path = text.startswith((".", "/", "~")) or "\\" in text or text.count("/") > 1
    is_path = is_path or path.parts[0] == "runs" or len(path.parts) > 1 and path.parent.is_dir()
    return f"There is no folder {name}. " if is_path else ""


@contextlib.contextmanager
def replacing(path: "str | Path"):
    """A path beside `path` to write to; it replaces `path` when the block ends without an error.

    Both names end alike, because Keras and matplotlib go by the ending.
    """
    path = Path(path)
    beside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: "str | Path"):
    """A temporary folder beside `path` that becomes `path` when the block ends without an error.

    Raises ModelFolderError if `path` is a file or a folder with anything in it.
    """
    path = Path(path)
    check_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".partial-{path.name}-", dir=path.parent))
    try:
        beside.chmod(0o755)  # mkdtemp's 0700 would lock other users out of the model
        yield beside
        if path.is_dir():
            path.rmdir()
        os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def changing(folder: "str | Path"):
    """A copy of a model folder to change files in. It takes the folder's place when the block ends
    without an error.

    On Linux this is one step. Elsewhere the files move one by one, SHA256SUMS last; until then the
    folder does not match its checksums and is refused.
    """
    folder = Path(folder).resolve()
    beside = Path(tempfile.mkdtemp(prefix=f".partial-{folder.name}-", dir=folder.parent))
    try:
        skip = shutil.ignore_patterns(".partial-*")
        shutil.copytree(folder, beside, ignore=skip, dirs_exist_ok=True)
        before = {path.name for path in beside.iterdir() if path.is_file()}
        yield beside
        if not _exchange(beside, folder):
            kept = list(beside.iterdir())
            for path in sorted(beside.rglob("*"), key=lambda path: path.name == SUMS):
                target = folder / path.relative_to(beside)
                target.mkdir(exist_ok=True) if path.is_dir() else os.replace(path, target)
            for name in before - {path.name for path in kept}:
                (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step. Returns whether the system can.

    Python has no call for it, so this is Linux's own: renameat2 with RENAME_EXCHANGE
    (https://man7.org/linux/man-pages/man2/rename.2.html). Without it, a process that is killed
    between two renames would leave no folder at all.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def disk_error(error: OSError) -> str:
    """The sentence for a full or read-only disk. Raises any other `error` again."""
    said = str(error).lower()
    kinds = {
        "No room is left on the disk": NO_ROOM,
        "The folder cannot be written to": (errno.EROFS, errno.EACCES, errno.EPERM),
    }
    if "no usable temporary directory" in said:  # of the module tempfile
        return "No temporary folder can be written to. Set TMPDIR to one that can, and try again."
    for sentence, numbers in kinds.items():
        # HDF5 and shutil give the number only in their message.
        words = [f"errno = {n}," for n in numbers] + [f"[errno {n}]" for n in numbers]
        if error.errno in numbers or any(each in said for each in words):
            place = f" ({error.filename})" if error.filename else ""
            return f"{sentence}{place}. Existing files were not changed. Fix this and try again."
    raise error


def write_json(path: "str | Path", value) -> None:
    """Write `value` as readable JSON, in one step."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: "str | Path", text: str) -> None:
    """Write `text` as UTF-8, in one step."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_json(path: "str | Path"):
    """Read JSON. Raises ModelFolderError if the file is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing.") from None
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} is damaged: {error}.") from None


def read_config(folder: "str | Path") -> dict:
    """`config.json` of a model folder, checked for what every reader needs. Raises
    ModelFolderError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"There is no model folder {folder}.")
    if not (folder / CONFIG).is_file():
        raise ModelFolderError(
            f"{folder} is not a model folder: it has no {CONFIG}. Make one with train.py."
        )
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise ModelFolderError(
            f"{folder / CONFIG} has format {found!r}; "
            f"this version of the program reads format {FORMAT}."
        )
    try:
        labels, size = config["labels"], config["input"]
        fine = (
            len(labels) == len(set(labels)) >= 2
            and isinstance(labels, list)
            # The order of the network's outputs is recorded nowhere else.
            and (labels == LABELS or set(labels) != set(LABELS))
            and all(isinstance(label, str) for label in labels)
            and int(size["height"]) > 0
            and int(size["width"]) > 0
            and isinstance(config["architecture"], str)
            and _possible(config["calibration"], labels)
            and _possible(config.get("keras_calibration", config["calibration"]), labels)
            and 0 <= float((config.get("familiarity") or {}).get("threshold") or 0) <= 1
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelFolderError(
            f"{folder / CONFIG} has a missing or invalid value: {error}."
        ) from None
    if not fine:
        raise ModelFolderError(f"{folder / CONFIG} has impossible labels, input or calibration.")
    return config


def _possible(calibration: dict, labels: list[str]) -> bool:
    points = calibration.get("points") or []
    sets = calibration.get("sets") or {}
    # Earlier versions wrote no method, and quantiles of one level, which nothing reads any more.
    levels = LEVELS if sets.get("method") == METHOD else ()
    shares = [sets["quantiles"][str(level)][label] for level in levels for label in labels]
    shares += (one[key] for one in points for key in ("threshold", "sensitivity", "specificity"))
    return (
        0 < float(calibration["temperature"]) < math.inf
        and set(calibration.get("suspicious") or []) <= set(labels)
        and 0 <= float(calibration.get("threshold") or 0) <= 1
        and all(0 <= float(share) <= 1 for share in shares)
        and (not levels or all(int(sets["lesions"][label]) >= 0 for label in labels))
    )


def shareable(value):
    """A setting, a list of them, or an argument such as "cache=/tmp/x", without the folders of this
    machine: of a path that is absolute or starts with .. or ~, only the last component is left."""
    if isinstance(value, list):
        return [shareable(each) for each in value]
    if not isinstance(value, str):
        return value
    path = PureWindowsPath(value)  # it knows both kinds of separators
    if path.drive or value.startswith(("/", "\\", "~", "..")):
        return path.name
    key, equals, place = value.partition("=")
    return f"{key}={shareable(place)}" if equals else value


def write_places(folder: "str | Path", settings: dict) -> None:
    """Keep those of a run's settings that `shareable` shortens, as absolute paths, for
    `training_of`."""
    local = {key: value for key, value in settings.items() if shareable(value) != value}
    if local:
        write_json(Path(folder) / LOCAL, {key: _absolute(value) for key, value in local.items()})


def _absolute(value):
    if isinstance(value, list):
        return [_absolute(each) for each in value]
    return value if shareable(value) == value else os.path.abspath(os.path.expanduser(value))


def training_of(folder: "str | Path", config: dict) -> dict:
    """`training` of a model folder's config.json, with the paths that only this machine knows."""
    path = Path(folder) / LOCAL
    return (config.get("training") or {}) | (read_json(path) if path.is_file() else {})


def read_metrics(folder: "str | Path") -> dict:
    """`metrics.json`, or {} if nothing has been measured yet. Raises ModelFolderError."""
    path = Path(folder) / METRICS
    metrics = read_json(path) if path.exists() else {}
    try:
        if not isinstance(metrics, dict):
            raise TypeError("its figures")
        for runtime in {"keras", "tflite"} & set(metrics):
            float(metrics[runtime]["top_1"]["value"]), metrics["data"]["part"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFolderError(
            f"{path} has a missing or invalid value: {error}. "
            "Make it again with convert.py, then evaluate.py."
        ) from None
    return metrics


def remove_measured(folder: "str | Path") -> None:
    """Remove what evaluate.py measured, since model.tflite or its calibration changes: the report,
    its figures and those of --shift, and from metrics.json all but `keras`, `data` and
    `conversion`."""
    folder = Path(folder)
    for name in REPORT_FILES + SHIFT_FILES:
        (folder / name).unlink(missing_ok=True)
    metrics = read_metrics(folder)
    kept = {key: metrics[key] for key in ("keras", "data", "conversion") if key in metrics}
    if kept != metrics:
        write_json(folder / METRICS, kept)


def sha256(path: "str | Path") -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: "str | Path") -> None:
    """(Re)write SHA256SUMS: every visible file of the folder except itself."""
    folder = Path(folder)
    names = sorted(
        p.name
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.name != SUMS
    )
    write_text(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def read_checksums(folder: "str | Path") -> dict[str, str]:
    """{file name: hex digest} from SHA256SUMS. Raises ModelFolderError."""
    path = Path(folder) / SUMS
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing: the folder is not complete.")
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.split("  ", 1) for line in text.splitlines() if line.strip()]
    if any(len(line) != 2 or len(line[0]) != 64 for line in lines):
        raise ModelFolderError(f"{path} is damaged.")
    return {name: digest for digest, name in lines}


def verify(folder: "str | Path", names: "list[str] | None" = None) -> None:
    """Compare all files, or those named, with SHA256SUMS.

    Raises ModelFolderError for the first that is missing, not listed, or different.
    """
    folder = Path(folder)
    sums = read_checksums(folder)
    for name in sums if names is None else names:
        if name not in sums:
            raise ModelFolderError(f"{folder / SUMS} does not list {name}.")
        if not (folder / name).is_file():
            raise ModelFolderError(f"{folder / name} is missing.")
        if sha256(folder / name) != sums[name]:
            raise ModelFolderError(
                f"{folder / name} does not match its checksum: it was altered or cut off. "
                "Make or download it again."
            )
