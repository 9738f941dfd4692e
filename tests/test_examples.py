import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.labels import LABELS
from model.page import examples
from model.page.examples import RETRY, Examples, ExamplesError, find_examples


def test_one_test_picture_of_each_diagnosis_with_its_truth(trained, made, tmp_path):
    found = find_examples(trained, str(made), tmp_path)
    split = json.loads((trained / "split.json").read_text())
    assert [e.label for e in found] == [
        label for label in LABELS if label in {e.label for e in found}
    ]
    assert len(found) >= 5  # the small made set's test part may lack a diagnosis
    import datasets

    rows = datasets.load_dataset(str(made))["train"].remove_columns("image")
    truth = dict(zip(rows["image_id"], rows["dx"]))
    for example in found:
        assert example.image_id in split["test"] and truth[example.image_id] == example.label
        assert example.path.parent == tmp_path and example.path.suffix == ".jpeg"


def refusal(folder, dataset, into):
    with pytest.raises(ExamplesError) as caught:
        find_examples(folder, str(dataset), into)
    return str(caught.value)


def test_why_there_are_none(trained, tmp_path, made):
    assert refusal(trained, "", tmp_path) == "No data set is named."
    assert refusal(tmp_path, made, tmp_path) == f"{tmp_path / 'split.json'} is missing."
    (tmp_path / "split.json").write_text("{")
    assert "is damaged" in refusal(tmp_path, made, tmp_path)
    empty = f"{tmp_path} has no Parquet file with a picture of the model's test part."
    assert refusal(trained, tmp_path, tmp_path) == empty
    (tmp_path / "broken.parquet").write_bytes(b"junk")
    assert refusal(trained, tmp_path, tmp_path).startswith(f"{tmp_path} cannot be read (ArrowInv")
    assert refusal(trained, "no/such/place", tmp_path).startswith("no/such/place ")


def test_without_pyarrow_the_reason_names_it(trained, made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reason = "Reading them takes pyarrow (pip install pyarrow)."
    assert refusal(trained, made, tmp_path) == reason


def test_a_reading_that_failed_is_tried_again_but_not_at_once(
    trained, made, tmp_path, monkeypatch, caplog
):
    now = [100.0]
    monkeypatch.setattr(examples.time, "monotonic", lambda: now[0])
    offered = Examples(trained, str(tmp_path), wanted=True)
    assert offered.read() == offered.read() == []
    said = f"There are no example pictures: {tmp_path} has no Parquet file with a picture of the "
    assert caplog.messages == [said + "model's test part."]
    shutil.copytree(made / "data", tmp_path / "data")
    now[0] += RETRY - 1
    assert offered.read() == []
    now[0] += 1
    found = offered.read()
    assert len(found) >= 5 and all(example.path.is_file() for example in found)
    shutil.rmtree(tmp_path / "data")
    now[0] += RETRY
    assert offered.read() == found and len(caplog.messages) == 1


def test_examples_that_nobody_asked_for_are_missing_in_silence(trained, tmp_path, caplog):
    assert Examples(trained, str(tmp_path)).read() == [] and caplog.messages == []


def test_from_a_data_set_on_the_hub_which_is_there_only_later(hub, trained, made, tmp_path):
    parquet = next((made / "data").glob("*.parquet"))
    code = (
        "import sys\n"
        "from model.page.examples import ExamplesError, find_examples\n"
        f"call = {str(trained)!r}, 'ann/lesions', {str(tmp_path)!r}\n"
        "try:\n    find_examples(*call)\n"
        "except ExamplesError as error:\n    print(error)\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "print(len(find_examples(*call)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=hub.env(tmp_path / "home", "hf_ann"),
    )
    assert process.stdout.readline().startswith("ann/lesions ")
    assert process.stdout.readline() == "ready\n"
    hub.put("ann/lesions", {f"data/{parquet.name}": parquet.read_bytes()}, repo_type="dataset")
    said, errors = process.communicate("\n", timeout=120)
    assert process.returncode == 0, errors
    assert int(said) == len(find_examples(trained, str(made), tmp_path)) >= 5
