"""What the pages of this folder share: options, writing, and the end of a script."""

import argparse
from collections.abc import Callable
from pathlib import Path

from model.folder import errors_in_words, write_text


def parser(description: str, output: str) -> argparse.ArgumentParser:
    """The options of a script that measures models on pictures and writes the page `output`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--dataset", default="../shared/ham10000", help="Hub id or folder (default: %(default)s)")
    add("--output", default=output, help="the page to write (default: %(default)s)")
    add("--resamples", type=int, default=1000, help="of the bootstrap (default: %(default)s)")
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    return made


def write_page(path: "str | Path", lines: list[str]) -> str:
    """Write `lines` in one step, making the folder if needed; returns the text."""
    text = "\n".join(lines)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return text


def run(name: str, main: Callable[[], str]) -> None:
    """Print what `main` returns; exit with a sentence on an expected error."""
    with errors_in_words(name):
        print(main())
