"""What the scripts of this folder share: options, writing a report, and errors in a sentence."""

import argparse
from collections.abc import Callable
from pathlib import Path

from model.folder import errors_in_words, write_text


def parser(description: str, output: str, resamples: bool = True) -> argparse.ArgumentParser:
    """The options of a script that measures models on pictures and writes the report `output`;
    `resamples`: whether by bootstrap."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--dataset", default="../shared/ham10000", help="Hub id or folder (default: %(default)s)")
    add("--output", default=output, help="report to write (default: %(default)s)")
    if resamples:
        add("--resamples", type=int, default=1000, help="bootstrap (default: %(default)s)")
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    return options


def write_report(path: "str | Path", lines: list[str]) -> str:
    """Write `lines` in one step, making the folder if needed. Returns the text."""
    text = "\n".join(lines)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return text


def run(name: str, main: Callable[[], str]) -> None:
    """Print what `main` returns; exit with a sentence on an expected error."""
    with errors_in_words(name):
        print(main())
