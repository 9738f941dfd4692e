"""The settings of a training run: two recipes, and the command line that train.py takes."""

import argparse

from model.data.artefacts import KINDS
from model.data.batches import BALANCES
from model.folder import ModelFolderError, read_config
from model.hub.push import add_push_arguments
from model.network.backbones import BACKBONES, HEADS, WEIGHTS_DTYPES

RECIPES = {
    # Harahap and Zulkifli, IJECBE 1(2) 2023: Adam 0.01 with epsilon 0.1, flatten and softmax.
    "paper": {
        "head": "flatten",
        "scaling": "unit",
        "optimizer": "adam",
        "learning_rate": 0.01,
        "epsilon": 0.1,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "dropout": 0.0,
        "average": 0.0,
        "batchnorm_momentum": 0.0,
        "augment": 0.7,
        "balance": "oversample",
        "oversample_power": 1.0,
        "batch": 64,
        "epochs": 200,
        "patience": 20,
        "monitor": "val_accuracy",
        "logit_adjust": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
        "backbone_rate": 1.0,
    },
    # batchnorm_momentum: Keras' own 0.99 and more would measure stale statistics in a short run.
    "default": {
        "head": "pooling",
        "scaling": None,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "epsilon": 1e-7,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "warmup_epochs": 1.0,
        "label_smoothing": 0.05,
        "dropout": 0.3,
        "average": 0.99,
        "batchnorm_momentum": 0.9,
        "augment": 1.0,
        "balance": "oversample",
        "oversample_power": 0.5,
        "batch": 32,
        "epochs": 30,
        "patience": None,
        "monitor": "val_balanced_accuracy",
        "logit_adjust": 0.0,
        "mixup": 0.0,
        "cutmix": 0.0,
        "backbone_rate": 1.0,
    },
}

# What these settings are where there is a --teacher, or --artefacts; otherwise they are none.
TEACHING = {"label_share": 0.3, "distill_temperature": 1.0}
DRAWING = {"artefact_share": 0.2}

MONITORS = ("val_balanced_accuracy", "val_accuracy", "val_top_3", "val_loss")
# What says where a run works and where it writes, not how it learns; left out of its record.
ASIDE = (
    "resume",
    "output",
    "cache",
    "size",
    "final",
    "results",
    "no_peak",
    "push_to_hub",
    "private",
    "revision",
    "figures",
)
# What may be said beside --final: it changes no setting, or follows the machine.
BESIDE_FINAL = {*ASIDE, "dataset", "weights", "seed", "devices", "steps_per_execution"} - {"size"}


def parser(description: str) -> argparse.ArgumentParser:
    """train.py's arguments, under `description`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--dataset", default="marmal88/skin_cancer", help="Hub id or local folder")
    add("--label-column", default="dx", help="column of the labels (default: dx)")
    add("--task", choices=("binary",), help="benign against malignant, in place of the labels")
    add(
        "--malignant",
        nargs="+",
        metavar="LABEL",
        help="labels that --task binary counts as malignant (default: mel, bcc and akiec; of other "
        "labels, malignant)",
    )
    add("--split-by", choices=("lesion", "image"), default="lesion")
    add("--limit", type=int, help="use about this many pictures, for a trial")
    add(
        "--extra",
        action="append",
        default=[],
        metavar="FOLDER_OR_ID",
        help="further labelled pictures for the training part; may be said again",
    )
    add("--extra-label-column", default="label", help="their column of labels (default: label)")
    add(
        "--hold-out",
        metavar="CSV",
        help="pictures (its column image_id) to keep out of training and validation, with all "
        "others of their lesions",
    )
    add("--output", required=True, help="the model folder to make, as runs/NAME")
    add("--resume", action="store_true", help="go on from the last whole epoch")
    add("--recipe", choices=RECIPES, default="default")
    add("--final", metavar="FOLDER", help="train as this selected run did, on validation too")
    add("--backbone", choices=BACKBONES, default="inception_resnet_v2")
    add(
        "--weights",
        default="imagenet",
        help="imagenet (default), none, a model folder, a model on the "
        "Hub (USER/NAME[@REVISION]) or a weights file",
    )
    add("--size", help="input as HxW, e.g. 224x299 (default: the backbone's published size)")
    add("--seed", type=int, default=0)
    add("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    add(
        "--weights-dtype",
        default="float32",
        choices=WEIGHTS_DTYPES,
        help="of model.weights.h5; float16 halves it",
    )
    add("--cache", help="folder of decoded pictures (default: ~/.cache/skin-lesion)")
    add(
        "--steps-per-execution",
        type=_steps,
        default=1,
        metavar="N",
        help="steps in one call of the compiled function, or epoch for all of one",
    )
    add("--devices", type=int, default=1, help="train on this many devices (JAX)")
    add("--results", metavar="CSV", help="write the run's row there, as results/runs.csv")
    add("--figures", action="store_true", help="draw the classes and nine pictures too")
    add("--no-peak", action="store_true", help="do not measure what the device can do")
    teach = made.add_argument_group("teachers")
    teach.add_argument(
        "--teacher",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="model folders whose mean answer to the same crop is learned too",
    )
    teach.add_argument(
        "--label-share",
        type=float,
        metavar="SHARE",
        help="of the loss that the labels have beside the teachers (default: 0.3)",
    )
    teach.add_argument(
        "--distill-temperature",
        type=float,
        metavar="T",
        help="softens the answers of teachers and student (default: 1)",
    )
    teach.add_argument(
        "--unlabelled",
        action="append",
        default=[],
        metavar="FOLDER_OR_ID",
        help="pictures to learn from through the teachers alone; may be said again",
    )
    over = made.add_argument_group("settings of the recipe; without them, the recipe's")
    over.add_argument("--balance", choices=BALANCES)
    over.add_argument("--oversample-power", type=float, help="1 equal classes, 0.5 square root")
    over.add_argument("--logit-adjust", type=float, metavar="TAU", help="0 is none, 1 balances")
    over.add_argument("--head", choices=HEADS, help="of the plain networks (cnn_...): published")
    over.add_argument("--batch", type=int)
    over.add_argument("--epochs", type=int)
    over.add_argument("--patience", type=int)
    over.add_argument("--learning-rate", type=float)
    over.add_argument("--weight-decay", type=float)
    over.add_argument(
        "--schedule",
        choices=("constant", "cosine", "plateau"),
        help="of the learning rate; plateau halves it when --monitor got no better for two epochs",
    )
    over.add_argument("--warmup-epochs", type=float)
    over.add_argument("--label-smoothing", type=float)
    over.add_argument("--dropout", type=float)
    over.add_argument("--augment", type=float, help="strength; 0 is none")
    over.add_argument("--colour", type=float, help="its strength in colour (default: as --augment)")
    over.add_argument("--mixup", type=float, metavar="ALPHA", help="0 is none")
    over.add_argument("--cutmix", type=float, metavar="ALPHA", help="0 is none, 1 the most")
    over.add_argument(
        "--average", type=float, help="momentum of the moving average of weights; 0 none"
    )
    over.add_argument("--batchnorm-momentum", type=float, help="0 leaves Keras' own")
    over.add_argument(
        "--backbone-rate",
        type=float,
        metavar="SHARE",
        help="the backbone's share of the learning rate (default: 1)",
    )
    over.add_argument(
        "--artefacts",
        nargs="+",
        choices=KINDS,
        default=[],
        metavar="KIND",
        help=f"draw what dermatoscopes show on the pictures: {', '.join(KINDS)}",
    )
    over.add_argument(
        "--artefact-share",
        type=float,
        metavar="SHARE",
        help="of the pictures, on which each is drawn (default: 0.2)",
    )
    over.add_argument("--monitor", choices=MONITORS, help="what the kept epoch is the best in")
    add_push_arguments(made)
    return made


def parse(description: str, arguments=None) -> argparse.Namespace:
    """train.py's arguments, with the recipe's values where none was said, `height` and `width`,
    and `stop_after`: the epochs to run, which --final takes from the best of the selected run."""
    made = parser(description)
    args = made.parse_args(arguments)
    best = _take_from_selected(made, args, arguments) if args.final else None
    if args.head is None and BACKBONES[args.backbone].filters:
        args.head = "published"
    if args.head == "published" and args.dropout is None:
        args.dropout = BACKBONES[args.backbone].dropout
    for key, value in RECIPES[args.recipe].items():
        if getattr(args, key, None) is None:
            setattr(args, key, value)
    if args.colour is None:
        args.colour = args.augment
    for wanted, defaults in ((args.teacher, TEACHING), (args.artefacts, DRAWING)):
        for key, value in defaults.items() if wanted else ():
            if getattr(args, key) is None:
                setattr(args, key, value)
    size = args.size or "x".join([str(BACKBONES[args.backbone].size)] * 2)
    try:
        args.height, args.width = (int(side) for side in size.lower().split("x"))
    except ValueError:
        made.error(f"--size {size}: say HxW, as 224x299")
    if min(args.height, args.width, args.batch, args.epochs, args.devices) < 1:
        made.error("--size, --batch, --epochs and --devices must be at least 1")
    if args.limit is not None and args.limit < 20:
        made.error("--limit must be at least 20")
    if min(args.mixup, args.cutmix, args.augment, args.colour) < 0 or args.cutmix > 1:
        made.error("--mixup, --cutmix, --augment and --colour are at least 0, --cutmix at most 1")
    if args.mixup and args.cutmix:
        made.error("--mixup and --cutmix exclude each other")
    if (args.mixup or args.cutmix) and args.balance == "class-weight":
        made.error("--mixup and --cutmix do not go with --balance class-weight")
    shares = args.label_share, args.artefact_share, args.backbone_rate
    if not all(0 <= share <= 1 for share in shares if share is not None):
        made.error("--label-share, --artefact-share and --backbone-rate lie between 0 and 1")
    if args.distill_temperature is not None and args.distill_temperature <= 0:
        made.error("--distill-temperature must be above 0")
    if args.unlabelled and not args.teacher:
        made.error("--unlabelled needs a --teacher: the pictures have no labels to learn from")
    if args.malignant and not args.task:
        made.error("--malignant is for --task binary")
    if args.batch % args.devices:
        made.error(f"--batch {args.batch} cannot be shared evenly by {args.devices} devices")
    args.stop_after = best or args.epochs
    return args


def settings_of(args: argparse.Namespace) -> dict:
    """What config.json records of the arguments, and what --resume compares."""
    return {k: v for k, v in vars(args).items() if k not in (*ASIDE, "stop_after")}


def _take_from_selected(made, args, arguments):
    """Put the selected run's settings into `args`; returns its best epoch."""
    try:
        selected = read_config(args.final)["training"]
        size, best = f"{selected['height']}x{selected['width']}", selected["best_epoch"]
    except (ModelFolderError, KeyError) as error:
        made.error(f"--final {args.final}: no run that can be repeated ({error})")
    if "final" in selected:
        made.error(f"--final {args.final}: that one is final; name the run that was selected")
    unsaid = {key: [] for key in vars(args)}  # values that no argument has, each itself alone
    said = made.parse_args(arguments, argparse.Namespace(**unsaid))
    named = {key for key, value in vars(said).items() if value is not unsaid[key]}
    if other := sorted(named - BESIDE_FINAL):
        told = ", ".join("--" + key.replace("_", "-") for key in other)
        made.error(f"--final takes the settings of {args.final}; leave out {told}")
    for key in vars(args).keys() - named - set(ASIDE):
        if key in selected:
            setattr(args, key, selected[key])
    args.size = size
    return best


def _steps(text: str) -> int:
    """A number of steps, or "epoch", which is kept as 0."""
    steps = 0 if text == "epoch" else int(text)
    if steps < 0:
        raise argparse.ArgumentTypeError("must be a number of steps, or epoch")
    return steps
