"""The models that a run starts from or learns from: which pictures taught them, and that none of
these is one that the run validates with, tests with or holds out."""

from pathlib import Path

from model.data.dataset import data_name
from model.data.fingerprints import Record, known, merged, read_record
from model.data.prepare import Prepared
from model.folder import ModelFolderError, read_config


def ancestors(settings, start: Path | None, data: Prepared) -> Record:
    """The record of all pictures that taught the start weights and teachers of a run. Says for
    which of them there is none.

    `settings`: the arguments of train.py; `start`: the result of `start_weights`. Raises
    ModelFolderError if one of the models was trained on pictures that this run must not see.
    """
    models = [] if settings.weights == "none" else [("--weights", settings.weights, start)]
    models += [("--teacher", folder, Path(folder)) for folder in settings.teacher]
    return merged([_record(*model, data) for model in models])


def _record(option, name, folder, data):
    record = None
    if folder and folder.is_dir():
        config = read_config(folder)
        trained, _, by = known(folder, config, data.held_ids, data.held_fingerprints)
        if trained.any():
            raise ModelFolderError(_refusal(option, name, data.held_ids[trained], by))
        record = read_record(folder)
    record = record or Record(unrecorded=[data_name(name)])
    if record.unrecorded:
        print(
            f"{option} {name}: there is no record of the pictures that taught "
            f"{', '.join(record.unrecorded)}, so this run's validation and test pictures may be "
            "among them"
        )
    return record


def _refusal(option, name, seen, by):
    sentence = (
        f"{option} {name} was trained on {len(seen)} images that this run validates with, tests "
        f"with or holds out (by {by}; the first is {seen[0]}), so its figures would be too good. "
        "Choose a model that was trained on the same parts of the same data set, or take these "
        "images out of the data set."
    )
    if by == "image_id":
        sentence += (
            " If they are other pictures with the same image_id, make the folder's record first: "
            f"python -m model.data.fingerprints {name} --dataset THE_DATA_SET_IT_WAS_TRAINED_ON"
        )
    return sentence
