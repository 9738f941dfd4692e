import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from model.folder import BUNDLED, COMPACT
from model.labels import LABELS
from model.page import examples
from model.page.examples import FOLDER, ExamplesError, bundled, find_examples, read_examples

ROOT = Path(__file__).parents[1]
HAM10000 = ROOT.parent / "shared" / "ham10000"


def test_seven_test_pictures_come_with_the_page_one_of_each_diagnosis():
    found = read_examples(BUNDLED)
    assert found == bundled() and [example.label for example in found] == LABELS
    for folder in (BUNDLED, COMPACT):
        test = json.loads((folder / "split.json").read_text())["test"]
        assert {example.image_id for example in found} <= set(test)
    for example in found:
        assert example.path.stem == example.image_id
        assert example.path.stat().st_size < 16_000
        with Image.open(example.path) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("WEBP", (400, 300))
            assert not picture.getexif()
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {example.path.name for example in found} | {"examples.json", "README.md"}


def test_the_bundled_pictures_are_attributed():
    said = (FOLDER / "README.md").read_text("utf-8")
    for words in ("CC BY-NC 4.0", "Tschandl", "2018", "10.1038/sdata.2018.161", "Changes: "):
        assert words in said


@pytest.mark.skipif(not HAM10000.is_dir(), reason="needs ../shared/ham10000")
def test_the_bundled_pictures_are_the_first_of_each_diagnosis_by_image_id(tmp_path, monkeypatch):
    from model.data.dataset import load_rows

    rows = load_rows(str(HAM10000))
    test = set(json.loads((BUNDLED / "split.json").read_text())["test"])
    for example in bundled():
        here = [i for i, dx in enumerate(rows.dx) if dx == example.label]
        i = min((i for i in here if rows.image_id[i] in test), key=lambda i: rows.image_id[i])
        assert (example.image_id, example.lesion_id) == (rows.image_id[i], rows.lesion_id[i])
        assert example.path.read_bytes() == rows.encoded(i)
    # Its command makes the same files.
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    monkeypatch.setattr(examples, "LIST", tmp_path / "examples.json")
    examples.main(["--dataset", str(HAM10000)])
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()
    assert len(list(tmp_path.iterdir())) == 8


def test_the_bundled_pictures_are_read_without_pyarrow_and_the_hub():
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['pyarrow', 'huggingface_hub', 'datasets'])\n"
        "from model.page.examples import read_examples\n"
        "assert len(read_examples('model/bundled')) == 7"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def write_parquet(path, rows):
    from pyarrow import Table, parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(Table.from_pylist(rows), path, row_group_size=2)


def test_the_first_by_image_id_whatever_the_order_of_rows_and_files(tmp_path):
    def row(image_id, dx, **more):
        picture = bundled()[0].path.read_bytes() if image_id in ("a1", "b2") else b"not read"
        return {"image": {"bytes": picture}, "image_id": image_id, "dx": dx} | more

    write_parquet(tmp_path / "data/1.parquet", [row(f"a{i}", "mel") for i in (5, 3, 2, 0)])
    later = [row("a1", "Melanoma", lesion_id="l7"), row("b9", "nv"), row("b2", "nv")]
    write_parquet(tmp_path / "data/2.parquet", later)
    (tmp_path / "split.json").write_text('{"test": ["a5", "a3", "a2", "a1", "b9", "b2"]}')
    found = find_examples(tmp_path, str(tmp_path), tmp_path)
    assert [(e.image_id, e.label, e.lesion_id) for e in found] == [
        ("a1", "mel", "l7"),
        ("b2", "nv", None),
    ]
    assert [e.path for e in found] == [tmp_path / "a1.webp", tmp_path / "b2.webp"]
    assert found[0].path.read_bytes() == bundled()[0].path.read_bytes()


def test_one_test_picture_of_each_diagnosis_of_a_data_set_with_its_truth(trained, made):
    found = read_examples(trained, str(made))
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
        assert example.path.is_file() and example.path.suffix == ".jpeg"


def refusal(folder, dataset, into):
    with pytest.raises(ExamplesError) as caught:
        find_examples(folder, str(dataset), into)
    return str(caught.value)


def test_why_there_are_none(trained, tmp_path, made):
    lacks = f"{tmp_path} has no split.json, which would name its test part."
    assert refusal(tmp_path, made, tmp_path) == lacks
    (tmp_path / "split.json").write_text("{")
    assert "is damaged" in refusal(tmp_path, made, tmp_path)
    empty = f"{tmp_path} has no Parquet file with a picture of the model's test part."
    assert refusal(trained, tmp_path, tmp_path) == empty
    write_parquet(tmp_path / "1.parquet", [{"image_id": "a"}])
    assert refusal(trained, tmp_path, tmp_path) == (
        f"{tmp_path / '1.parquet'} has no column dx and no image."
    )
    (tmp_path / "1.parquet").write_bytes(b"junk")
    assert refusal(trained, tmp_path, tmp_path).startswith(f"{tmp_path} cannot be read (ArrowInv")
    assert refusal(trained, "no/such/place", tmp_path) == "There is no folder no/such/place."


def test_without_pyarrow_the_reason_names_it(trained, made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reason = f"Reading {made} takes pyarrow: pip install pyarrow"
    assert refusal(trained, made, tmp_path) == reason


def test_a_data_set_that_cannot_be_read_is_named_and_the_bundled_pictures_serve(
    trained, tmp_path, caplog
):
    assert read_examples(trained, str(tmp_path)) == bundled()
    assert caplog.messages == [
        f"The example pictures are the bundled ones. {tmp_path} has no Parquet file with a picture "
        "of the model's test part."
    ]


def test_from_a_data_set_on_the_hub(hub, trained, made, tmp_path):
    parquet = next((made / "data").glob("*.parquet"))
    hub.put("ann/lesions", {f"data/{parquet.name}": parquet.read_bytes()}, repo_type="dataset")
    code = (
        "import sys\n"
        "from model.page.examples import read_examples\n"
        "print(*(example.image_id for example in read_examples(*sys.argv[1:])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, trained, "ann/lesions"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | hub.env(tmp_path / "home", "hf_ann"),
    )
    expected = find_examples(trained, str(made), tmp_path)
    assert done.stdout.split() == [example.image_id for example in expected], done.stderr
    assert len(expected) >= 5
