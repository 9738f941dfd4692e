"""Classify pictures with a model folder's `model.tflite`; needs neither TensorFlow nor Keras.

from model.classifier import Classifier
classifier = Classifier.from_pretrained("USER/NAME")    # or a folder, such as "model/bundled"
prediction = classifier.predict("lesion.jpg")
prediction.top(3)        # [("nv", 0.93), ("mel", 0.04), ("bkl", 0.02)]
"""

import os
import queue
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from model import cam
from model.folder import (
    BUNDLED,
    CONFIG,
    METRICS,
    TFLITE,
    ModelFolderError,
    read_checksums,
    read_config,
    read_metrics,
    verify,
)
from model.hub.pull import PAGE, README, find
from model.lens import within_lens
from model.preprocessing import open_picture, to_array, turned, upright
from model.quality import REFUSED, quality_notices


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    probabilities: {label: 0..1}, summing to 1, in the model's order of labels
    evidence: float32 [h, w, labels] over the upright picture; its mean over places is the
        calibrated logits
    milliseconds: the network's share of the time
    notices: codes from model/quality.py's CODES
    familiarity: 0..1, how similar the picture is to the training pictures; None if the model
        does not measure it
    picture: what was classified, upright RGB: the picture as `open_picture` returned it, or, with
        the notice "lens", the part of it that `within_lens` kept
    """

    probabilities: dict[str, float]
    evidence: np.ndarray
    milliseconds: float
    notices: list[str] = field(default_factory=list)
    familiarity: float | None = None
    picture: Image.Image | None = None

    @property
    def confident(self) -> bool:
        """Whether the picture is one that the model can judge: it has no notice but "lens"."""
        return not set(self.notices) & set(REFUSED)

    def top(self, k: int = 1) -> list[tuple[str, float]]:
        """The k most probable labels with their probabilities, most probable first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]


class Classifier:
    """A model folder, loaded and checked. Calls from several threads share `workers` interpreters
    of `threads` threads each (default: one per core); an interpreter serves one call at a time.

    Raises ModelFolderError if a file is missing, altered or does not fit the others.
    """

    def __init__(
        self, folder: "str | Path" = BUNDLED, threads: int | None = None, workers: int = 1
    ):
        self.folder = Path(folder)
        self.notice = ""
        self.config = read_config(self.folder)
        if not (self.folder / TFLITE).is_file():
            raise ModelFolderError(
                f"{self.folder} has no {TFLITE}; make it with: python convert.py {self.folder}"
            )
        measured = METRICS in read_checksums(self.folder) or (self.folder / METRICS).exists()
        verify(self.folder, [CONFIG, TFLITE, *([METRICS] if measured else [])])
        if not {"dataset", "images"} <= set(self.config.get("data") or []):
            raise ModelFolderError(f"{self.folder / CONFIG} does not name the training data.")
        self.metrics = read_metrics(self.folder)
        self.labels = self.config["labels"]
        self.height, self.width = self.config["input"]["height"], self.config["input"]["width"]
        # Last in, first out: the interpreter used last is still in the processor's cache.
        self.idle = queue.LifoQueue()
        try:
            for _ in range(workers):
                interpreter = Interpreter(
                    str(self.folder / TFLITE), num_threads=threads or os.cpu_count()
                )
                interpreter.allocate_tensors()
                runner = interpreter.get_signature_runner()
                self.idle.put(runner)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFolderError(f"{self.folder / TFLITE} cannot be loaded: {reason}.") from None
        details = runner.get_input_details() | runner.get_output_details()
        shapes = {name: list(detail["shape"]) for name, detail in details.items()}
        if (
            shapes.get("pixels") != [1, self.height, self.width, 3]
            or shapes.get("probabilities") != [1, len(self.labels)]
            or "evidence" not in shapes
        ):
            raise ModelFolderError(
                f"{self.folder / TFLITE} does not fit {CONFIG}: its tensors are {shapes}. "
                f"Make it again with: python convert.py {self.folder}"
            )
        blank = np.full((self.height, self.width, 3), 128, np.uint8)
        probabilities, evidence, familiarity, _ = self.run(blank)
        numbers = np.isfinite([*probabilities, evidence.sum(), familiarity or 0.0]).all()
        if not numbers or abs(probabilities.sum() - 1) > 0.01 or probabilities.min() < 0:
            raise ModelFolderError(
                f"{self.folder / TFLITE} gives no probabilities; train it again."
            )
        # A blank picture turned by half is the same picture.
        self.blank = float(cam.agreed(evidence, evidence).max())

    @classmethod
    def from_pretrained(
        cls, name: "str | Path" = BUNDLED, threads: int | None = None, workers: int = 1
    ):
        """Load a model folder, or USER/NAME[@REVISION] from the Hub: what serving needs is
        downloaded into the Hub client's cache. `notice` says so if the Hub is out of reach and an
        older copy is served. Raises HubError, a ModelFolderError."""
        pulled = find(name, (*PAGE, README))  # the page offers the card, README.md, to programs
        classifier = cls(pulled.folder, threads, workers)
        classifier.notice = pulled.notice
        return classifier

    def run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None, float]:
        """uint8 [height, width, 3] to probabilities float32 [labels], evidence float32
        [h, w, labels] over `image`, familiarity 0..1 or None, and the network's milliseconds."""
        pixels = image[None].astype(np.float32)
        runner = self.idle.get()
        try:
            start = time.perf_counter()
            out = runner(pixels=pixels)
            milliseconds = (time.perf_counter() - start) * 1000
        finally:
            self.idle.put(runner)
        familiarity = float(out["familiarity"][0]) if "familiarity" in out else None
        return out["probabilities"][0], out["evidence"][0], familiarity, milliseconds

    def predict(self, picture) -> Prediction:
        """Classify a path, bytes, a binary file or a PIL image. Raises PictureError."""
        size = self.height, self.width
        whole = open_picture(picture, *size)
        picture = within_lens(whole)
        probabilities, evidence, familiarity, milliseconds = self.run(to_array(picture, *size))
        notices = quality_notices(picture)
        if picture is not whole:
            notices.append("lens")
        threshold = self.config.get("familiarity", {}).get("threshold")
        if familiarity is not None and threshold is not None and familiarity < threshold:
            notices.append("unfamiliar")
        return Prediction(
            {label: float(p) for label, p in zip(self.labels, probabilities)},
            upright(evidence, picture, *size),
            milliseconds,
            notices,
            familiarity,
            picture,
        )

    __call__ = predict

    def map(self, prediction: Prediction) -> cam.Map:
        """Which places of the prediction's picture speak for each diagnosis. Takes one more run of
        the network, on the picture turned by half."""
        size, picture = (self.height, self.width), prediction.picture
        _, evidence, _, _ = self.run(to_array(picture, *size)[::-1, ::-1])
        strengths = cam.strengths(
            prediction.evidence, upright(evidence, picture, *size), self.blank
        )
        extent = cam.extent(evidence.shape[:2], size)
        return cam.Map(strengths, extent[::-1] if turned(picture, *size) else extent)
