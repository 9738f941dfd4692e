"""Pictures as requests name them, and the errors that a visitor reads."""

import base64
import contextlib
from pathlib import Path

import gradio as gr

from model.page import limits
from model.page.batch import BatchError
from model.page.texts import sentence, text
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
    except (PictureError, BatchError) as error:
        raise problem(sentence(error, language)) from None


def sent(picture, folder: Path, language: str) -> "bytes | str":
    """What a classifier can read of the picture that a request names: a dict such as Gradio's
    FileData, with a data: URL as "url", or with the "path" of a file in `folder`, Gradio's for
    uploads. Raises gr.Error, in `language`, for anything else that a request may send."""
    if picture and not isinstance(picture, dict):
        raise problem(text(language, "error_request"))
    url, path = (picture or {}).get("url"), (picture or {}).get("path")
    if isinstance(url, str) and url.startswith("data:"):
        return _decoded(url)
    if not path:
        raise problem(text(language, "error_none"))
    # Gradio checks only the paths in data that the sender has marked as a file.
    if not _is_within(path, folder):
        raise problem(text(language, "error_request"))
    return path


def _is_within(path, folder: Path) -> bool:
    try:
        return Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, TypeError, ValueError):  # no path at all, or none that a system can have
        return False


def _decoded(url: str) -> bytes:
    """The content of a data: URL; nothing if it is not base64."""
    try:
        return base64.b64decode(url.partition(",")[2])
    except ValueError:
        return b""
