"""Bodies that are too large, through the real middleware and a small application behind it."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from model.page import batch
from model.page.bodies import BOUNDED, MOST, MOST_UPLOADED, UPLOAD
from model.preprocessing import MAX_BYTES

PICTURE = "The picture is larger than 25 MB. Send a smaller one."
BATCH = "The files are larger than 200 MB in all. Send them in several parts."
CALL = "/gradio_api/run/predict"


@pytest.fixture
def application():
    """A client of the application, and the numbers of bytes that it has read."""
    read = []

    async def answer(request: Request):
        read.append(0)
        async for piece in request.stream():
            read[-1] += len(piece)
        return PlainTextResponse("read")

    routes = [Route(path, answer, methods=["POST"]) for path in (CALL, UPLOAD)]
    return TestClient(Starlette(routes=routes, **BOUNDED)), read


def pieces(size, piece=1_000_000):
    yield from [bytes(piece)] * (size // piece)
    yield bytes(size % piece)


def test_the_largest_picture_fits_as_a_data_url_and_the_largest_batch_as_an_upload():
    assert MOST - MAX_BYTES * 4 / 3 > 100_000
    assert MOST_UPLOADED - batch.MAX_BYTES > batch.MAX_PICTURES * 1000


@pytest.mark.parametrize(
    "path, most, sentence", [(CALL, MOST, PICTURE), (UPLOAD, MOST_UPLOADED, BATCH)]
)
@pytest.mark.parametrize("declared", [True, False])
def test_a_larger_body_is_refused_with_a_sentence(application, path, most, sentence, declared):
    client, read = application
    headers = {"content-length": str(most)} if declared else {}
    reply = client.post(path, content=pieces(most), headers=headers)
    assert (reply.status_code, read) == (200, [most])
    read.clear()
    headers = {"content-length": str(most + 1)} if declared else {}
    reply = client.post(path, content=pieces(most + 1), headers=headers)
    said = reply.text if path == UPLOAD else reply.json()["error"]
    assert (reply.status_code, said) == (413, sentence)
    assert sum(read) <= (0 if declared else most)


def test_the_sentence_is_in_the_language_of_the_page(application):
    headers = {"content-length": str(MOST + 1), "referer": "http://127.0.0.1:7860/id"}
    reply = application[0].post(CALL, content=pieces(MOST + 1), headers=headers)
    assert reply.json() == {"error": "Gambar ini lebih dari 25 MB. Kirim yang lebih kecil."}
