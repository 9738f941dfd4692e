"""The report on the three parts: shares, unknowns, lesions counted once, and the table."""

from pathlib import Path

import numpy as np
import pytest
from made import made_rows, write_dataset

from model.data.dataset import load_rows
from results import parts as p

ROOT = Path(__file__).parents[1]
HAM10000 = ROOT.parent / "shared" / "ham10000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The made data set; the lesion with several pictures of each label was followed up, and the
    first picture has neither age nor sex."""
    rows = made_rows(20)
    seen = [row["lesion_id"] for row in rows]
    for row in rows:
        row["dx_type"] = "follow_up" if seen.count(row["lesion_id"]) > 1 else "histo"
    rows[0] |= {"age": None, "sex": None}
    return write_dataset(tmp_path_factory.mktemp("parts"), rows)


def test_a_share_has_its_number():
    assert p.share(np.arange(8) < 3) == "3 (37.5 %)"
    assert p.share(np.ones(2000, bool)) == "2,000 (100.0 %)"


def test_a_lesion_counts_once_and_what_is_not_recorded_is_counted(folder):
    cells = p.column(load_rows(str(folder), need=("image_id", "lesion_id")))
    assert (cells["pictures"], cells["lesions"]) == ("140", "126")
    assert cells["pictures confirmed by follow-up"] == "21 (15.0 %)"
    assert cells["lesions confirmed by follow-up"] == "7 (5.6 %)"
    assert cells["age not recorded"] == cells["sex not recorded"] == "1 (0.7 %)"
    assert cells["female"] == "70 (50.0 %)" and cells["male"] == "69 (49.3 %)"


def test_the_report_has_a_column_for_each_part(folder, tmp_path):
    output = tmp_path / "parts.md"
    text = p.main(["--dataset", str(folder), "--output", str(output)])
    assert text == output.read_text("utf-8")
    assert "|  | train | validation | test | all |" in text
    (pictures,) = (line for line in text.splitlines() if line.startswith("| pictures | 1"))
    train, validation, test, every = map(int, pictures.split(" | ")[1:-1] + ["140"])
    assert train + validation + test == every
    # The test part is drawn from lesions with one picture, none of which was followed up.
    (followed,) = (
        line for line in text.splitlines() if "| pictures confirmed by follow-up" in line
    )
    assert followed.split(" | ")[3] == "0 (0.0 %)"
    labels = text.split("## How")[1].split("\n\n")[1].splitlines()[2:]
    counts = [int(line.split(" | ")[1]) for line in labels]
    assert len(counts) == 7 and sum(counts) == test


@pytest.mark.skipif(not HAM10000.is_dir(), reason="needs HAM10000")
def test_the_report_is_that_of_ham10000(tmp_path):
    made = p.main(["--dataset", str(HAM10000), "--output", str(tmp_path / "parts.md")])
    assert made == (ROOT / "results" / "parts.md").read_text("utf-8")
