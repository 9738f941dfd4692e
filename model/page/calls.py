"""What the page's buttons do, for one loaded classifier."""

import secrets
from pathlib import Path

import gradio as gr

from model.cam import LEAST, overlay, shown, strengths
from model.page import answer, batch, limits
from model.page.examples import Example
from model.page.pictures import inside, problem, sent
from model.page.texts import language_of, name, text


def spoken(request: gr.Request) -> str:
    """The language of the page that a request comes from."""
    return language_of(request.headers.get("accept-language"))


class Calls:
    """The methods that page.py wires to components.

    `folder` is Gradio's folder for uploads.

    Files arrive as dicts, Gradio's FileData or ImageData, because of "preprocess=False". Otherwise
    gr.Image would open them itself and answer a file that is not a picture with an error of its
    own, and gr.File would make an empty temporary file for each.
    """

    def __init__(self, classifier, folder: Path, examples: list[Example]):
        self.classifier, self.folder = classifier, folder
        self.examples = examples
        self.room = limits.Room(limits.SEATS, limits.WAITING)
        self.batches = limits.Room(limits.BATCHES, 0)

    def answer_page(self, picture: dict | None, request: gr.Request):
        """Classify a picture for the page. Returns a value for each output in `_one_picture`: the
        summary, the two parts to show, what `switch` needs, the probabilities, the choice of
        diagnosis, the evidence map of the first one, and its description. Raises gr.Error."""
        language, labels = spoken(request), self.classifier.labels
        with inside(self.room, language):
            prediction = self.classifier.predict(sent(picture, self.folder, language))
            # Kept for the session, so that `switch` need not classify again.
            seen = shown(prediction.picture), strengths(prediction.evidence)
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
        items = [(str(e.path), f"{name(language, e.label)}, {e.image_id}") for e in self.examples]
        return gr.Gallery(items), gr.Column(visible=bool(items))

    def take_example(self, event: gr.SelectData):
        """The path of the example that was clicked."""
        return str(self.examples[event.index].path)
