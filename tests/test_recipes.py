"""Recipes, options and --set: the settings they give, and the sentences for wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.folder import BUNDLED, COMPACT, CONFIG, FORMAT, read_config, write_json
from model.training import recipe as r

ROOT = Path(__file__).parents[1]


def parse(options=""):
    return r.parse("A test.", ["--output", "runs/x", *options.split()])


def refusal(options, capsys) -> str:
    with pytest.raises(SystemExit):
        parse(options)
    return capsys.readouterr().err


def test_a_recipe_gives_what_was_not_said():
    args = parse("--epochs 3 --set augment=0.5 --size 48x64")
    assert (args.height, args.width, args.epochs, args.stop_after) == (48, 64, 3, 3)
    assert args.colour == 0.5 and args.mixup == args.cutmix == args.logit_adjust == 0
    assert parse("--set colour=0").colour == 0 and parse().augment == 1.0
    assert parse("--recipe paper").learning_rate == 0.01
    assert (parse("--recipe paper").head, parse().head) == ("flatten", "pooling")
    assert (parse().height, parse("--backbone mobilenet").width) == (299, 224)


def test_set_takes_every_kind_of_value():
    args = parse("--set artefacts=hair,ruler figures=true --set patience=7 warmup_epochs=2")
    assert args.artefacts == ["hair", "ruler"] and args.figures is True
    assert args.patience == 7 and args.warmup_epochs == 2.0
    timed = parse("--set budget=2.5 passes=3")
    assert (timed.budget, timed.passes, timed.epochs, timed.stop_after) == (2.5, 3, None, 9999)
    for options in ("--recipe student --epochs 3", "--recipe student --trial --epochs 3"):
        assert (parse(options).budget, parse(options).epochs) == (None, 3)
    assert parse("--recipe student --trial").epochs == 2
    assert parse("--set artefacts=").artefacts == [] and parse("--set epochs=5").epochs == 5


def test_a_recipe_can_be_a_file_of_ones_own(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('epochs = 7\nlearning_rate = 1\nbackbone = "mobilenet"\n')
    args = parse(f"--recipe {mine} --batch 8")
    assert (args.epochs, args.learning_rate, args.backbone, args.batch) == (7, 1.0, "mobilenet", 8)
    assert args.augment == parse().augment


def test_plain_networks_take_their_published_head_unless_told_otherwise():
    args = parse("--backbone cnn_192")
    assert (args.head, args.dropout) == ("published", 0.25)
    args = parse("--backbone cnn_192 --set dropout=0.5")
    assert (args.head, args.dropout) == ("published", 0.5)
    args = parse("--backbone cnn_192 --set head=pooling")
    assert (args.head, args.dropout) == ("pooling", 0.3)
    args = parse("--backbone mobilenet_v2 --set head=published")
    assert (args.head, args.dropout) == ("published", 0.0)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--set mixup=0.2 cutmix=1", "mixup and cutmix exclude each other"),
        ("--set mixup=0.2 balance=class-weight", "exclude balance=class-weight"),
        ("--set cutmix=1.5", "cutmix must be between 0 and 1, not 1.5"),
        ("--devices 0", "--devices must be at least 1, not 0"),
        ("--seed -1", "--seed must be between 0 and 2,000,000,000, not -1"),
        ("--set dropout=2", "dropout must be at least 0 and below 1, not 2.0"),
        ("--set average=1", "average must be at least 0 and below 1"),
        ("--set augment=3.5", "augment must be between 0 and 3"),
        ("--learning-rate nan", "--learning-rate must be above 0, not nan"),
        ("--learning-rate inf", "--learning-rate must be above 0, not inf"),
        ("--set patience=-1", "patience must be at least 0"),
        ("--size 0x8", "--size: height must be at least 1, not 0"),
        ("--batch 30 --devices 4", "--devices 4 cannot share --batch 30 evenly"),
        ("--set steps_per_execution=-1", "steps_per_execution must be at least 0"),
        ("--unlabelled pictures", "--unlabelled needs a --teacher"),
        ("--teacher runs/a --set label_share=1.2", "between 0 and 1"),
        ("--set label_share=0.5", "label_share has no effect without --teacher; leave it out"),
        ("--set distill_temperature=2", "distill_temperature has no effect without --teacher"),
        ("--set extra_label_column=kind", "extra_label_column has no effect without --extra"),
        ("--set artefact_share=0.1", "artefact_share has no effect without artefacts"),
        ("--set balance=none oversample_power=1", "no effect without balance=oversample"),
        ("--set schedule=plateau warmup_epochs=1", "no effect without schedule=cosine"),
        ("--set schedule=plateau budget=5", "budget has no effect without schedule=cosine"),
        ("--recipe student --set schedule=plateau", "budget has no effect without schedule=cosine"),
        ("--epochs 3 --set budget=5", "so --epochs has no effect; leave out one"),
        ("--set budget=0", "budget must be above 0, not 0.0"),
        ("--set optimizer=adam weight_decay=0.1", "no effect without optimizer=adamw"),
        ("--teacher runs/a --set distill_temperature=0", "above 0"),
        ("--set artefacts=hair,snow", "artefacts 'snow' is none of circle, ruler"),
        ("--set malignant=mel", "malignant is for --task binary"),
        ("--set private=true", "private and revision are for --push-to-hub"),
        ("--size big", "--size big: write HxW, such as 224x299"),
        ("--limit 5", "--limit must be at least 20, not 5"),
        ("--set weights=none", "weights is the option --weights"),
        ("--set epoch=3", "no setting 'epoch'; they are artefact_share, artefacts, augment"),
        ("--set epochs=some", "epochs takes a whole number, not 'some'"),
        ("--set figures=1", "figures takes true or false"),
        ("--set augment", "write KEY=VALUE"),
        ("--set optimizer=sgd", "optimizer 'sgd' is none of adam, adamw"),
        ("--recipe mine", "Name a TOML file or one of compact, default, gpu, paper, student"),
        ("--precision float8", "invalid choice: 'float8'"),
    ],
)
def test_wrong_settings_are_named(options, sentence, capsys):
    assert sentence in " ".join(refusal(options, capsys).split())


def test_every_number_has_a_range():
    args = parse("--teacher runs/a --limit 20 --set artefacts=hair patience=1 --epochs 1")
    args.budget = 1.0  # in place of --epochs
    numbers = {name for name, value in vars(args).items() if type(value) in (int, float)}
    checked = [name for _, names in r.RANGES.values() for name in names.split()]
    assert numbers - {"stop_after"} == set(checked) and len(checked) == len(set(checked))


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("epoch = 3", "no setting 'epoch'"),
        ("epochs = 2.5", "epochs takes a whole number"),
        ("balance = 'half'", "is none of none, oversample"),
        ("epochs", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_named(text, sentence, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(text)
    message = refusal(f"--recipe {tmp_path / 'mine.toml'}", capsys)
    assert sentence in message and "mine.toml" in message


def test_a_trial_is_small_in_everything_that_is_not_said():
    args = r.parse("A test.", "--trial --epochs 3".split())
    assert (args.backbone, args.height, args.width, args.limit) == ("cnn_192", 48, 64, 200)
    assert (args.weights, args.output, args.epochs) == ("none", "runs/trial", 3)


def test_options_with_lists_add_up():
    args = parse("--teacher runs/a --teacher runs/b --extra x y --extra z")
    assert (args.teacher, args.extra) == (["runs/a", "runs/b"], ["x", "y", "z"])


def test_settings_of_teachers_and_artefacts_are_none_without_them():
    plain, both = parse(), parse("--teacher runs/a runs/b --set artefacts=hair")
    assert plain.label_share is plain.distill_temperature is plain.artefact_share is None
    assert (both.label_share, both.distill_temperature, both.artefact_share) == (0.3, 1.0, 0.2)
    assert both.teacher == ["runs/a", "runs/b"]


def test_what_is_recorded_is_what_decides_how_the_network_learns():
    recorded = set(r.settings_of(parse()))
    recipe = set(r.read_recipe()) - {"size", "cache", "figures", "private", "revision"}
    assert recipe | {"height", "width"} < recorded
    assert not {"output", "resume", "results", "final", "stop_after", "set"} & recorded


@pytest.mark.parametrize("recipe, folder", [("compact", COMPACT), ("student", BUNDLED)])
def test_the_recipe_of_a_model_is_what_it_was_trained_with(recipe, folder):
    later = {"passes": 1, "budget": None, "noise": 0.0}  # settings that came after one of them
    recorded = later | read_config(folder)["training"]
    options = f"--recipe {recipe} --dataset {recorded['dataset']} --weights {recorded['weights']}"
    for option in ("teacher", "extra", "unlabelled"):
        options += f" --{option} {' '.join(recorded[option])}" if recorded[option] else ""
    settings = r.settings_of(parse(options))
    assert settings.pop("recipe") == recipe
    assert settings == {key: recorded[key] for key in settings}
    assert len(settings) > 40


def test_help_shows_defaults_and_imports_nothing_heavy():
    code = (
        "import sys, train\n"
        "try: train.main(['--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    heavy = "keras tensorflow jax torch datasets sklearn matplotlib huggingface_hub".split()
    assert not set(heavy) & set(done.stderr.split())
    assert "model.training.recipe" in done.stderr.split()
    help_text = " ".join(done.stdout.split())
    for default in ("marmal88/skin_cancer", "default", "imagenet", 30, 32, 0.001, "float32", 0):
        assert f"(default: {default})" in help_text


@pytest.fixture
def selected(tmp_path):
    """config.json of a run with settings of its own, of which epoch 7 was the best."""
    settings = r.settings_of(
        parse(
            "--epochs 12 --batch 16 --size 48x64 --extra more --weights none --dataset here "
            "--set mixup=0.3"
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
    args = parse(f"--final {folder} --dataset there --seed 5 --set figures=true")
    expected = config["training"] | {"dataset": "there", "seed": 5}
    assert r.settings_of(args) | {"best_epoch": 7} == expected
    # The schedule keeps its length: the run stops where the selected one was best.
    assert (args.epochs, args.stop_after, args.figures) == (12, 7, True)


def test_final_repeats_a_run_of_an_earlier_version(selected):
    """It recorded no artefacts and teachers, and settings that are gone."""
    folder, config = selected
    for key in ("artefacts", "artefact_share", "teacher", "label_share", "unlabelled", "hold_out"):
        del config["training"][key]
    config["training"] |= {"backbone_rate": 1.0, "speed": {"tflops": 1.0}}
    write_json(folder / CONFIG, config)
    args = parse(f"--final {folder}")
    assert args.mixup == 0.3 and args.artefacts == args.teacher == [] and args.label_share is None
    assert "backbone_rate" not in r.settings_of(args) and "speed" not in r.settings_of(args)


def test_final_refuses_other_settings_and_folders(selected, tmp_path, capsys):
    folder, config = selected
    message = refusal(f"--final {folder} --batch 8 --extra y --set dropout=0 --size 24x24", capsys)
    assert "leave out --batch, dropout, --extra, --size" in message
    assert "no model folder" in refusal(f"--final {tmp_path / 'none'}", capsys)
    config["training"]["backbone_rate"] = 0.3
    write_json(folder / CONFIG, config)
    assert "backbone_rate is no longer a setting" in refusal(f"--final {folder}", capsys)
    config["training"]["final"] = {"like": "x"}
    write_json(folder / CONFIG, config)
    assert "name the run that was selected" in refusal(f"--final {folder}", capsys)
