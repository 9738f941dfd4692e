"""The page: its components, what happens when they are used, and how it is served."""

import json
from functools import partial
from pathlib import Path

import gradio as gr

from model.page import answer, batch
from model.page.bodies import BOUNDED
from model.page.calls import Calls
from model.page.endpoints import endpoints
from model.page.examples import read_examples
from model.page.limits import THREADS
from model.page.served import ADDRESS, Files
from model.page.texts import ENGLISH, TEXTS, gradio_words, text
from model.page.uploads import EVERY, KEEP


def build(
    classifier, folder: Path, named: str = "", dataset: str | None = None
) -> tuple[gr.Blocks, dict]:
    """The page for a loaded model, and the keyword arguments for its `launch`.

    `folder` is Gradio's folder for uploads, `named` the model's name as the user gave it, `dataset`
    the source of the example pictures (default: the bundled ones).
    """
    model = answer.identity(classifier, named)
    files = Files(classifier, model, read_examples(classifier.folder, dataset))
    calls = Calls(classifier, folder)
    title = text(ENGLISH, "title")
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(EVERY, KEEP)) as page:
        _page(classifier, calls, files, ENGLISH)
        endpoints(classifier, calls.room, folder, model)
    for language in TEXTS:
        if language != ENGLISH:
            with page.route(text(language, "language"), f"/{language}"):
                _page(classifier, calls, files, language)
    beside = Path(__file__)
    return page, {
        "i18n": gr.I18n(**gradio_words()),
        "theme": theme(),
        "css_paths": beside.with_name("page.css"),
        "head": files.head,
        "footer_links": ["api", "gradio"],
        "max_file_size": batch.MAX_BYTES,
        "run_history": False,
        "enable_monitoring": False,
        "mcp_server": True,
        "state_session_capacity": 300,
        "max_threads": THREADS,
        "app_kwargs": {"routes": files.routes} | BOUNDED,
    }


# Brings the batch's buttons to the top of the window, and with them its progress and answer.
INTO_VIEW = "() => document.getElementById('batch').scrollIntoView()"
PRIVATE = {"api_visibility": "private"}
# Gradio's default is one call at a time; Calls limits concurrency itself. For preprocess=False, see
# Calls.
CLASSIFIES = {"concurrency_limit": None, "preprocess": False}


def _page(classifier, calls: Calls, files: Files, language: str) -> None:
    """The whole page in one language."""
    gr.Navbar(main_page_name=text(ENGLISH, "language"))  # the switch of languages
    html = answer.html(classifier, language)
    begin = _starts(files, f'begin("{language}", {json.dumps([*TEXTS])}, root)')
    gr.HTML(html["title"], js_on_load=begin)
    gr.HTML(html["no_diagnosis"], elem_id="no_diagnosis")
    with gr.Tabs():
        with gr.Tab(text(language, "tab_one")):
            _drawn("one", calls, files, language)
        with gr.Tab(text(language, "tab_private")):
            _drawn("private", calls, files, language)
        with gr.Tab(text(language, "tab_many")):
            _many_pictures(calls, html, language)
        with gr.Tab(text(language, "tab_compare")):
            _drawn("compare", calls, files, language)
    with gr.Accordion(text(language, "glossary_heading"), open=False):
        gr.HTML(html["glossary"])
    gr.HTML(html["about"], elem_classes="small")


def _starts(files: Files, call: str) -> str:
    """JavaScript that calls a function of browser/start.js."""
    return f"""
        const root = window.gradio_config?.root ?? location.origin;
        const address = root.replace(/\\/$/, "") + "{ADDRESS}/{files.version}/start.js";
        import(address).then(start => start.{call});
    """


def _drawn(name: str, calls: Calls, files: Files, language: str) -> None:
    """A tab that a module of `model/page/browser` draws."""

    def classify(request: dict) -> dict:  # Gradio marks the function, which no method allows
        return calls.classify(request)

    gr.HTML(
        html_template=f'<div class="tab {name}"></div>',
        js_on_load=_starts(files, f'draw(element, "{name}", "{language}", {{server, upload}})'),
        server_functions=[classify],
        elem_id=name,
    )


def _many_pictures(calls: Calls, html: dict[str, str], language: str) -> None:
    # No file_types: they go by what the visitor's system knows of endings, so one .hif among the
    # pictures would be refused. `classify_many` judges each file by its content.
    files = gr.File(
        file_count="multiple", label=text(language, "batch_files"), height=140, elem_id="files"
    )
    with gr.Row(elem_id="batch"):
        button = gr.Button(
            text(language, "batch_classify"), variant="primary", size="md", min_width=120
        )
        download = gr.DownloadButton(
            text(language, "batch_csv"), interactive=False, size="md", min_width=120
        )
    # Two components, so that screen readers announce the counts and not the whole table.
    counts = gr.HTML(
        html["batch_empty"], elem_id="counts", js_on_load="element.ariaLive = 'polite'"
    )
    table = gr.HTML(elem_id="table", apply_default_css=False)
    gr.HTML(html["batch_hint"], elem_classes="small")
    button.click(None, js=INTO_VIEW, **PRIVATE)
    button.click(
        partial(calls.answer_many, language),
        files,
        [table, counts, download],
        show_progress_on=counts,
        api_name=f"answer_many_{language}",
        **PRIVATE,
        **CLASSIFIES,
    ).then(None, js=INTO_VIEW, **PRIVATE)


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
