"""What the page's endpoints and buttons do, for one loaded classifier."""

import base64
import contextlib
import secrets
from pathlib import Path

import gradio as gr

from model.cam import LEAST, overlay, shown
from model.labels import display_name
from model.page import answer, batch, limits
from model.page.examples import Examples
from model.page.texts import ENGLISH, language_of, name, sentence, text
from model.preprocessing import PictureError


def problem(message: str) -> gr.Error:
    """An error that the page shows and that leaves no stack trace in the log."""
    return gr.Error(message, print_exception=False)


@contextlib.contextmanager
def inside(room: limits.Room, language: str):
    """Hold a seat in `room`. Raises gr.Error, in `language`, if the room is full or if the pictures
    cannot be used."""
    try:
        with room:
            yield
    except limits.Busy:
        raise problem(text(language, "error_busy")) from None
    except (PictureError, batch.BatchError) as error:
        raise problem(sentence(error, language)) from None


def spoken(request: gr.Request) -> str:
    """The language of the page that a request comes from."""
    return language_of(request.headers.get("accept-language"))


def _decoded(url: str) -> bytes:
    """The content of a data: URL; nothing if it is not base64."""
    try:
        return base64.b64decode(url.partition(",")[2])
    except ValueError:
        return b""


class Calls:
    """The methods that page.py wires to components.

    `folder` is Gradio's folder for uploads, `model` is the entry "model" of /analyze's answer.

    Files arrive as dicts, Gradio's FileData or ImageData, because of "preprocess=False". Otherwise
    gr.Image would open them itself and answer a file that is not a picture with an error of its
    own, and gr.File would make an empty temporary file for each.
    """

    def __init__(self, classifier, folder: Path, model: dict, examples: Examples):
        self.classifier, self.folder, self.model = classifier, folder, model
        self.examples = examples
        self.room = limits.Room(limits.SEATS, limits.WAITING)
        self.batches = limits.Room(limits.BATCHES, 0)

    def _classified(self, picture: dict | None, language: str):
        url, path = (picture or {}).get("url") or "", (picture or {}).get("path")
        if url.startswith("data:"):
            return self.classifier.predict(_decoded(url))
        if not path:
            raise problem(text(language, "error_none"))
        # Gradio checks only the paths in data that the sender has marked as a file.
        if not Path(path).resolve().is_relative_to(self.folder.resolve()):
            raise problem(text(language, "error_request"))
        return self.classifier.predict(path)

    def predict(self, picture: dict | None) -> dict[str, float]:
        """Classify a dermatoscopic picture of a skin lesion: {diagnosis: probability}, the most
        probable diagnosis first. This is not a medical diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        with inside(self.room, ENGLISH):
            prediction = self._classified(picture, ENGLISH)
        return {display_name(label): p for label, p in prediction.top(len(self.classifier.labels))}

    def analyze(self, picture: dict | None) -> dict:
        """Classify a dermatoscopic picture of a skin lesion and return everything as JSON: model
        (id, revision), codes and labels of the diagnoses, probabilities by code, suspicious (score,
        threshold, flag), confident, notices (code, text), milliseconds. This is not a medical
        diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        with inside(self.room, ENGLISH):
            prediction = self._classified(picture, ENGLISH)
        return answer.as_json(prediction, self.classifier, self.model)

    def answer_page(self, picture: dict | None, request: gr.Request):
        """Classify a picture for the page. Returns a value for each output in `_one_picture`: the
        summary, the two parts to show, what `switch` needs, the probabilities, the choice of
        diagnosis, the evidence map of the first one, and its description. Raises gr.Error."""
        language, labels = spoken(request), self.classifier.labels
        with inside(self.room, language):
            prediction = self._classified(picture, language)
            # Kept for the session, so that `switch` need not classify again.
            seen = shown(prediction.picture), self.classifier.map(prediction).strengths
            top = prediction.top(1)[0][0]
            image, words = self._map(seen, top, language)
        shares = {name(language, label): p for label, p in prediction.probabilities.items()}
        return (
            answer.summary(prediction, self.classifier.config, language),
            gr.Column(visible=True),
            gr.Row(visible=True),
            seen,
            gr.Label(shares, show_heading=prediction.confident),
            gr.Dropdown([(name(language, label), label) for label in labels], value=top),
            image,
            words,
        )

    def switch(self, seen: tuple | None, label: str, request: gr.Request):
        """The evidence map and the description of another label. `seen` is what `answer_page` kept:
        the picture as shown and its strengths float32 [h, w, k], 0 to 1. Raises gr.Error if it has
        been deleted."""
        language = spoken(request)
        if seen is None:
            raise problem(text(language, "error_gone"))
        return self._map(seen, label, language)

    def _map(self, seen: tuple, label: str, language: str):
        """The evidence for one label over the picture, and what the label means."""
        picture, strength = seen
        strength = strength[..., self.classifier.labels.index(label)]
        alt = "map_alt" if strength.max() > LEAST else "map_none"
        alt = text(language, alt, name=name(language, label))
        return gr.Image(overlay(picture, strength), alt_text=alt), answer.diagnosis(label, language)

    def answer_many(self, files: list[dict] | None, request: gr.Request, progress=gr.Progress()):
        """Classify pictures and zips of pictures: the table as HTML, and a button that downloads
        it as CSV. Raises gr.Error."""
        language, labels = spoken(request), self.classifier.labels
        paths, unit = [file["path"] for file in files or []], text(language, "batch_progress")
        with inside(self.batches, language):
            rows = batch.classify_many(
                self.classifier, paths, lambda done, total: progress((done, total), unit=unit)
            )
        # In the folder for uploads, so that it is deleted with them.
        path = self.folder / secrets.token_hex(16) / "diagnoses.csv"
        try:
            path.parent.mkdir(parents=True)
            batch.write_csv(rows, path, labels)
        except OSError:
            raise problem(text(language, "error_disk")) from None
        download = gr.DownloadButton(value=str(path), interactive=True)
        return answer.table(rows, labels, language), download

    def show_examples(self, request: gr.Request):
        """The gallery of examples, and whether its part of the page is visible."""
        language = spoken(request)
        found = self.examples.read()
        items = [(str(e.path), f"{name(language, e.label)}, {e.image_id}") for e in found]
        return gr.Gallery(items), gr.Column(visible=bool(items))

    def take_example(self, event: gr.SelectData):
        """The path of the example that was clicked."""
        return str(self.examples.read()[event.index].path)
