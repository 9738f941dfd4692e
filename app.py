"""The page: a dermatoscopic picture in, seven probabilities out.

    python app.py                          the bundled model, on http://127.0.0.1:7860
    python app.py --model runs/NAME        another model folder; or the environment variable MODEL
    python app.py --model USER/NAME        one on the Hugging Face Hub; USER/NAME@REVISION
    python app.py --share                  with a public link

For programs: gradio_client's `predict(picture, api_name="/predict")`.
"""

import argparse
import base64
import os
import sys

# Before gradio is imported: it reads this once, and no page of ours reports to anyone.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr

from model.classifier import Classifier
from model.folder import BUNDLED, ModelFolderError
from model.labels import display_name
from model.preprocessing import PictureError

TITLE = "Skin lesion classifier"
NO_DIAGNOSIS = (
    "**This is no medical diagnosis.** It is a demonstration of a statistical model, which errs. "
    "Whoever is worried about a spot on the skin should show it to a doctor, whatever the page says."
)


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        default=os.environ.get("MODEL") or str(BUNDLED),
        help="model folder, or USER/NAME[@REVISION] on the Hub (default: MODEL, or the bundled one)",
    )
    parser.add_argument("--share", action="store_true", help="open a public link")
    return parser.parse_args(arguments)


def about(classifier: Classifier) -> str:
    """The model in a few words: backbone, data, and how well it did on pictures it never saw."""
    config, metrics = classifier.config, classifier.metrics
    text = (
        f"Model: {config['architecture']} at {classifier.height} x {classifier.width} pixels, "
        f"trained on {config['data']['dataset']} ({config['data']['images']:,} pictures)."
    )
    measured = metrics.get("tflite")
    if measured and metrics["data"]["part"] == "test":
        top, balanced = measured["top_1"], measured["balanced_accuracy"]
        text += (
            f" On {measured['n']} test pictures of lesions it had not seen it named the diagnosis "
            f"first in {top['value']:.1%} (95 % interval {top['low']:.1%} to {top['high']:.1%}); with "
            f"each diagnosis weighing the same, in {balanced['value']:.1%} ({balanced['low']:.1%} to "
            f"{balanced['high']:.1%})."
        )
    else:
        text += " Its accuracy has not been measured."
    return text


class Picture(gr.Image):
    """gr.Image that hands on the file as it was sent: gr.Image itself opens it with PIL, and
    answers a file that is no picture with a stack trace instead of our sentence."""

    is_template = True  # keep gr.Image's look in the browser

    def preprocess(self, payload):
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                return base64.b64decode(payload.url.partition(",")[2])
            except ValueError:
                return b""
        return payload.path


def build(classifier: Classifier) -> gr.Interface:
    """The page for a loaded model folder."""

    def predict(picture: str | bytes | None) -> dict[str, float]:
        """Classify a dermatoscopic picture: {diagnosis: probability}."""
        if picture is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        try:
            prediction = classifier(picture)
        except PictureError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {display_name(label): p for label, p in prediction.probabilities.items()}

    return gr.Interface(
        predict,
        Picture(
            type="filepath", sources=["upload", "webcam", "clipboard"], label="Dermatoscopic picture",
            height=320,
        ),
        gr.Label(label="Probability of each diagnosis", num_top_classes=len(classifier.labels)),
        title=TITLE,
        description=" ".join([NO_DIAGNOSIS, classifier.notice]).strip(),
        article=about(classifier),
        submit_btn="Classify",
        flagging_mode="never",
        api_name="predict",
        analytics_enabled=False,
        delete_cache=(600, 3600),
    )  # fmt: skip


def main(arguments=None) -> None:
    args = parse(arguments)
    try:
        classifier = Classifier.from_pretrained(args.model)
    except ModelFolderError as error:
        sys.exit(f"app.py: {error}")
    build(classifier).launch(share=args.share)


if __name__ == "__main__":
    main()
