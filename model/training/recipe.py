"""The settings of a training run, from train.py's options, a recipe (recipes/*.toml) and --set."""

import argparse
import math
import tomllib
from pathlib import Path

from model.data.artefacts import KINDS
from model.folder import ModelFolderError, UserError, read_config, training_of
from model.network.backbones import BACKBONES, HEADS, SCALINGS, WEIGHTS_DTYPES

RECIPES = Path(__file__).parents[2] / "recipes"

# The options that no recipe sets, and their defaults.
RUN = {
    "dataset": "marmal88/skin_cancer",
    "label_column": "dx",
    "licence": None,
    "task": None,
    "split_by": "lesion",
    "limit": None,
    "trial": False,
    "extra": [],
    "hold_out": None,
    "output": None,
    "resume": False,
    "recipe": "default",
    "final": None,
    "weights": "imagenet",
    "seed": 0,
    "devices": 1,
    "teacher": [],
    "unlabelled": [],
    "results": None,
    "push_to_hub": None,
}
# What --trial sets, where it is not set otherwise.
TRIAL = {
    "backbone": "cnn_192",
    "size": "48x64",
    "epochs": 2,
    "budget": None,
    "limit": 200,
    "weights": "none",
    "output": "runs/trial",
}
NO_MEASURE = (
    "This is a trial: a small network saw a few pictures for a moment. It shows that everything "
    "runs on this machine. Its figures say nothing about the data or about a real training."
)
# The settings of a recipe without a default value, and their types.
OPTIONAL = {
    "size": str,
    "scaling": str,
    "patience": int,
    "budget": float,
    "colour": float,
    "malignant": list,
    "cache": str,
    "revision": str,
}
CHOICES = {
    "backbone": tuple(BACKBONES),
    "head": HEADS,
    "scaling": tuple(SCALINGS),
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "cosine", "plateau"),
    "monitor": ("val_balanced_accuracy", "val_accuracy", "val_top_3", "val_loss"),
    "balance": ("none", "oversample", "class-weight", "under-over"),
    "artefacts": KINDS,
    "weights_dtype": WEIGHTS_DTYPES,
}
# The settings of a recipe that are options too.
OPTIONS = ("backbone", "size", "epochs", "batch", "learning_rate", "precision")
# The numeric settings by what they must be, in words and as a test.
RANGES = {
    "at least 1": (lambda x: x >= 1, "height width batch epochs devices"),
    "at least 20": (lambda x: x >= 20, "limit"),
    "at least 0": (
        lambda x: x >= 0,
        "steps_per_execution patience warmup_epochs weight_decay logit_adjust colour mixup noise",
    ),
    "above 0": (lambda x: x > 0, "learning_rate epsilon passes budget distill_temperature"),
    "at least 0 and below 1": (
        lambda x: 0 <= x < 1,
        "dropout batchnorm_momentum average label_smoothing",
    ),
    "between 0 and 1": (
        lambda x: 0 <= x <= 1,
        "cutmix oversample_power label_share artefact_share",
    ),
    # Keras zooms out by less than 100 %, and 1 is 30 % (model/data/augmentation.py).
    "between 0 and 3": (lambda x: 0 <= x <= 3, "augment"),
    # Some libraries hold seeds in 32 bits, with a sign; augmentation adds up to 6.
    "between 0 and 2,000,000,000": (lambda x: 0 <= x <= 2_000_000_000, "seed"),
}
# Settings that have no effect without another: what they need, in words and as a test.
NEEDS = {
    "label_share": ("--teacher", lambda values: values["teacher"]),
    "distill_temperature": ("--teacher", lambda values: values["teacher"]),
    "extra_label_column": ("--extra", lambda values: values["extra"]),
    "artefact_share": ("artefacts", lambda values: values["artefacts"]),
    "oversample_power": ("balance=oversample", lambda values: values["balance"] == "oversample"),
    "warmup_epochs": ("schedule=cosine", lambda values: values["schedule"] == "cosine"),
    "weight_decay": ("optimizer=adamw", lambda values: values["optimizer"] == "adamw"),
}
# Settings that are not recorded, since the network does not depend on them.
NOT_RECORDED = set(
    "licence output resume trial final results push_to_hub private revision cache figures size "
    "stop_after".split()
)
# Options that may be given with --final: they are not recorded or depend on the machine.
FREE_IN_FINAL = NOT_RECORDED - {"size", "trial"} | set(
    "dataset weights seed devices steps_per_execution".split()
)


class RecipeError(UserError):
    """A setting that does not exist or does not go with the others."""


def parse(description: str, arguments=None) -> argparse.Namespace:
    """train.py's settings from the command line. Wrong ones end the program with a sentence.

    The result has the options, the recipe's settings, `height`, `width` and `stop_after`. The last
    is the number of epochs to run: `epochs`, or with --final the best epoch of the selected run. It
    is 9999 where a `budget` ends the run.
    """
    parser = _parser(description)
    given = vars(parser.parse_args(arguments))
    try:
        return _settings(given)
    except UserError as error:
        parser.error(str(error))


def settings_of(args: argparse.Namespace) -> dict:
    """The settings that config.json records and that --resume compares."""
    return {key: value for key, value in vars(args).items() if key not in NOT_RECORDED}


def option(key: str) -> str:
    """The name of a setting for messages: --learning-rate, or dropout, which --set sets."""
    if key in ("height", "width"):
        return f"--size: {key}"
    return f"--{key.replace('_', '-')}" if key in RUN or key in OPTIONS else key


def read_recipe(name: str = "default") -> dict:
    """The settings of a recipe, given by the name of a file in recipes/ or by a path. Settings that
    it leaves out are those of recipes/default.toml. Raises RecipeError."""
    default = tomllib.loads((RECIPES / "default.toml").read_text(encoding="utf-8"))
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise RecipeError(
            f"--recipe {name}: there is no {path}. Name a TOML file or one of {known}."
        ) from None
    except ValueError as error:
        raise RecipeError(f"--recipe {name}: {path} is not TOML: {error}") from None
    types = _types(default)
    checked = {key: _checked(key, value, types, path) for key, value in own.items()}
    return dict.fromkeys(OPTIONAL) | default | checked


def _parser(description):
    defaults = RUN | read_recipe()
    parser = argparse.ArgumentParser(
        # Short, since it stands above every message about a wrong option.
        usage="train.py --output FOLDER [OPTION ...]   (--help explains the options)",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # so that only options that were given are present
    )

    def add(option, text, **more):
        default = defaults.get(option[2:].replace("-", "_"))
        if isinstance(default, (str, int, float)) and default is not False:
            text += f" (default: {default})"
        parser.add_argument(option, help=text, **more)

    add("--dataset", "Hub id or local folder")
    add("--output", "model folder to make, such as runs/NAME")
    add(
        "--trial",
        "a trial run of everything, which measures nothing: a plain network, 48x64 pixels, two "
        "epochs, about 200 images, into runs/trial; other options still hold",
        action="store_true",
    )
    add("--recipe", "recipe in recipes/, or path of a TOML file")
    add(
        "--set",
        "set any other setting; recipes/default.toml lists them. A list is written a,b",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
    )
    add("--backbone", "network", choices=BACKBONES)
    add(
        "--weights",
        "imagenet, none, a model folder, a model on the Hub (USER/NAME[@REVISION]) or a weights "
        "file",
    )
    add("--size", "input as HxW, such as 224x299 (default: the backbone's published size)")
    add("--epochs", "number of epochs", type=int)
    add("--batch", "images in a batch", type=int)
    add("--learning-rate", "learning rate", type=float)
    add("--precision", "arithmetic", choices=CHOICES["precision"])
    add("--seed", "seed of the random numbers", type=int)
    add("--devices", "train on this many devices (JAX)", type=int)
    add("--label-column", "column of the labels")
    add(
        "--licence",
        "licence of the weights, by its name on the Hub, such as cc-by-4.0 (default: that in the "
        "card of the data set)",
        metavar="NAME",
    )
    add("--task", "benign against malignant instead of the labels", choices=("binary",))
    add("--split-by", "what no two parts may share", choices=("lesion", "image"))
    add("--limit", "use about this many images (default: all)", type=int)
    more = {"nargs": "+", "action": "extend", "metavar": "FOLDER_OR_ID"}
    add("--extra", "more labelled images for the training part", **more)
    add(
        "--hold-out",
        "images (column image_id) to keep out of training and validation, with all others of their "
        "lesions",
        metavar="CSV",
    )
    add(
        "--teacher",
        "model folders whose mean prediction for the same crop is learned too",
        nargs="+",
        action="extend",
        metavar="FOLDER",
    )
    add("--unlabelled", "unlabelled images to learn from the teachers", **more)
    add("--resume", "continue after the last complete epoch", action="store_true")
    add("--final", "train like this selected run, on the validation part too", metavar="FOLDER")
    add("--results", "table to write the run's row to, such as results/runs.csv", metavar="CSV")
    add("--push-to-hub", "model on the Hub to push the folder to", metavar="USER/NAME")
    return parser


def _settings(given) -> argparse.Namespace:
    recipe = read_recipe(given.get("recipe", RUN["recipe"]))
    types = _types(recipe)
    for assignment in given.pop("set", []):
        key, equals, text = assignment.partition("=")
        if not equals:
            raise RecipeError(f"--set {assignment}: write KEY=VALUE")
        given[key] = _checked(key, text, types, "--set")
    values = RUN | recipe | (TRIAL if given.get("trial") else {}) | given
    if not values["output"]:
        raise RecipeError("name the model folder to make: --output runs/NAME")
    for key, (other, there) in NEEDS.items():
        if key in given and not there(values):
            raise RecipeError(f"{key} has no effect without {other}; leave it out")
    best = None
    if values["final"]:
        best = _take_from_selected(values, given)
    else:
        backbone = BACKBONES[values["backbone"]]
        if backbone.filters and "head" not in given:  # a plain network
            values["head"] = "published"
        if values["head"] == "published" and "dropout" not in given:
            values["dropout"] = backbone.dropout
    if values["colour"] is None:
        values["colour"] = values["augment"]
    if not values["teacher"]:
        values["label_share"] = values["distill_temperature"] = None
    if not values["artefacts"]:
        values["artefact_share"] = None
    size = values["size"] or "x".join([str(BACKBONES[values["backbone"]].size)] * 2)
    try:
        values["height"], values["width"] = (int(side) for side in size.lower().split("x"))
    except ValueError:
        raise RecipeError(f"--size {size}: write HxW, such as 224x299") from None
    if "epochs" in given and "budget" not in given:
        values["budget"] = None  # that of the recipe
    if values["budget"] is not None:
        if "epochs" in given:
            raise RecipeError("budget ends the run, so --epochs has no effect; leave out one")
        values["epochs"] = None
    args = argparse.Namespace(**values, stop_after=best or values["epochs"] or 9999)
    _check(args)
    return args


def _check(args):
    """Raise RecipeError for numbers out of range and for values that do not go together."""

    def refuse(wrong, sentence):
        if wrong:
            raise RecipeError(sentence)

    for range_, (within, names) in RANGES.items():
        for name in names.split():
            value = getattr(args, name)
            wrong = value is not None and not (math.isfinite(value) and within(value))
            refuse(wrong, f"{option(name)} must be {range_}, not {value}")
    refuse(
        args.batch % args.devices,
        f"--devices {args.devices} cannot share --batch {args.batch} evenly",
    )
    refuse(
        args.budget is not None and args.schedule != "cosine",
        "budget has no effect without schedule=cosine; leave it out",
    )
    refuse(args.mixup and args.cutmix, "mixup and cutmix exclude each other")
    refuse(
        (args.mixup or args.cutmix) and args.balance == "class-weight",
        "mixup and cutmix exclude balance=class-weight",
    )
    refuse(
        args.unlabelled and not args.teacher,
        "--unlabelled needs a --teacher, since these images have no labels",
    )
    refuse(args.malignant and not args.task, "malignant is for --task binary")
    hub = args.private or args.revision
    refuse(hub and not args.push_to_hub, "private and revision are for --push-to-hub USER/NAME")


def _types(recipe) -> dict:
    return OPTIONAL | {key: type(value) for key, value in recipe.items() if key not in OPTIONAL}


def _checked(key, value, types, where):
    """A setting's value, given as text by --set or read from TOML, as the setting's type. Raises
    RecipeError."""
    if key not in types:
        if key in RUN:
            raise RecipeError(f"{where}: {key} is the option --{key.replace('_', '-')}")
        raise RecipeError(f"{where}: no setting {key!r}; they are {', '.join(sorted(types))}")
    kind = types[key]
    try:
        if isinstance(value, str):
            convert = {bool: _true_or_false, list: lambda text: list(filter(None, text.split(",")))}
            value = convert.get(kind, kind)(value)
        elif kind is float and type(value) is int:
            value = float(value)
        elif type(value) is not kind:
            raise ValueError
    except ValueError:
        named = {int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
        raise RecipeError(
            f"{where}: {key} takes {named.get(kind, 'text')}, not {value!r}"
        ) from None
    for each in value if kind is list else [value]:
        if key in CHOICES and each not in CHOICES[key]:
            raise RecipeError(f"{where}: {key} {each!r} is none of {', '.join(CHOICES[key])}")
    return value


def _true_or_false(text):
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _take_from_selected(values, given) -> int:
    """Put the settings of the run that --final names into `values`; returns its best epoch."""
    final = given["final"]
    try:
        selected = training_of(final, read_config(final))
        size, best = f"{selected['height']}x{selected['width']}", selected["best_epoch"]
    except KeyError as error:
        raise RecipeError(
            f"--final {final} is no run that can be repeated: its config.json has no {error}"
        ) from None
    except ModelFolderError as error:
        raise RecipeError(f"--final {final} is no run that can be repeated ({error})") from None
    if "final" in selected:
        raise RecipeError(f"--final {final}: that run is final; name the run that was selected")
    if selected.get("backbone_rate", 1) != 1:
        raise RecipeError(f"--final {final}: its backbone_rate is no longer a setting")
    if other := sorted(set(given) - FREE_IN_FINAL):
        named = ", ".join(map(option, other))
        raise RecipeError(f"--final takes the settings of {final}; leave out {named}")
    kept = set(given) | NOT_RECORDED
    values |= {key: selected[key] for key in values if key in selected and key not in kept}
    values["size"] = size
    return best
