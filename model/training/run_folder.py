"""The folder of a run: how an unfinished one begins, and what a trained run leaves in its model
folder (weights, config.json, history, figures)."""

import contextlib
import os
import platform
import shutil
import time
from pathlib import Path

import keras
import numpy as np
from filelock import FileLock, Timeout

from model.data.batches import TrainingBatches
from model.data.fingerprints import Record, merged, write_record
from model.data.prepare import Prepared
from model.evaluation.calibration import validated
from model.evaluation.figures import history_figure, write_figures
from model.evaluation.runs import commit
from model.folder import (
    CONFIG,
    FORMAT,
    SPLIT,
    WEIGHTS,
    ModelFolderError,
    read_config,
    read_json,
    shareable,
    write_json,
    write_places,
)
from model.network.backbones import BACKBONES
from model.network.network import backend_device, predict_logits, save_weights
from model.preprocessing import PREPROCESSING
from model.training.callbacks import Checkpoint, write_history
from model.training.recipe import option, settings_of


@contextlib.contextmanager
def unfinished_run(work: Path, settings: dict, resume: bool):
    """Hold `work`, the folder of an unfinished run, while the block trains; see `begin_run`. It is
    removed when the block ends, or fails before an epoch is complete: there is nothing to resume.

    Raises ModelFolderError if another process holds it. Its lock ends with that process.
    """
    work.mkdir(parents=True, exist_ok=True)
    lock, ended = FileLock(work / "lock", blocking=False), False
    try:
        lock.acquire()
    except Timeout:
        raise ModelFolderError(
            f"another process is training in {work}: wait for it, or choose another --output."
        ) from None
    try:
        begin_run(work, settings, resume)
        yield
        ended = True
    finally:
        lock.release()
        if ended or not (work / "state.json").exists():
            shutil.rmtree(work)


def begin_run(work: Path, settings: dict, resume: bool) -> None:
    """Write these settings into `work`, the folder of an unfinished run, or check that it can be
    continued with them. A run that ended before its first epoch was complete starts anew.

    Raises ModelFolderError if there are complete epochs and `resume` is false or the settings
    differ.
    """
    if not (work / "state.json").exists():
        write_json(work / "settings.json", settings)
        return
    if not resume:
        raise ModelFolderError(
            f"{work} holds an unfinished run: continue it with --resume, or remove that folder."
        )
    before = read_json(work / "settings.json")
    changed = [option(key) for key in sorted(settings) if before.get(key) != settings[key]]
    if changed:
        raise ModelFolderError(
            f"{work} was started with other settings of: {', '.join(changed)}. "
            "Resume with the same command, or choose another --output."
        )


def begin_data(work: Path, data: Prepared) -> None:
    """Keep a digest of the data in `work`, the folder of an unfinished run. Raises ModelFolderError
    if there are complete epochs and they were trained on other data."""
    path = work / "data.json"
    before = read_json(path) if path.exists() and (work / "state.json").exists() else data.digests
    for part, (images, digest) in data.digests.items():
        if [images, digest] != before[part]:
            raise ModelFolderError(
                f"The data set has changed since {work} was started: its {part} part had "
                f"{before[part][0]} images and has {images}, not all of them the same. Resume with "
                f"the data set as it was, or remove {work} to start again."
            )
    write_json(path, data.digests)


def write_run(
    folder: Path,
    settings,
    data: Prepared,
    batches: TrainingBatches,
    network: keras.Model,
    checkpoint: Checkpoint,
    config: dict,
    before: Record,
) -> None:
    """Write the files of a run into its model folder, all but README.md and SHA256SUMS.

    `settings`: the arguments of train.py; `network`: with the weights to keep; `config`: the result
    of `config_of`; `before`: that of `ancestors`.
    """
    history = checkpoint.state["rows"]
    save_weights(network, folder / WEIGHTS, settings.weights_dtype)
    write_json(folder / SPLIT, data.split)
    write_record(folder, merged([data.pictures, before]))
    write_json(folder / CONFIG, config)
    write_places(folder, settings_of(settings))
    write_history(history, folder / "history.csv")
    history_figure(history, folder / "history.png")
    if settings.figures:
        write_figures(folder, settings, batches, data.labels)


def config_of(
    settings,
    name: str,
    command: str,
    data: Prepared,
    network: keras.Model,
    checkpoint: Checkpoint,
    weights: dict,
    teachers: list[dict],
) -> dict:
    """The content of config.json for the run `name`. The network is calibrated on the validation
    part. A final run has none and takes the calibrations of the selected run.

    `settings`: the arguments of train.py; `command`: its command line; `network`: with the weights
    to keep; `weights`: the record of `start_network`; `teachers`: that of `read_teachers`.
    """
    history = checkpoint.state["rows"]
    several = f" x {settings.devices}" if settings.devices > 1 else ""
    recorded = settings_of(settings)
    training = {key: shareable(value) for key, value in recorded.items()} | {
        "command": command,
        "epochs_run": len(history),
        "best_epoch": checkpoint.state["best_epoch"],
        "minutes": round(sum(row["seconds"] for row in history) / 60, 1),
        "images_per_second": round(history[-1]["images_per_second"], 1),
        "device": backend_device() + several,
        "machine": f"{os.cpu_count()} x {platform.machine()}",
        "finished": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        **({"teachers": teachers} if teachers else {}),
    }
    if settings.final:
        selected, like = read_config(settings.final), Path(settings.final).name
        # Both, if the selected run was converted: its model.tflite has a calibration of its own.
        kinds = [key for key in ("calibration", "keras_calibration") if key in selected]
        calibrations = {key: selected[key] | {"inherited": like} for key in kinds}
        training["final"] = {
            "like": like,
            "epochs": settings.stop_after,
            "validation": selected["training"]["validation"],
        }
    else:
        calibration, training["validation"] = validated(
            data.labels,
            data.validation_truth,
            predict_logits(network, data.validation_images),
            data.validation_lesions,
        )
        calibrations = {"calibration": calibration}
    scaling = settings.scaling or BACKBONES[settings.backbone].scaling
    size = {"height": settings.height, "width": settings.width}
    return {
        "format": FORMAT,
        "name": name,
        "architecture": settings.backbone,
        "head": settings.head,
        "input": size | {"channels": "RGB", "values": "0-255"},
        "preprocessing": PREPROCESSING | {"scaling": scaling},
        "labels": data.labels,
        **calibrations,
        "data": data.record,
        "weights": weights,
        "training": training,
        "parameters": network.count_params(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "seed": settings.seed,
    }


def summary(training: dict) -> str:
    """The result of a run in two lines; `training`: the part of config.json."""
    speed = f"{training['images_per_second']} images/s"
    if final := training.get("final"):
        return f"{speed}\nepoch {final['epochs']}, the best of {final['like']}, is kept"
    figures = training["validation"]
    return f"{speed}\nbest epoch {training['best_epoch']}: {figures_text(figures)}"


def figures_text(figures: dict) -> str:
    """The two figures by which runs are compared, from `figures` of the validation part."""
    return (
        f"validation top-1 {figures['top_1']['value']:.2%}, balanced accuracy "
        f"{figures['balanced_accuracy']['value']:.3f}"
    )
