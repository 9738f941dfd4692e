"""Who and what is in the training, validation and test parts, and how the labels were confirmed.

    python -m results.parts      writes results/parts.md

Reads the columns of HAM10000 alone, no picture and no model. The split is that of
model/data/split.py.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from model.data.dataset import Rows, load_rows
from model.data.split import split_rows
from model.hub.tables import table
from results.reports import CONFIRMED, run, write_report

SOURCES = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")


def share(chosen: np.ndarray) -> str:
    """How many of `chosen`, bool [n], are true, and their share."""
    return f"{chosen.sum():,} ({chosen.mean():.1%})".replace("%", " %")


def column(rows: Rows) -> dict[str, str]:
    """The characteristics of some rows, by name, as text."""
    age, sex, source, kinds = (rows.metadata[key] for key in ("age", "sex", "dataset", "dx_type"))
    low, middle, high = np.nanquantile(age, (0.25, 0.5, 0.75))
    _, first = np.unique(rows.lesion_id, return_index=True)
    return {
        "pictures": f"{len(rows):,}",
        "lesions": f"{len(first):,}",
        "age in years, median (quartiles)": f"{middle:.0f} ({low:.0f}–{high:.0f})",
        "age not recorded": share(np.isnan(age)),
        "female": share(sex == "female"),
        "male": share(sex == "male"),
        "sex not recorded": share(sex == "unknown"),
        **{f"from {name}": share(source == name) for name in SOURCES},
        **{
            f"{unit} confirmed by {words}": share(values == kind)
            for unit, values in (("pictures", kinds), ("lesions", kinds[first]))
            for kind, words in CONFIRMED.items()
        },
    }


def report_lines(rows: Rows) -> list[str]:
    """The report, from all rows of HAM10000."""
    parts = {name: rows.take(i) for name, i in split_rows(rows).items()} | {"all": rows}
    columns = {name: column(part) for name, part in parts.items()}
    body = [[key, *(cells[key] for cells in columns.values())] for key in columns["all"]]
    test = parts["test"]
    return [
        "# The three parts",
        "",
        "Made by `python -m results.parts` from the columns of HAM10000. Shares are of the "
        "pictures, but for those of lesions. A lesion is counted with its first picture; all "
        "pictures of a lesion have the same label, confirmed in the same way. The sources, clinics "
        "and cameras, have the names that the data set gives them.",
        "",
        *table(["", *columns], body),
        "## How the labels of the test part were confirmed",
        "",
        *table(["pictures", *CONFIRMED.values()], counted(test, test.dx, rows.labels)),
        *table(["pictures", *CONFIRMED.values()], counted(test, test.metadata["dataset"], SOURCES)),
    ]


def counted(rows: Rows, groups: np.ndarray, names: Sequence[str]) -> list[list]:
    """For each of `names`, how many rows of that group (`groups`, str [n]) were confirmed how."""
    return [
        [name, *(((groups == name) & (rows.metadata["dx_type"] == k)).sum() for k in CONFIRMED)]
        for name in names
    ]


def main(arguments=None) -> str:
    """Write the report; returns it."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--dataset", default="../shared/ham10000", help="Hub id or folder (default: %(default)s)")
    add("--output", default="results/parts.md", help="report to write (default: %(default)s)")
    args = options.parse_args(arguments)
    rows = load_rows(args.dataset, need=("image_id", "lesion_id"))
    return write_report(args.output, report_lines(rows))


if __name__ == "__main__":
    run("parts", main)
