"""What the scripts of this folder share: options, words and signs, writing a report, and errors in
a sentence."""

import argparse
from collections.abc import Callable
from pathlib import Path

from model.folder import UserError, errors_in_words, write_text

# How a label was confirmed, from the column dx_type: Tschandl, Rosendahl and Kittler, Scientific
# Data 5, 180161 (2018).
CONFIRMED = {
    "histo": "histopathology",
    "follow_up": "follow-up",
    "consensus": "expert consensus",
    "confocal": "confocal microscopy",
}


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


def refuse_final(folder: "str | Path", config: dict) -> None:
    """Raises UserError if the model of `folder` was trained on its validation part."""
    if "final" in config["training"]:
        raise UserError(f"{folder} was trained on its validation part: that part measures nothing.")


def signed(figure: dict, scale: float = 1, decimals: int = 2) -> str:
    """A difference with its interval: "+0.034 (−0.010 to +0.058)"; a dash if undefined."""
    if figure["value"] is None:
        return "–"
    # + 0.0: no "−0.000"
    value, *ends = (
        None
        if figure[key] is None
        else f"{round(figure[key] * scale, decimals) + 0.0:+.{decimals}f}".replace("-", "−")
        for key in ("value", "low", "high")
    )
    return value if None in ends else f"{value} ({' to '.join(ends)})"


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
