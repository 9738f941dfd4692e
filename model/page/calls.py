"""What the page's buttons do, for one loaded classifier."""

import secrets
from pathlib import Path

import gradio as gr

from model.page import answer, batch, limits, table
from model.page.pictures import inside, sent
from model.page.texts import ENGLISH, TEXTS, sentence, text


class Calls:
    """The methods that page.py wires to components.

    `folder` is Gradio's folder for uploads.

    Files arrive as Gradio's FileData, because of "preprocess=False". Otherwise gr.File would make
    an empty temporary file for each.
    """

    def __init__(self, classifier, folder: Path):
        self.classifier, self.folder = classifier, folder
        self.room = limits.Room(limits.SEATS, limits.WAITING)
        self.batches = limits.Room(limits.BATCHES, 0)

    def classify(self, asked: dict) -> dict:
        """Classify for the page: {path, language} to what answer.js shows, or {error: sentence}."""
        language = asked.get("language") if isinstance(asked, dict) else None
        language = language if language in [*TEXTS] else ENGLISH
        try:
            with inside(self.room, language):
                prediction = self.classifier.predict(sent(asked, self.folder, language))
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
