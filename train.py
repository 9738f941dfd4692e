"""Train a skin-lesion classifier: one command, one model folder.

    python train.py --output runs/NAME                                 HAM10000 from the Hub
    python train.py --dataset ../ham10000 --output runs/NAME           or from a local folder
    python train.py --dataset X --trial                                tries everything, in a minute
    python train.py --dataset X --output runs/NAME --resume            continue after a stop

--trial trains a plain network on some 200 small pictures for two epochs, into runs/trial. It shows
that everything runs on this machine, and it measures nothing.

A recipe holds the settings: recipes/default.toml lists and explains them all. --recipe names
another one, in recipes/ or by its path, and --set changes any setting:

    python train.py --dataset X --output runs/NAME --recipe paper
    python train.py --dataset X --output runs/NAME --set augment=0.5 artefacts=hair,ruler

The data set has the columns image, image_id, lesion_id and dx, a diagnosis of HAM10000 by code or
name. HAM10000 as it is on Kaggle, ISIC's ground truth and archive, and PAD-UFES-20 are read as they
come. A backbone can first be trained on any other labelled images, which helps where ImageNet
weights cannot be downloaded:

    python train.py --dataset IMAGES --label-column label --split-by image --output runs/first
    python train.py --dataset X --weights runs/first --output runs/NAME
    python train.py --dataset X --weights USER/NAME --output runs/NAME        a model on the Hub
    python train.py --dataset X --weights model/bundled --output runs/NAME    the bundled model

If that model has the same labels, its head is taken too. In this way, training can continue at
another --size.

--extra adds images of another set to the training part only, except copies and near-copies of
images that the data set has:

    python train.py --dataset X --extra MORE --output runs/NAME

--task binary trains benign against malignant. In HAM10000, mel, bcc and akiec are malignant; for
other labels, name them. The split is stratified by the original labels:

    python train.py --dataset X --task binary --output runs/NAME
    python train.py --dataset IMAGES --label-column label --split-by image --task binary \\
        --set malignant=melanoma --output runs/NAME

Teachers are model folders. They see the same augmented crops. The network learns their mean
prediction as well as the labels; for unlabelled images it learns the prediction alone:

    python train.py --dataset X --teacher runs/A runs/B --unlabelled MORE --output runs/NAME

--hold-out CSV keeps the images it lists, and all others of their lesions, out of training and
validation, so that this model can be compared with others on them.

Once a run is selected by its validation figures, a final run can train on the validation part too.
Settings, number of epochs and calibration are those of the selected run:

    python train.py --final runs/SELECTED --output runs/NAME

Pictures that taught the start weights or a teacher may not be in the validation or test part or
held out: each model folder has a record of those that taught it (model/data/fingerprints.py).

An unfinished run is kept in runs/NAME.training. When it ends, runs/NAME appears with config.json,
model.weights.h5, split.json, fingerprints.npz, history.csv, history.png and README.md. Next:
convert.py, evaluate.py.

KERAS_BACKEND chooses TensorFlow, JAX or PyTorch. --devices N spreads a run over N devices, on JAX.
"""

import os
import sys
from pathlib import Path

from model.packages import check_backend, name_missing

name_missing("requirements-train.txt")

from model.folder import (
    CONFIG,
    ModelFolderError,
    UserError,
    check_file,
    check_free,
    check_writable,
    disk_error,
    new_folder,
    print_any_sign,
    shareable,
    write_checksums,
)
from model.training.recipe import NO_MEASURE, parse, settings_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its own build
# TensorFlow enables oneDNN by itself only on Intel's newer processors. On two cores of AMD it makes
# a step of InceptionResNetV2 (144x192, 32 images, float32) 3.5 times as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def main(arguments=None) -> Path:
    # settings
    args = parse(__doc__, arguments)
    if args.trial:
        print(NO_MEASURE)
    output = Path(args.output)
    check_backend()
    # Imported here, since these take seconds and --help should answer at once.
    from model.data.dataset import default_cache
    from model.evaluation.runs import write_row
    from model.hub.push import check_push, push_if_asked

    # what would otherwise be found out after hours
    check_push(args)
    if (output / CONFIG).exists():
        if not args.resume:
            raise ModelFolderError(f"{output} holds a finished model; choose another --output.")
        print(f"{output} is finished; nothing to resume.")
        push_if_asked(args, output)
        return output
    check_free(output)
    check_writable(output.parent, "--output")
    check_file(args.results, "--results")
    check_writable(args.cache or default_cache(), "--set cache")

    # Keras, and what the run starts with
    from model.network.network import emulates
    from model.training.run_folder import summary, unfinished_run
    from model.training.trainer import spread
    from model.training.weights import start_weights

    host, hosts = spread(args.devices)
    if hosts > 1 and args.budget:
        raise UserError("a budget needs one host, since the clocks of several differ: set epochs")
    if emulates(args.precision):
        print(
            f"This processor has no instructions for --precision {args.precision}: it is many "
            "times as slow here as float32."
        )
    # Keras saves on all hosts at once, so each has a folder of its own.
    work = output.with_name(f"{output.name}.training{f'-{host}' if host else ''}")
    start = start_weights(args.weights)
    words = sys.argv[1:] if arguments is None else arguments
    command = " ".join(["python train.py", *map(shareable, words)])
    with unfinished_run(work, settings_of(args), args.resume):
        config = train(args, command, output, work, start, (host, hosts))
    if host:  # the first host makes the model folder
        return output
    print(summary(config["training"]))
    print(f"{output} is ready; next: python convert.py {output}")
    if args.trial:
        print(NO_MEASURE)
    if args.results:
        write_row(output, args.results)
    push_if_asked(args, output)
    return output


def train(
    args, command: str, output: Path, work: Path, start: Path | None, process: tuple[int, int]
) -> dict | None:
    """Train and make the model folder `output`. Returns the content of its config.json, or None
    from any host but the first.

    `work`: the folder of the unfinished run; `start`: the result of `start_weights`; `process`: the
    number of this process and the number of processes.
    """
    import keras

    from model.data.batches import TrainingBatches, ValidationBatches
    from model.data.prepare import prepare
    from model.hub.card import write_card
    from model.training.ancestors import ancestors
    from model.training.distillation import read_teachers
    from model.training.run_folder import begin_data, config_of, write_run
    from model.training.trainer import compile_model, fit
    from model.training.weights import check_network, fresh_network, start_network

    # data: the decoded parts, and the batches of an epoch
    check_network(args, start)
    keras.utils.set_random_seed(args.seed)
    data = prepare(args)
    begin_data(work, data)
    before = ancestors(args, start, data)
    batches = TrainingBatches(
        data.images,
        data.truth,
        len(data.labels),
        args.batch,
        balance=args.balance,
        power=args.oversample_power,
        passes=args.passes,
        seed=args.seed,
        process=process,
        artefacts=args.artefacts,
        artefact_share=args.artefact_share,
    )
    validation = None
    if not args.final:
        held = data.validation_images, data.validation_truth
        validation = ValidationBatches(*held, len(data.labels), batches.batch, process)

    # model: the network with the weights it starts from, and its teachers
    keras.mixed_precision.set_global_policy(args.precision)
    network, weights = start_network(args, data.labels, start, data.images)
    teachers, taught_by = read_teachers(args.teacher, data.labels, data.images)
    model = compile_model(args, network, batches, teachers)

    # loop: every epoch ends with a state to resume from
    checkpoint = fit(args, model, batches, validation, work, quiet=process[0] > 0)
    if process[0]:
        return None

    # model folder: the best weights, calibrated and described, appear in one step
    if args.devices > 1:
        keras.distribution.set_distribution(None)  # compute on one device from here on
    keras.mixed_precision.set_global_policy("float32")  # in which the weights are read again
    network = fresh_network(args, data.labels)
    network.load_weights(checkpoint.best)
    config = config_of(args, output.name, command, data, network, checkpoint, weights, taught_by)
    with new_folder(output) as folder:
        write_run(folder, args, data, batches, network, checkpoint, config, before)
        write_card(folder)
        write_checksums(folder)
    return config


if __name__ == "__main__":
    print_any_sign()
    try:
        main()
    except UserError as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:
        print(f"train.py: {disk_error(error)}", file=sys.stderr, flush=True)
        os._exit(1)  # HDF5 ends in a segmentation fault over a file that it could not write
