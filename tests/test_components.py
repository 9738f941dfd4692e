"""Gradio's parts where ours differ."""

import inspect

import gradio as gr
import matplotlib  # noqa: F401  app.py hides these two from Gradio where nothing has imported them
import pyarrow  # noqa: F401
from gradio.blocks import BlocksConfig
from gradio.state_holder import SessionState

import app
from model.classifier import Classifier
from model.folder import BUNDLED


def test_sessions_are_told_what_gradio_would_tell_them():
    page = app.build(Classifier.from_pretrained(BUNDLED), "model/bundled")
    expected = {
        key: BlocksConfig.config_for_block(key, [], part) for key, part in page.blocks.items()
    }
    assert len(expected) > 30
    one = SessionState(page)
    assert one.config_values == expected
    (key,) = (key for key, part in page.blocks.items() if getattr(part, "elem_id", 0) == "summary")
    one._update_value_in_config(key, "of one session")
    one[key] = gr.HTML("another part")
    one._update_config(key)
    assert one.config_values[key]["props"]["value"] == "another part"
    one._update_value_in_config(key, "of one session")
    assert SessionState(page).config_values == expected
    assert page.default_config.get_config()["components"] == list(expected.values())


def test_files_of_components_are_found_again():
    assert inspect.getfile(gr.Image).endswith("image.py")
