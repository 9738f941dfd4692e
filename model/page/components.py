"""Gradio's parts where ours differ: the picture that is sent, the page around it, its colours."""

import base64
from pathlib import Path

import gradio as gr
from gradio.blocks import BlocksConfig
from gradio.utils import get_upload_folder

from model.page import batch
from model.page.texts import ENGLISH, text


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
        # Gradio checks a path only where the sender marks it as a file's.
        if payload.path:
            path = Path(payload.path).resolve()
            if not path.is_relative_to(Path(get_upload_folder()).resolve()):
                raise gr.Error(text(ENGLISH, "error_request"), print_exception=False)
        return payload.path


class Parts(BlocksConfig):
    """Gradio's list of a page's parts. Each session has a copy, and each call over HTTP a session,
    for which Gradio describes every part anew: 5 to 7 ms of a call. These are described once."""

    def __init__(self, page: gr.Blocks):
        super().__init__(page)
        self.described = {}

    def __copy__(self):
        new = super().__copy__()
        new.config_for_block = self.describe
        return new

    def describe(self, key, rendered, part, renderable=None) -> dict:
        if renderable is not None or self.blocks.get(key) is not part:  # one that was updated
            return self.config_for_block(key, rendered, part, renderable)
        if key not in self.described:
            self.described[key] = self.config_for_block(key, rendered, part)
        known = self.described[key]
        return known | {"props": dict(known["props"])}  # Gradio writes the session's value there


class Page(gr.Blocks):
    """gr.Blocks that answers a request of the wrong shape, or for what is not to be had, with a
    sentence; gr.Blocks itself answers with nothing. Of a list, it looks at no more files than
    batch.py needs to refuse it: gr.Blocks works 0.4 ms on the path of each."""

    def __init__(self, **options):
        super().__init__(**options)
        self.default_config = Parts(self)

    async def preprocess_data(self, function, inputs, *arguments, **options):
        most = batch.MAX_PICTURES + 1
        try:
            inputs = [value[:most] if isinstance(value, list) else value for value in inputs]
            return await super().preprocess_data(function, inputs, *arguments, **options)
        except gr.Error:
            raise
        except Exception:  # Gradio's own, of many kinds
            raise gr.Error(text(ENGLISH, "error_request"), print_exception=False) from None


def theme() -> gr.themes.Base:
    """A quiet one, whose colours keep 4.5:1 in light and dark, with the system's own letters: no
    font comes from elsewhere."""
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
