"""Teachers: trained networks whose predictions another network learns as well as the labels.

This is knowledge distillation (Hinton et al., Distilling the knowledge in a neural network, 2015).
Teachers and student see the same augmented crop, as in Beyer et al., Knowledge distillation: a good
teacher is patient and consistent, CVPR 2022, so the teachers' predictions cannot be computed in
advance. (The teacher of `keras.distillation` sees the image before the student's augmentation.)
"""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from model.evaluation.calibration import keras_calibration
from model.evaluation.runs import data_sets
from model.folder import read_config
from model.network.network import NetworkError
from model.training.weights import read_network, served_only


class Teachers(keras.layers.Layer):
    """The mean probabilities [n, k] of several networks, which are not trained.

    `networks`: pixels [n, height, width, 3], 0-255, each of its own size, to logits [n, k]; images
    of another size are resized. `temperatures`: the calibration of each network.
    """

    def __init__(self, networks: list[keras.Model], temperatures: list[float]):
        super().__init__(dtype="float32", name="teachers")
        self.networks = networks
        # Weights and not constants, so that code compiled for other teachers like these serves too.
        self.temperatures = [
            self.add_weight((), keras.initializers.Constant(temperature), trainable=False)
            for temperature in temperatures
        ]
        self.trainable = False

    def call(self, pictures):
        total = 0.0
        for network, temperature in zip(self.networks, self.temperatures):
            size = network.input.shape[1:3]
            seen = pictures
            if pictures.shape[1:3] != size:
                seen = ops.image.resize(pictures, size, antialias=True, data_format="channels_last")
            logits = ops.cast(network(seen, training=False), "float32")
            total = total + ops.softmax(logits / temperature, axis=-1)
        return ops.stop_gradient(total / len(self.networks))


def divergence(teacher_probabilities, logits, temperature: float = 1.0):
    """The Kullback-Leibler divergence [n] of softmax(logits / T) from the teachers' probabilities,
    times T squared, which keeps the scale of the gradient (Hinton et al. 2015).

    teacher_probabilities: [n, k], before the temperature T softens them too; logits: [n, k].
    """
    log_teacher = ops.log(ops.maximum(teacher_probabilities, 1e-7))
    log_teacher = ops.log_softmax(log_teacher / temperature, axis=-1)
    log_student = ops.log_softmax(ops.cast(logits, "float32") / temperature, axis=-1)
    terms = ops.exp(log_teacher) * (log_teacher - log_student)
    return ops.sum(terms, axis=-1) * temperature**2


def read_teachers(
    folders: list[str], labels: list[str], images: np.ndarray
) -> tuple[Teachers | None, list[dict]]:
    """The teachers of --teacher and their record for config.json; None and [] without folders.

    labels: those of the student, which each teacher must share. images: as in `recover` of
    model/training/recover.py. Raises NetworkError and ModelFolderError.
    """
    networks, temperatures, records = [], [], []
    for folder in map(Path, folders):
        config = read_config(folder)
        if config["labels"] != labels:
            raise NetworkError(
                f"--teacher {folder} knows {', '.join(config['labels'])}; the student learns "
                f"{', '.join(labels)}."
            )
        networks.append(read_network(folder, images)[0])
        recovered = served_only(folder)
        calibration = config["calibration"] if recovered else keras_calibration(config)
        temperatures.append(calibration["temperature"])
        records.append(
            {
                "name": config.get("name") or folder.resolve().name,
                "architecture": config["architecture"],
                "size": f"{config['input']['height']}x{config['input']['width']}",
                "dataset": data_sets(config["data"]),
                "held_out": config["data"].get("held_out"),
            }
        )
    return (Teachers(networks, temperatures) if networks else None), records
