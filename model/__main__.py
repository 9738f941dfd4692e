"""Classify dermatoscopic pictures without a page.

    python -m model lesion.jpg                       the answer in words
    python -m model lesion.jpg --level 0.95          with the set of diagnoses at another level
    python -m model lesion.jpg FOLDER pictures.zip   many; a folder stands for its pictures
    python -m model lesion.jpg --json                what /analyze answers, and the file
    python -m model FOLDER --csv > answers.csv       the columns of the page's CSV
    python -m model lesion.jpg --model USER/NAME     another model

A file that cannot be used is named on stderr, with the reason, and the exit status is then 1. The
others are answered all the same.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from model.packages import name_missing

name_missing("requirements.txt")

from model.classifier import Classifier
from model.folder import BUNDLED, UserError, errors_in_words
from model.page import answer, batch
from model.page.texts import ENGLISH, name, percent, probability, text
from model.sets import LEVEL, LEVELS, always

PICTURES = ".jpg .jpeg .jfif .png .webp .tif .tiff .bmp .gif .heic .heif .hif".split()


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m model",
        usage="python -m model FILE [FILE ...] [--json | --csv | --level LEVEL] [--model MODEL]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="picture, folder or zip")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print an array with an object a picture")
    form.add_argument("--csv", action="store_true", help="print a table with a line a picture")
    form.add_argument(
        "--level",
        type=float,
        choices=LEVELS,
        default=LEVEL,
        help="of the prediction set in words (default: %(default)s); JSON and CSV have all three",
    )
    parser.add_argument(
        "--model", default=str(BUNDLED), help="model folder, or USER/NAME[@REVISION]"
    )
    return parser.parse_args(arguments)


def classify(classifier: Classifier, files: Iterable[str]) -> Iterator[batch.BatchRow]:
    """A row for each picture of `files`, named by its path; a picture in a zip by that of the zip
    and its own name. A file that cannot be used becomes a row with a reason."""
    for file in map(Path, files):
        paths = [file]
        if file.is_dir():
            paths = sorted(path for path in file.rglob("*") if _is_picture(path, file))
            if not paths:
                yield batch.BatchRow(str(file), reason=UserError("The folder has no pictures."))
        for path in paths:
            yield from _classify(classifier, path)


def _is_picture(path: Path, folder: Path) -> bool:
    """By its ending; hidden files are left out, as the page does in a zip."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    return path.suffix.lower() in PICTURES and not hidden and path.is_file()


def _classify(classifier: Classifier, path: Path) -> Iterator[batch.BatchRow]:
    try:
        if not path.exists():
            raise UserError("There is no such file.")
        rows = batch.classify_many(classifier, [path])
    except UserError as error:
        yield batch.BatchRow(str(path), reason=error)
        return
    for row in rows:
        inside = path.suffix.lower() == ".zip" and row.name != path.name
        yield replace(row, name=f"{path}/{row.name}" if inside else str(path))


def in_words(row: batch.BatchRow, config: dict, level: float = LEVEL) -> str:
    """The answer for one picture: the verdict, the set at `level`, one of LEVELS, if the model has
    sets and can judge the picture, then the probabilities, the largest first."""
    lines = [row.name, f"  {verdict(row, config)}"]
    if row.sets and row.confident:
        lines.append(f"  {set_in_words(row, config, level)}")
    lines += [f"  {text(ENGLISH, f'notice_{code}')}" for code in row.notices]
    ranked = sorted(row.probabilities.items(), key=lambda item: -item[1])
    named = [(name(ENGLISH, label), probability(p, ENGLISH, 1)) for label, p in ranked]
    width = max(len(diagnosis) for diagnosis, _ in named)
    return "\n".join([*lines, *(f"    {diagnosis:{width}}  {p:>9}" for diagnosis, p in named)])


def verdict(row: batch.BatchRow, config: dict) -> str:
    """Whether the model warns, and why; or that its answer is not reliable."""
    found = row.suspicious
    unsure = f"{text(ENGLISH, 'sum_unsure')}. {text(ENGLISH, 'sum_unsure_caution')}"
    if found is None:
        first = max(row.probabilities, key=row.probabilities.get)
        return f"Most similar to: {name(ENGLISH, first)}." if row.confident else unsure
    labels = " + ".join(config["calibration"]["suspicious"])
    score, threshold = (probability(found[key], ENGLISH, 1) for key in ("score", "threshold"))
    level = f"{labels}: {score}, warning level {threshold}."
    if not row.confident:
        return f"{unsure} {level}"
    if found["flag"]:
        return f"{text(ENGLISH, 'sum_suspicious')}. {level}"
    return f"{text(ENGLISH, 'sum_benign')}. {level} {text(ENGLISH, 'sum_benign_caution')}"


def set_in_words(row: batch.BatchRow, config: dict, level: float) -> str:
    """The set at `level`, and which labels are in every set."""
    named = [name(ENGLISH, label) for label in row.sets[str(level)]]
    said = f"Set at the {percent(level, ENGLISH)} level: {', '.join(named)}."
    few = always(config["calibration"]["sets"])[str(level)]
    counted = ", ".join(f"{label} ({n})" for label, n in few.items())
    return f"{said} Always in it, for too few validation lesions: {counted}." if few else said


def main(arguments=None) -> None:
    args = parse(arguments)
    with errors_in_words("python -m model"):
        classifier = Classifier.from_pretrained(args.model)
        if classifier.notice:
            print(classifier.notice, file=sys.stderr)
        model = answer.identity(classifier, args.model)
        rows = []
        for row in classify(classifier, args.files):
            rows.append(row)
            if row.reason:
                print(f"{row.name}: {row.error}", file=sys.stderr)
            elif not args.json and not args.csv:
                print(in_words(row, classifier.config, args.level), end="\n\n", flush=True)
        answered = [row for row in rows if not row.reason]
        if args.json:
            found = [
                {"file": row.name} | answer.as_json(row, classifier, model) for row in answered
            ]
            print(json.dumps(found, indent=2))
        elif args.csv:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "answers.csv")
                batch.write_csv(rows, path, classifier.labels)
                sys.stdout.buffer.write(path.read_bytes())
        elif answered:
            print("This is not a medical diagnosis.")
    if len(answered) < len(rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
