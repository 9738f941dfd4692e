"""The page: its components, what happens when they are used, and how it is served."""

import json
from pathlib import Path

import gradio as gr

from model.page import answer, batch
from model.page.bodies import BOUNDED
from model.page.calls import Calls
from model.page.endpoints import endpoints
from model.page.examples import read_examples
from model.page.limits import THREADS
from model.page.private import private_tab
from model.page.texts import ENGLISH, text
from model.page.uploads import EVERY, KEEP


def build(
    classifier, folder: Path, named: str = "", dataset: str | None = None
) -> tuple[gr.Blocks, dict]:
    """The page for a loaded model, and the keyword arguments for its `launch`.

    `folder` is Gradio's folder for uploads, `named` the model's name as the user gave it, `dataset`
    the source of the example pictures (default: the bundled ones).
    """
    hub = named.count("/") == 1 and not Path(named).is_dir()
    model = {
        "id": named.partition("@")[0] if hub else classifier.folder.resolve().name,
        "revision": answer.revision(classifier),
    }
    calls = Calls(classifier, folder, read_examples(classifier.folder, dataset))
    i18n = gr.I18n(**answer.translations(classifier))
    title = text(ENGLISH, "title")
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(EVERY, KEEP)) as page:
        gr.HTML(i18n("html_title"))
        gr.HTML(i18n("html_no_diagnosis"), elem_id="no_diagnosis")
        with gr.Tab(i18n("tab_one")):
            _one_picture(i18n, calls, page)
        routes = private_tab(classifier, i18n)
        with gr.Tab(i18n("tab_many")):
            _many_pictures(i18n, calls)
        with gr.Accordion(i18n("glossary_heading"), open=False):
            gr.HTML(i18n("html_glossary"))
        gr.HTML(i18n("html_about"), elem_classes="small")
        endpoints(classifier, calls.room, folder, model)
    beside = Path(__file__)
    return page, {
        "i18n": i18n,
        "theme": theme(),
        "css_paths": beside.with_name("page.css"),
        "js": beside.with_name("page.js").read_text(encoding="utf-8"),
        "footer_links": ["api", "gradio"],
        "max_file_size": batch.MAX_BYTES,
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": True,
        "state_session_capacity": 300,
        "max_threads": THREADS,
        "app_kwargs": {"routes": routes} | BOUNDED,
    }


# Makes screen readers announce changes.
LIVE = "element.ariaLive = 'polite'"
PRIVATE = {"api_visibility": "private"}
# Gradio's default is one call at a time; Calls limits concurrency itself. For preprocess=False, see
# Calls.
CLASSIFIES = {"concurrency_limit": None, "preprocess": False}


def _one_picture(i18n: gr.I18n, calls: Calls, page: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            picture = gr.Image(
                sources=["upload", "webcam", "clipboard"],
                height=320,
                label=i18n("picture"),
                buttons=[],
                elem_id="picture",
            )
            button = gr.Button(i18n("classify"), variant="primary")
            gr.HTML(i18n("html_hints"), elem_classes="small")
        with gr.Column(min_width=300):
            summary = gr.HTML(i18n("html_answer_empty"), elem_id="summary", js_on_load=LIVE)
            with gr.Column(visible=False) as answered:
                shares = gr.Label(
                    label=i18n("probabilities"),
                    num_top_classes=len(calls.classifier.labels),
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

    seen = gr.State(time_to_live=KEEP)
    button.click(
        calls.answer_page,
        picture,
        [summary, answered, explained, seen, shares, choice, image, words],
        show_progress_on=summary,
        scroll_to_output=True,
        **PRIVATE,
        **CLASSIFIES,
    )
    hidden = {"show_progress": "hidden"} | PRIVATE
    # The browser clears the answer itself: a reply from the server could arrive late and clear the
    # answer to the new picture.
    hide, empty = json.dumps(gr.update(visible=False)), json.dumps(str(i18n("html_answer_empty")))
    forget = f"() => [{empty}, {hide}, {hide}]"
    picture.change(None, None, [summary, answered, explained], js=forget, **PRIVATE)
    choice.input(calls.switch, [seen, choice], [image, words], **hidden)
    gallery.select(calls.take_example, None, picture, **hidden)
    page.load(calls.show_examples, None, [gallery, offered], **hidden)


def _many_pictures(i18n: gr.I18n, calls: Calls) -> None:
    # No file_types: they go by what the visitor's system knows of endings, so one .hif among the
    # pictures would be refused. `classify_many` judges each file by its content.
    files = gr.File(file_count="multiple", label=i18n("batch_files"), elem_id="files")
    gr.HTML(i18n("batch_hint"), elem_classes="small")
    with gr.Row():
        button = gr.Button(i18n("batch_classify"), variant="primary")
        download = gr.DownloadButton(i18n("batch_csv"), interactive=False)
    table = gr.HTML(i18n("html_batch_empty"), elem_id="table", js_on_load=LIVE)
    button.click(
        calls.answer_many, files, [table, download], show_progress_on=table, **PRIVATE, **CLASSIFIES
    )


def theme() -> gr.themes.Base:
    """Quiet colours with a contrast of at least 4.5:1 in light and dark mode, and the fonts of the
    system, so that none is loaded from elsewhere."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        color_accent="*primary_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        stat_background_fill="*primary_700",
        stat_background_fill_dark="*primary_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )
