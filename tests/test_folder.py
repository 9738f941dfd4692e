import json
import re

import pytest

from model import folder as f

CONFIG = {
    "format": 1,
    "architecture": "mobilenet_v2",
    "labels": ["a", "b"],
    "input": {"height": 32, "width": 32},
    "calibration": {"temperature": 1.0},
}


def test_replacing_keeps_the_old_file_when_the_writing_fails(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), f.replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_new_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), f.new_folder(tmp_path / "run") as beside:
        (beside / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with f.new_folder(tmp_path / "run") as beside:
        (beside / "a").write_text("1")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "a").read_text() == "1"
    with pytest.raises(f.ModelFolderError, match="exists already"):
        with f.new_folder(tmp_path / "run"):
            pass


def test_checksums_name_the_altered_and_the_missing_file(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    f.write_checksums(tmp_path)
    f.verify(tmp_path)
    (tmp_path / "a.txt").write_text("A")
    with pytest.raises(f.ModelFolderError, match=r"a\.txt does not match"):
        f.verify(tmp_path)
    f.verify(tmp_path, ["b.txt"])
    (tmp_path / "b.txt").unlink()
    with pytest.raises(f.ModelFolderError, match=r"b\.txt is missing"):
        f.verify(tmp_path, ["b.txt"])
    with pytest.raises(f.ModelFolderError, match="does not list c"):
        f.verify(tmp_path, ["c"])


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"format": 99}, "format 99"),
        ({"labels": ["a"]}, "impossible labels"),
        ({"labels": ["a", "a"]}, "impossible labels"),
        ({"labels": None}, "missing or invalid value"),
        ({"input": {"height": 32}}, "width"),
        ({"calibration": {"temperature": 0}}, "impossible"),
        ({"keras_calibration": {"temperature": 0}}, "impossible"),
        ({"keras_calibration": {}}, "missing or invalid value"),
    ],
)
def test_config_that_cannot_be_right_is_refused(tmp_path, change, sentence):
    f.write_json(tmp_path / "config.json", CONFIG)
    assert f.read_config(tmp_path) == CONFIG
    f.write_json(tmp_path / "config.json", CONFIG | change)
    with pytest.raises(f.ModelFolderError, match=sentence):
        f.read_config(tmp_path)


def test_missing_and_damaged_config(tmp_path):
    with pytest.raises(f.ModelFolderError, match="not a model folder"):
        f.read_config(tmp_path)
    with pytest.raises(f.ModelFolderError, match="There is no model folder"):
        f.read_config(tmp_path / "nothing")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG)[:-9])
    with pytest.raises(f.ModelFolderError, match="damaged"):
        f.read_config(tmp_path)


@pytest.mark.parametrize(
    "setting, shared",
    [
        ("../shared/ham10000", "ham10000"),
        ("/home/jane doe/pictures/", "pictures"),
        ("~/pictures", "pictures"),
        ("C:\\Users\\jane\\pictures", "pictures"),
        ("cache=/home/jane/cache", "cache=cache"),
        ("/home/jane/part=1/set", "set"),
        ("cache=/home/jane/part=1/set", "cache=set"),
        (["/home/jane/a", "runs/b"], ["a", "runs/b"]),
        ("marmal88/skin_cancer", "marmal88/skin_cancer"),
        ("runs/first", "runs/first"),
        ("artefacts=hair,ruler", "artefacts=hair,ruler"),
        (None, None),
        (0.5, 0.5),
    ],
)
def test_shareable_settings_name_no_folder_of_this_machine(setting, shared):
    assert f.shareable(setting) == shared


# At the start of a word: an absolute path, or one from .. or the home folder.
LOCAL_PATH = re.compile(r"""(?:^|[\s"'=`(])(?:~|\.\.|[A-Za-z]:)?[/\\]\w""", re.MULTILINE)


@pytest.mark.parametrize("folder", ["bundled", "compact", "trained"])
def test_a_model_folder_holds_no_local_path(folder, trained):
    folder = trained if folder == "trained" else f.BUNDLED.with_name(folder)
    for name in f.read_checksums(folder):
        if name.endswith((".json", ".md", ".csv")):
            text = (folder / name).read_text(encoding="utf-8")
            assert LOCAL_PATH.findall(text) == [], name
    assert f.LOCAL not in f.read_checksums(folder)  # so it is not pushed


def test_this_machine_still_knows_where_the_data_are(trained, made):
    config = f.read_config(trained)
    assert config["training"]["dataset"] == made.name
    assert f.training_of(trained, config)["dataset"] == str(made)
