"""What the page's endpoints and buttons do, for one loaded classifier."""

import base64
import contextlib
import secrets
from pathlib import Path

import gradio as gr

from model.labels import display_name
from model.page import answer, batch, limits, table
from model.page.texts import ENGLISH, TEXTS, sentence, text
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

    def __init__(self, classifier, folder: Path, model: dict):
        self.classifier, self.folder, self.model = classifier, folder, model
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

    def classify(self, asked: dict) -> dict:
        """Classify for the page: {path, language} to what answer.js shows, or {error: sentence}."""
        asked = asked if isinstance(asked, dict) else {}
        language = asked.get("language")
        language = language if language in [*TEXTS] else ENGLISH
        try:
            with inside(self.room, language):
                prediction = self._classified({"path": str(asked.get("path") or "")}, language)
                return answer.for_page(prediction, self.classifier)
        except gr.Error as error:
            return {"error": error.message}

    def answer_many(self, language: str, files: list[dict] | None, progress=gr.Progress()):
        """Classify pictures and zips of pictures. Returns HTML and a button: the table, or ""; how
        many rows there are of each kind, or why there is no table; the table's CSV to download."""
        labels = self.classifier.labels
        paths = [file["path"] for file in files or []]

        def show(done: int, total: int) -> None:
            progress(done / total, text(language, "batch_progress", done=done, total=total))

        # In the folder for uploads, so that it is deleted with them.
        path = self.folder / secrets.token_hex(16) / "diagnoses.csv"
        try:
            with self.batches:
                rows = batch.most_urgent_first(batch.classify_many(self.classifier, paths, show))
            path.parent.mkdir(parents=True)
            batch.write_csv(rows, path, labels)
        except limits.Busy:
            said = text(language, "error_busy")
        except batch.BatchError as error:
            said = sentence(error, language)
        except OSError:
            said = text(language, "error_disk")
        else:
            download = gr.DownloadButton(value=str(path), interactive=True)
            return table.table(rows, labels, language), table.counts(rows, language), download
        return "", table.refusal(said), gr.DownloadButton(interactive=False)
