"""Refuses a request whose body is larger than any picture or batch, before it is read.

page.launch(app_kwargs=BOUNDED)
"""

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from model.page import batch
from model.page.texts import language_of, text
from model.preprocessing import MAX_BYTES

AROUND = 1_000_000  # bytes around the pictures: JSON, or a header for each file of a batch
UPLOAD = "/gradio_api/upload"
# A data URL takes four bytes for each three of the picture.
MOST, MOST_UPLOADED = MAX_BYTES * 4 // 3 + AROUND, batch.MAX_BYTES + AROUND


async def too_large(request: Request, _: Exception | None = None) -> Response:
    """Status 413 and a sentence, in the language of the page that the request comes from: as JSON,
    or for an upload as plain text, which Gradio shows as it is."""
    language = language_of(request.headers.get("referer"))
    if request.scope["path"] == UPLOAD:
        said = text(language, "error_batch_large", megabytes=batch.MAX_BYTES // 1_000_000)
        return PlainTextResponse(said, status_code=413)
    said = text(language, "error_bytes", megabytes=MAX_BYTES // 1_000_000)
    return JSONResponse({"error": said}, status_code=413)


class Bounded:
    """ASGI middleware: at most MOST_UPLOADED bytes for Gradio's uploads, and MOST for any other
    request. Larger bodies are refused by their Content-Length; without one, they are counted."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        most = MOST_UPLOADED if scope["path"] == UPLOAD else MOST
        if int(request.headers.get("content-length", 0)) > most:
            response = await too_large(request)
            return await response(scope, receive, send)
        await RequestBodyLimitMiddleware(self.app, most)(scope, receive, send)


BOUNDED = {"middleware": [Middleware(Bounded)], "exception_handlers": {413: too_large}}
