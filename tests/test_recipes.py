import pytest

from model.folder import CONFIG, FORMAT, write_json
from model.training import recipe as r

BASE = ["--output", "runs/x"]


def parse(*more):
    return r.parse("A test.", [*BASE, *more])


def test_recipe_gives_what_was_not_said():
    args = parse("--epochs", "3", "--augment", "0.5", "--size", "48x64")
    assert (args.height, args.width, args.epochs, args.stop_after) == (48, 64, 3, 3)
    assert args.colour == 0.5 and args.mixup == args.cutmix == args.logit_adjust == 0
    assert parse("--colour", "0").colour == 0 and parse().augment == 1.0
    assert parse("--recipe", "paper").learning_rate == 0.01
    assert (parse("--recipe", "paper").head, parse().head) == ("flatten", "pooling")
    assert parse("--steps-per-execution", "epoch").steps_per_execution == 0


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--mixup", "0.2", "--cutmix", "1"], "exclude each other"),
        (["--mixup", "0.2", "--balance", "class-weight"], "do not go with"),
        (["--cutmix", "1.5"], "at most 1"),
        (["--devices", "0"], "at least 1"),
        (["--batch", "30", "--devices", "4"], "shared evenly by 4"),
        (["--steps-per-execution", "-1"], "steps"),
        (["--unlabelled", "pictures"], "--unlabelled needs a --teacher"),
        (["--teacher", "runs/a", "--label-share", "1.2"], "between 0 and 1"),
        (["--teacher", "runs/a", "--distill-temperature", "0"], "above 0"),
        (["--artefacts", "snow"], "invalid choice: 'snow'"),
    ],
)
def test_settings_that_do_not_go_are_named(more, sentence, capsys):
    with pytest.raises(SystemExit):
        parse(*more)
    assert sentence in capsys.readouterr().err


def test_settings_of_teachers_and_artefacts_are_none_without_them():
    plain, both = parse(), parse("--teacher", "runs/a", "runs/b", "--artefacts", "hair")
    assert plain.label_share is plain.distill_temperature is plain.artefact_share is None
    assert (both.label_share, both.distill_temperature, both.artefact_share) == (0.3, 1.0, 0.2)
    assert both.teacher == ["runs/a", "runs/b"] and plain.backbone_rate == 1.0


def test_every_setting_of_a_recipe_can_be_recorded():
    settings = r.settings_of(parse())
    assert set(r.RECIPES["default"]) == set(r.RECIPES["paper"]) <= set(settings)
    assert not {"output", "resume", "results", "stop_after"} & set(settings)


@pytest.fixture
def selected(tmp_path):
    """config.json of a run with settings of its own, of which epoch 7 was the best."""
    settings = r.settings_of(
        parse(
            "--epochs",
            "12",
            "--batch",
            "16",
            "--size",
            "48x64",
            "--extra",
            "more",
            "--weights",
            "none",
            "--mixup",
            "0.3",
            "--dataset",
            "here",
        )
    )
    config = {
        "format": FORMAT,
        "architecture": "cnn_16_32",
        "labels": ["a", "b"],
        "input": {"height": 48, "width": 64},
        "calibration": {"temperature": 1.0},
        "training": settings | {"best_epoch": 7},
    }
    (tmp_path / "selected").mkdir()
    write_json(tmp_path / "selected" / CONFIG, config)
    return tmp_path / "selected", config


def test_final_takes_all_settings_but_stops_at_the_best_epoch(selected):
    folder, config = selected
    args = parse("--final", str(folder), "--dataset", "there", "--seed", "5")
    expected = config["training"] | {"dataset": "there", "seed": 5}
    assert r.settings_of(args) | {"best_epoch": 7} == expected
    # The schedule keeps its length: the run stops where the selected one was best.
    assert (args.epochs, args.stop_after) == (12, 7)


def test_final_refuses_other_settings_and_folders(selected, tmp_path, capsys):
    folder, config = selected
    for more, sentence in (
        (["--batch", "8", "--extra", "y", "--size", "24x24"], "leave out --batch, --extra, --size"),
        (["--final", str(tmp_path / "none")], "no model folder"),
    ):
        with pytest.raises(SystemExit):
            parse("--final", str(folder), *more)
        assert sentence in capsys.readouterr().err
    config["training"]["final"] = {"like": "x"}
    write_json(folder / CONFIG, config)
    with pytest.raises(SystemExit):
        parse("--final", str(folder))
    assert "name the run that was selected" in capsys.readouterr().err
