"""Classify pictures with a model folder's `model.tflite`; needs neither TensorFlow nor Keras.

from model.classifier import Classifier
classifier = Classifier.from_pretrained("USER/NAME")    # or a folder, as "model/bundled"
prediction = classifier("lesion.jpg")
prediction.top(3)        # [("nv", 0.93), ("mel", 0.04), ("bkl", 0.02)]
"""

import contextlib
import ctypes
import mmap
import os
import queue
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

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
from model.hub.pull import PAGE, find
from model.preprocessing import open_picture, to_array
from model.quality import REFUSED, quality_notices


@dataclass(frozen=True)
class Prediction:
    """`probabilities` {label: 0..1, summing to 1}, in the model's order of labels; `evidence`
    float32 [h, w, classes], whose mean over places is the calibrated logits; `milliseconds` of
    the network alone; `notices` the codes (model/quality.py's CODES) of what is wrong with the
    picture; `familiarity` 0..1, how like the training pictures it is (model/network/ood.py), None
    where the model does not tell."""

    probabilities: dict[str, float]
    evidence: np.ndarray
    milliseconds: float
    notices: list[str] = field(default_factory=list)
    familiarity: float | None = None

    @property
    def confident(self) -> bool:
        """Whether the picture is one that the model can have an opinion of."""
        return not set(self.notices) & set(REFUSED)

    def top(self, k: int = 1) -> list[tuple[str, float]]:
        """The k likeliest labels with their probabilities, likeliest first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:k]


class Classifier:
    """A model folder, loaded and checked. Calls from several threads take turns at `workers`
    interpreters, each with `threads` threads (default: one a core), as an interpreter serves one
    call at a time.

    Raises ModelFolderError with a sentence where a file is missing, altered or does not fit.
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
        # The last one used comes first: its memory is in the processor's cache.
        self._idle = queue.LifoQueue()
        try:
            for _ in range(workers):
                interpreter = Interpreter(
                    str(self.folder / TFLITE), num_threads=threads or os.cpu_count()
                )
                interpreter.allocate_tensors()
                runner = interpreter.get_signature_runner()
                self._idle.put(runner)
                _release(self.folder / TFLITE)  # before the next one maps it too
        except (ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise ModelFolderError(f"{self.folder / TFLITE} cannot be loaded: {said}.") from None
        details = runner.get_input_details() | runner.get_output_details()
        shapes = {name: list(detail["shape"]) for name, detail in details.items()}
        if (
            shapes.get("pixels") != [1, self.height, self.width, 3]
            or shapes.get("probabilities") != [1, len(self.labels)]
            or "evidence" not in shapes
        ):
            raise ModelFolderError(
                f"{self.folder / TFLITE} does not fit {CONFIG}: its tensors are {shapes}. "
                f"Make it anew with: python convert.py {self.folder}"
            )
        blank = np.full((self.height, self.width, 3), 128, np.uint8)
        probabilities, evidence, familiarity, _ = self.run(blank)
        numbers = np.isfinite([*probabilities, evidence.sum(), familiarity or 0.0]).all()
        if not numbers or abs(probabilities.sum() - 1) > 0.01 or probabilities.min() < 0:
            raise ModelFolderError(f"{self.folder / TFLITE} gives no probabilities; train it anew.")

    @classmethod
    def from_pretrained(
        cls, name: "str | Path" = BUNDLED, threads: int | None = None, workers: int = 1
    ):
        """A model folder, or USER/NAME[@REVISION] on the Hub, of which only what serving needs is
        downloaded, into the Hub client's cache; `notice` then tells whether an older copy serves,
        since the Hub could not be reached. Raises HubError, a ModelFolderError."""
        pulled = find(name, PAGE)
        classifier = cls(pulled.folder, threads, workers)
        classifier.notice = pulled.notice
        return classifier

    def run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float | None, float]:
        """uint8 [height, width, 3] to probabilities float32 [k], evidence float32 [h, w, k],
        familiarity 0..1 or None, and the network's milliseconds."""
        pixels = image[None].astype(np.float32)
        runner = self._idle.get()
        try:
            start = time.perf_counter()
            out = runner(pixels=pixels)
            milliseconds = (time.perf_counter() - start) * 1000
        finally:
            self._idle.put(runner)
        familiarity = float(out["familiarity"][0]) if "familiarity" in out else None
        return out["probabilities"][0], out["evidence"][0], familiarity, milliseconds

    def __call__(self, picture) -> Prediction:
        """Classify a path, bytes, file or PIL image. Raises PictureError with a sentence."""
        upright = open_picture(picture, self.height, self.width)
        probabilities, evidence, familiarity, milliseconds = self.run(
            to_array(upright, self.height, self.width)
        )
        notices = quality_notices(upright)
        threshold = self.config.get("familiarity", {}).get("threshold")
        if familiarity is not None and threshold is not None and familiarity < threshold:
            notices.append("unfamiliar")
        return Prediction(self._named(probabilities), evidence, milliseconds, notices, familiarity)

    def probabilities(self, picture) -> dict[str, float]:
        """Those of __call__ alone; without the notices, 2 ms sooner."""
        upright = open_picture(picture, self.height, self.width)
        return self._named(self.run(to_array(upright, self.height, self.width))[0])

    def _named(self, probabilities: np.ndarray) -> dict[str, float]:
        return {label: float(p) for label, p in zip(self.labels, probabilities)}


def _release(path: Path) -> None:
    """Give back the memory of a mapped file: XNNPACK has a copy of the weights, in its own order,
    and reads the file no more. Whatever is read nevertheless comes from the disk again."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(f" {path.resolve()}"):
                start, end = (int(place, 16) for place in line.split()[0].split("-"))
                ctypes.CDLL(None).madvise(
                    ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED
                )
