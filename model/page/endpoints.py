"""What the page answers programs: gradio_client, HTTP and MCP."""

from pathlib import Path
from typing import Literal, TypedDict

import gradio as gr

from model.labels import display_name
from model.page import answer
from model.page.limits import Room
from model.page.pictures import inside, problem, sent
from model.page.texts import ENGLISH


class Meta(TypedDict):
    _type: Literal["gradio.FileData"]


class Picture(TypedDict, total=False):
    """A picture as a request names it: `path` is where an upload put it, `url` a data: URL."""

    path: str
    url: str
    meta: Meta


def endpoints(classifier, room: Room, folder: Path, model: dict) -> None:
    """Add /predict, /analyze and /model_card to the page. The first two are MCP tools, the third is
    an MCP resource.

    `folder` is Gradio's folder for uploads, `model` the entry "model" of what /analyze answers.
    Gradio shows the docstrings and the type hints in its documentation. It checks neither.
    """

    def classified(picture):
        with inside(room, ENGLISH):
            return classifier.predict(sent(picture, folder, ENGLISH))

    def predict(picture: Picture) -> dict[str, float]:
        """Classify a dermatoscopic picture of a skin lesion, in Python handle_file("lesion.jpg").
        The answer is {diagnosis: probability}, the most probable diagnosis first. This is not a
        medical diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        prediction = classified(picture)
        return {display_name(label): p for label, p in prediction.top(len(classifier.labels))}

    def analyze(picture: Picture) -> dict:
        """Classify a dermatoscopic picture of a skin lesion, in Python handle_file("lesion.jpg").
        The answer is everything, as JSON: model (id, revision), codes and labels of the diagnoses,
        probabilities by code, suspicious (score, threshold, flag), set (the diagnoses that it may
        be) and sets (the same at the levels "0.8", "0.9" and "0.95"; set is that of "0.9"),
        confident, notices (code, text), milliseconds. This is not a medical diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        return answer.as_json(classified(picture), classifier, model)

    @gr.mcp.resource("card://model", mime_type="text/markdown")
    def model_card() -> str:
        """The model card, as Markdown: what the model was trained on, what it can and cannot do,
        and what was measured. This is not a medical diagnosis."""
        card = classifier.folder / "README.md"
        if not card.is_file():
            raise problem("This model has no card.")
        return card.read_text(encoding="utf-8")

    for function in (predict, analyze, model_card):
        # Gradio's default is one call at a time; Room limits them.
        gr.api(function, concurrency_limit=None)
