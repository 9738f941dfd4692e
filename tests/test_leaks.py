"""train.py and evaluate.py: pictures that taught a model are not what it is tested with."""

import shutil

import numpy as np
import pytest
from made import made_rows, write_dataset
from tiny_runs import arguments

import evaluate
import train
from model.data import fingerprints as fp
from model.folder import (
    FINGERPRINTS,
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    read_config,
    read_json,
    write_checksums,
    write_json,
)
from model.training import average


def run(made, output, options="--epochs 1"):
    return train.main(arguments(made, output, options))


def older(folder, to):
    """A copy of a model folder as it was before there were records."""
    copy = shutil.copytree(folder, to)
    (copy / FINGERPRINTS).unlink()
    write_checksums(copy)
    return copy


@pytest.fixture(scope="module")
def final(made, tmp_path_factory):
    """A selected run and the final run like it."""
    base = tmp_path_factory.mktemp("final")
    selected = run(made, base / "selected")
    command = f"--final {selected} --output {base}/final --set cache={base}/cache"
    return selected, train.main(command.split())


@pytest.mark.parametrize("option", ["--weights", "--teacher"])
def test_a_final_run_does_not_teach_a_run_with_the_same_validation_part(
    made, final, tmp_path, option
):
    selected, last = final
    images = len(read_json(last / SPLIT)["validation"])
    sentence = f"{option} {last} was trained on {images} images that this run validates with"
    with pytest.raises(ModelFolderError, match=sentence):
        run(made, tmp_path / "next", f"--epochs 1 {option} {last}")
    with pytest.raises(ModelFolderError, match=rf"{images} images .*\(by image_id"):
        start = older(last, tmp_path / "older")
        run(made, tmp_path / "next", f"--epochs 1 {option} {start}")
    assert not (tmp_path / "next").exists()
    assert len(fp.read_record(last).validation) == 0
    assert len(fp.read_record(selected).validation) == images


def test_what_taught_the_first_of_a_chain_is_recorded_in_the_last(made, final, tmp_path, capsys):
    """Its pictures come back under other ids, sizes and parts."""
    selected, _ = final
    other = write_dataset(tmp_path / "other", made_rows(20, seed=1000))
    second = run(other, tmp_path / "second", f"--epochs 1 --weights {selected}")
    first, both = fp.read_record(selected), fp.read_record(second)
    images = len(read_json(second / SPLIT)["train"])
    assert fp.are_among(first.trained, both.trained).all()
    assert fp.are_among(first.validation, both.validation).all()
    assert len(both.trained) == len(first.trained) + images and both.unrecorded == []
    assert "there is no record" not in capsys.readouterr().out
    renamed = [row | {"image_id": f"new_{i:03}"} for i, row in enumerate(made_rows(20)[::-1])]
    renamed = write_dataset(tmp_path / "renamed", renamed)
    with pytest.raises(ModelFolderError, match="images that this run validates with.*fingerprints"):
        run(renamed, tmp_path / "third", f"--epochs 1 --weights {second} --split-by image")


def test_start_weights_without_a_record_are_named(made, final, tmp_path, capsys):
    start = older(final[0], tmp_path / "older")
    folder = run(made, tmp_path / "next", f"--epochs 1 --weights {start}")
    sentence = (
        f"--weights {start}: there is no record of the pictures that taught older, so this run's "
        "validation and test pictures may be among them\n"
    )
    assert sentence in capsys.readouterr().out
    assert fp.read_record(folder).unrecorded == ["older"]
    run(made, tmp_path / "last", f"--epochs 1 --weights {folder}")
    assert f"--weights {folder}: there is no record of the pictures that taught older" in (
        capsys.readouterr().out
    )
    mean = f"{final[0]} {start} --output {tmp_path}/mean --dataset {made} --cache {tmp_path}/cache"
    record = fp.read_record(average.main(mean.split()))
    assert record.unrecorded == ["older"]
    assert record.trained.tolist() == fp.read_record(final[0]).trained.tolist()


def changed_rows(kind):
    rows = made_rows(20)
    if kind == "three more":
        return rows + [row | {"lesion_id": row["image_id"]} for row in made_rows(21)[-3:]]
    if kind == "another picture":
        return [rows[0] | {"image": made_rows(1, 1, 1000)[0]["image"]}, *rows[1:]]
    return [*rows[:-1], rows[-1] | {"image_id": "ISIC_9999999"}]


@pytest.mark.parametrize("kind", ["three more", "another picture", "another id"])
def test_a_run_is_not_resumed_with_another_data_set(tmp_path, monkeypatch, kind):
    data = write_dataset(tmp_path / "data", made_rows(20))
    output = tmp_path / "run"
    command = arguments(data, output, "--epochs 1")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("model.training.run_folder.write_run", stop)
    with pytest.raises(KeyboardInterrupt):
        train.main(command)
    monkeypatch.undo()
    write_dataset(data, changed_rows(kind))
    with pytest.raises(ModelFolderError, match="The data set has changed since .*run.training was"):
        train.main([*command, "--resume"])
    write_dataset(data, made_rows(20))
    assert train.main([*command, "--resume"]) == output


def test_measuring_all_says_how_many_taught_the_model(made, trained, tmp_path, capsys):
    split = read_json(trained / SPLIT)
    sizes = {"trained": len(split["train"]), "validation": len(split["validation"])}
    folder = shutil.copytree(trained, tmp_path / "copy")
    (folder / WEIGHTS).unlink()
    write_checksums(folder)
    files = f"--part all --cache {tmp_path}/cache --resamples 20 --output"
    for kind in ("fingerprints", "image_id"):
        metrics = evaluate.main([str(folder), *f"{files} {tmp_path}/{kind}".split()])
        assert metrics["data"]["seen"] == sizes | {"by": kind}
        sentence = (
            f"Not a test: {sizes['trained']} of the 140 pictures taught this model, and "
            f"{sizes['validation']} more belong to the part it was selected and calibrated on"
        )
        assert sentence in capsys.readouterr().out
        assert f"**{sentence}" in (tmp_path / kind / "report.md").read_text()
        if kind == "fingerprints":
            folder = older(folder, tmp_path / "older")
    evaluate.main([str(folder), *f"{files} {folder}".split()])
    assert f"**{sentence}" in (folder / "README.md").read_text()
    assert "seen" not in read_json(trained / "metrics.json")["data"]


def test_a_test_part_that_taught_the_model_is_marked(made, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    record = fp.read_record(folder)
    split = read_json(folder / SPLIT)
    split["test"] = split["test"] + split["train"][:3]
    write_json(folder / SPLIT, split)
    command = f"{folder} --cache {tmp_path}/cache --resamples 20 --output {tmp_path}/out"
    metrics = evaluate.main(command.split())
    assert metrics["data"]["seen"] == {"trained": 3, "validation": 0, "by": "fingerprints"}
    assert "3 of them taught the model" in (tmp_path / "out" / "report.md").read_text()
    assert np.array_equal(record.trained, fp.read_record(folder).trained)


def test_copies_and_the_record_are_on_the_card(tmp_path):
    rows = made_rows(20)
    again = [row | {"image_id": f"X{i}", "lesion_id": f"X{i}"} for i, row in enumerate(rows[::9])]
    data = write_dataset(tmp_path / "data", rows + again)
    extra = [
        {"image": row["image"], "image_id": f"E{i}", "label": row["dx"]}
        for i, row in enumerate(rows[:5] + made_rows(1, 1, seed=1000))
    ]
    extra = write_dataset(tmp_path / "extra", extra)
    folder = run(data, tmp_path / "run", f"--epochs 1 --extra {extra}")
    config, card = read_config(folder), (folder / "README.md").read_text()
    moved = config["data"]["copies"]["moved"]
    assert moved > 0 and f"of their lesions, {moved} were moved to the training part" in card
    assert config["data"]["extra"][0]["left_out"]["copies"] == 5
    assert "; 5 were left out as copies or near-copies of known images" in card
    assert "`fingerprints.npz` tells which pictures taught these weights" in card
    split = read_json(folder / SPLIT)
    assert len(split["train"]) + len(split["validation"]) + len(split["test"]) == len(rows + again)
