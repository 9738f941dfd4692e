"""The page: a dermatoscopic picture in, its probabilities out, and where the model saw them.

    python app.py                          the bundled model, on http://127.0.0.1:7860
    python app.py --model runs/NAME        another model folder; or the environment variable MODEL
    python app.py --model USER/NAME        one on the Hugging Face Hub; USER/NAME@REVISION
    python app.py --examples FOLDER        the data set to take example pictures from, folder or
                                           Hub id; or the environment variable EXAMPLES
    python app.py --share                  with a public link

For programs, through gradio_client, HTTP, or as MCP tools at /gradio_api/mcp/:
    /predict    picture to {diagnosis: probability}
    /analyze    picture to all there is, as JSON
"""

import argparse
import atexit
import contextlib
import inspect
import os
import secrets
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

# Before gradio is imported: it reads this once, and no page of ours reports to anyone.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Nor does it keep a list of its calls, and statistics of that list after every call.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(10**9)
# Where these are installed, Gradio would import them, 50 MB that the page has no use for: to it
# they are missing. Matplotlib would come with the first call; the examples may read Parquet later.
for unused in ("matplotlib", "pyarrow"):
    sys.modules.setdefault(unused, None)


really = inspect.getfile


def getfile(thing):
    """Gradio parses the source of each component as it is imported, to write type stubs beside it,
    which takes 1.3 of its 4 seconds, but passes over one that has no file."""
    if type(thing).__name__ == "ComponentMeta":
        raise OSError("no stubs are written")
    return really(thing)


inspect.getfile = getfile

import gradio as gr

if sys.modules["pyarrow"] is None:
    del sys.modules["pyarrow"]

from model.cam import LEAST, overlay, shown, strengths, upright
from model.classifier import Classifier
from model.folder import BUNDLED, ModelFolderError
from model.labels import display_name
from model.page import answer, batch
from model.page.components import Page, Picture, theme
from model.page.examples import Example, find_examples
from model.page.limits import Busy, Room, one_arena
from model.page.private import private_tab
from model.page.sweep import EVERY, KEEP, keep_swept
from model.page.texts import ENGLISH, language_of, name, text, translated
from model.preprocessing import PictureError, open_picture

inspect.getfile = really

# Interpreters, of one thread each; calls that work at the same time (one decodes its picture while
# the others' are classified), those that wait for them, and batches at the same time. README.md,
# "Speed", says why these.
INTERPRETERS, SEATS, WAITING, BATCHES = 2, 3, 40, 2
# Gradio's threads: all that may be inside, and some to tell the others at once that it is busy.
THREADS = 64

# Hides the last picture's answer as soon as the picture changes, in the browser alone.
FORGET = """() => [
    '__i18n__{"__type__": "translation_metadata", "key": "html_answer_empty"}',
    {__type__: "update", visible: false}, {__type__: "update", visible: false}]"""


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        default=os.environ.get("MODEL") or str(BUNDLED),
        help="model folder, or USER/NAME[@REVISION] on the Hub "
        "(default: MODEL, or the bundled one)",
    )
    parser.add_argument(
        "--examples",
        default=os.environ.get("EXAMPLES"),
        help="data set for the examples, folder or Hub id (default: EXAMPLES, or the model's own)",
    )
    parser.add_argument("--share", action="store_true", help="open a public link")
    return parser.parse_args(arguments)


def build(classifier: Classifier, named: str = "", examples: str | None = None) -> gr.Blocks:
    """The page for a loaded model folder. `named`: how the user named the model; `examples`: the
    data set of the example pictures, otherwise the one that config.json names."""
    i18n = gr.I18n(**answer.translations(classifier))
    labels = classifier.labels
    identity = {
        "id": named.partition("@")[0]
        if named.count("/") == 1 and not Path(named).is_dir()
        else classifier.folder.resolve().name,
        "revision": answer.revision(classifier),
    }

    room, batches = Room(SEATS, WAITING), Room(BATCHES, 0)

    @contextlib.contextmanager
    def place(inside: Room, language: str):
        try:
            with inside:
                yield
        except Busy:
            raise gr.Error(text(language, "error_busy"), print_exception=False) from None

    def opened(picture: str | bytes | None, language: str):
        try:
            if picture is None:
                raise PictureError(text(ENGLISH, "error_none"))
            return open_picture(picture, classifier.height, classifier.width)
        except PictureError as error:
            raise gr.Error(translated(str(error), language), print_exception=False) from None

    def predict(picture: str | bytes | None) -> dict[str, float]:
        """Classify a dermatoscopic picture of a skin lesion: {diagnosis: probability}. This is no
        medical diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        with place(room, ENGLISH):
            probabilities = classifier.probabilities(opened(picture, ENGLISH))
        return {display_name(label): p for label, p in probabilities.items()}

    def analyze(picture: str | bytes | None) -> dict:
        """Classify a dermatoscopic picture of a skin lesion and give all there is as JSON: model
        (id, revision), codes and labels of the diagnoses, probabilities by code, suspicious (score,
        threshold, flag), confident, notices (code, text), milliseconds. This is no medical
        diagnosis.

        Args:
            picture: JPEG, PNG or WebP of one lesion
        """
        with place(room, ENGLISH):
            prediction = classifier(opened(picture, ENGLISH))
        return answer.as_json(prediction, classifier, identity)

    def draw(seen: tuple, label: str, language: str):
        """The map of one diagnosis from the run that is kept, and what that diagnosis is."""
        picture, strength = seen
        strength = strength[..., labels.index(label)]
        words = "map_alt" if strength.max() > LEAST else "map_none"
        alt = text(language, words, name=name(language, label))
        return gr.Image(overlay(picture, strength), alt_text=alt), answer.diagnosis(label, language)

    def answer_page(picture: str | bytes | None, request: gr.Request):
        language = language_of(request.headers.get("accept-language"))
        with place(room, language):
            whole = opened(picture, language)
            prediction = classifier(whole)
            evidence = upright(prediction.evidence, whole, classifier.height, classifier.width)
            seen = shown(whole), strengths(evidence)
            top = prediction.top(1)[0][0]
            image, words = draw(seen, top, language)
        shares = {name(language, label): p for label, p in prediction.probabilities.items()}
        return (
            answer.summary(prediction, classifier.config, language),
            gr.Column(visible=True),
            gr.Row(visible=True),
            seen,
            gr.Label(shares, show_heading=prediction.confident),
            gr.Dropdown([(name(language, label), label) for label in labels], value=top),
            image,
            words,
        )

    def switch(seen: tuple | None, label: str, request: gr.Request):
        language = language_of(request.headers.get("accept-language"))
        if seen is None:
            raise gr.Error(text(language, "error_gone"), print_exception=False)
        return draw(seen, label, language)

    def answer_many(files: list[str] | None, request: gr.Request, progress=gr.Progress()):
        language = language_of(request.headers.get("accept-language"))
        unit = text(language, "batch_progress")
        try:
            with place(batches, language):
                rows = batch.classify_many(
                    classifier, files or [], lambda done, total: progress((done, total), unit=unit)
                )
        except batch.BatchError as error:
            raise gr.Error(translated(str(error), language), print_exception=False) from None
        # In Gradio's own folder, so that it is swept with the pictures.
        path = Path(download.GRADIO_CACHE) / secrets.token_hex(16) / "diagnoses.csv"
        try:
            path.parent.mkdir(parents=True)
            batch.write_csv(rows, path, labels)
        except OSError:
            raise gr.Error(text(language, "error_disk"), print_exception=False) from None
        found = gr.DownloadButton(value=str(path), interactive=True)
        return answer.table(rows, labels, language), found

    @cache
    def chosen() -> list[Example]:
        source = examples or classifier.config.get("training", {}).get("dataset", "")
        folder = tempfile.mkdtemp(prefix="examples-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return find_examples(classifier.folder, source, folder)

    def show_examples(request: gr.Request):
        language = language_of(request.headers.get("accept-language"))
        items = [(str(e.path), f"{name(language, e.label)}, {e.image_id}") for e in chosen()]
        return gr.Gallery(items), gr.Column(visible=bool(items))

    def take_example(event: gr.SelectData):
        return str(chosen()[event.index].path)

    private = {"api_visibility": "private"}
    # Not one at a time, as Gradio would: the rooms bound how many.
    free = {"concurrency_limit": None}
    with Page(
        title=text(ENGLISH, "title"), analytics_enabled=False, delete_cache=(EVERY, KEEP)
    ) as page:
        page.i18n = i18n
        gr.HTML(i18n("html_title"))
        gr.HTML(i18n("html_no_diagnosis"), elem_id="no_diagnosis")
        with gr.Tab(i18n("tab_one")):
            with gr.Row():
                with gr.Column(min_width=300):
                    picture = Picture(
                        type="filepath",
                        sources=["upload", "webcam", "clipboard"],
                        height=320,
                        label=i18n("picture"),
                        buttons=[],
                        elem_id="picture",
                    )
                    button = gr.Button(i18n("classify"), variant="primary")
                    gr.HTML(i18n("html_hints"), elem_classes="small")
                with gr.Column(min_width=300):
                    summary = gr.HTML(i18n("html_answer_empty"), elem_id="summary")
                    with gr.Column(visible=False) as answered:
                        shares = gr.Label(
                            label=i18n("probabilities"),
                            num_top_classes=len(labels),
                            elem_id="shares",
                        )
            with gr.Row(visible=False) as explained:
                with gr.Column(min_width=300):
                    image = gr.Image(
                        label=i18n("map"),
                        interactive=False,
                        buttons=["fullscreen"],
                        format="webp",
                        height=320,
                    )
                    gr.HTML(i18n("html_legend"))
                with gr.Column(min_width=300):
                    choice = gr.Dropdown(label=i18n("map_for"), interactive=True, filterable=False)
                    words = gr.HTML()
            with gr.Column(visible=False) as offered:
                gallery = gr.Gallery(
                    label=i18n("examples"),
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="examples",
                    height="auto",
                )
                gr.HTML(i18n("examples_credit"), elem_classes="small")
        page.routes = private_tab(classifier, i18n)
        with gr.Tab(i18n("tab_many")):
            files = gr.File(
                file_count="multiple",
                file_types=["image", ".heic", ".heif", ".zip"],
                label=i18n("batch_files"),
                elem_id="files",
            )
            gr.HTML(i18n("batch_hint"), elem_classes="small")
            with gr.Row():
                many = gr.Button(i18n("batch_classify"), variant="primary")
                download = gr.DownloadButton(i18n("batch_csv"), interactive=False)
            table = gr.HTML(i18n("html_batch_empty"), elem_id="table")
        with gr.Accordion(i18n("glossary_heading"), open=False):
            gr.HTML(i18n("html_glossary"))
        gr.HTML(i18n("html_about"), elem_classes="small")

        # The picture and its evidence, for the map of another diagnosis without another run.
        seen = gr.State(time_to_live=KEEP)
        parts = [summary, answered, explained, seen, shares, choice, image, words]
        button.click(
            answer_page,
            picture,
            parts,
            show_progress_on=summary,
            scroll_to_output=True,
            **private,
            **free,
        )
        choice.input(switch, [seen, choice], [image, words], show_progress="hidden", **private)
        picture.change(None, None, [summary, answered, explained], js=FORGET, **private)
        many.click(answer_many, files, [table, download], show_progress_on=table, **private, **free)
        gallery.select(take_example, None, picture, show_progress="hidden", **private)
        page.load(show_examples, None, [gallery, offered], show_progress="hidden", **private)
        # For programs; nothing on the page triggers these two, nor shows their parts.
        sent = Picture(type="filepath", label="Dermatoscopic picture", visible=False)
        named_shares = gr.Label(label="Probability of each diagnosis", visible=False)
        everything = gr.JSON(label="Everything", visible=False)
        gr.on([], predict, sent, named_shares, api_name="predict", **free)
        gr.on([], analyze, sent, everything, api_name="analyze", **free)
    return page


def main(arguments=None) -> None:
    args = parse(arguments)
    one_arena()
    try:
        classifier = Classifier.from_pretrained(args.model, threads=1, workers=INTERPRETERS)
    except ModelFolderError as error:
        sys.exit(f"app.py: {error}")
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "lesion-page")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    keep_swept(folder)
    page = build(classifier, args.model, args.examples)
    beside = Path(answer.__file__)
    page.launch(
        share=args.share,
        i18n=page.i18n,
        theme=theme(),
        css_paths=beside.with_name("page.css"),
        js=beside.with_name("page.js").read_text(encoding="utf-8"),
        footer_links=["api", "gradio"],
        max_file_size=batch.MAX_BYTES,
        run_history=False,
        enable_monitoring=False,
        mcp_server=True,
        state_session_capacity=300,
        max_threads=THREADS,
        app_kwargs={"routes": page.routes},
    )


if __name__ == "__main__":
    main()
