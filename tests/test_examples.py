import json
import subprocess
import sys
from pathlib import Path

from model.labels import LABELS
from model.page.examples import find_examples


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


def test_out_of_reach_means_none(trained, tmp_path, made):
    assert find_examples(trained, str(tmp_path / "nowhere"), tmp_path) == []
    assert find_examples(trained, "", tmp_path) == []
    assert find_examples(tmp_path, str(made), tmp_path) == []
    (tmp_path / "broken.parquet").write_bytes(b"junk")
    assert find_examples(trained, str(tmp_path), tmp_path) == []


def test_none_where_pyarrow_is_missing(trained, made, tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from model.page.examples import find_examples\n"
        f"assert find_examples({str(trained)!r}, {str(made)!r}, {str(tmp_path)!r}) == []"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_from_a_data_set_on_the_hub(hub, trained, made, tmp_path):
    parquet = next((made / "data").glob("*.parquet"))
    hub.put("ann/lesions", {f"data/{parquet.name}": parquet.read_bytes()}, repo_type="dataset")
    code = (
        "from model.page.examples import find_examples\n"
        f"print(len(find_examples({str(trained)!r}, 'ann/lesions', {str(tmp_path)!r})))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        env=hub.env(tmp_path / "home", "hf_ann"),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(find_examples(trained, str(made), tmp_path)) >= 5
