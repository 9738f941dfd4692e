"""Helpers for the tests of the private tab: browsers, pages with the tab, and a visitor's actions.

A test module imports the fixtures that it needs, `bare_fixture` for `bare` and so on.
"""

import base64
import contextlib
import json
import shutil
import threading
import time

import pytest
import uvicorn
from firefox import Firefox
from made import drawing
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from test_app import served

from model.classifier import Classifier
from model.page.answer import TEXTS
from model.page.private import ADDRESS, BROWSER, Files

needs_chromium = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>private</title>
<script>window.gradio_config = {i18n_translations: TEXTS}; window.base = "BASE";</script>
<div class="private"></div>
<script type="module">
    const page = await import(base + "page.js");
    const pieces = await import(base + "files.js");
    const filled = page.fill(document.querySelector(".private"), base);
    Object.assign(window, {page, pieces, filled});
</script>"""


class Bare:
    """A server of a page with nothing but the private tab, without Gradio: its `url`; the `files`
    it serves now; the page's `headers`; and `requests`, the paths requested so far."""

    def __init__(self, classifier):
        self.files, self.requests, self.headers = Files(classifier), [], {}
        routes = [Route("/", self.page), Route(f"{ADDRESS}/{{version}}/{{name}}", self.file)]
        self.routes = Starlette(routes=[*routes, Route("/{rest:path}", self.other, methods=None)])

    async def page(self, request):
        base = f"{ADDRESS}/{self.files.version}/"
        html = HTML.replace("TEXTS", json.dumps(TEXTS).replace("</", "<\\/"))
        return HTMLResponse(html.replace("BASE", base), headers=self.headers)

    async def file(self, request):
        return await self.files.send(request)

    async def other(self, request):
        return Response(status_code=204)

    async def app(self, scope, receive, send):
        if scope["type"] == "http":
            self.requests.append(scope["path"])
        await self.routes(scope, receive, send)

    @contextlib.contextmanager
    def serving(self):
        config = uvicorn.Config(self.app, port=0, log_level="warning", interface="asgi3")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield self
        server.should_exit = True
        thread.join(10)


def browser_file(name: str) -> str:
    """The source of one of the browser's own files."""
    return (BROWSER / name).read_text(encoding="utf-8")


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module", name="classifier")
def classifier_fixture(trained):
    return Classifier(trained)


@pytest.fixture(scope="module", name="chromium")
def chromium_fixture():
    """Chromium with a fake camera, which a page may use once it is granted the permission."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-fake-device-for-media-stream"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module", name="page")
def page_fixture(trained, tmp_path_factory):
    """The whole page, Gradio's, as app.py serves it."""
    without = str(tmp_path_factory.mktemp("no_examples"))
    with served("--model", str(trained), "--examples", without) as url:
        yield url


@pytest.fixture(scope="module", name="bare")
def bare_fixture(classifier):
    with Bare(classifier).serving() as server:
        yield server


@pytest.fixture(name="tab")
def tab_fixture(chromium):
    """A fresh tab, without anything in the Cache."""
    context = chromium.new_context(locale="en-US")
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module", name="firefox")
def firefox_fixture(tmp_path_factory):
    if not shutil.which("firefox-esr"):
        pytest.skip("firefox-esr is not installed (apt-get install firefox-esr)")
    with Firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


@pytest.fixture(scope="module", name="pictures")
def pictures_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for dx in ("mel", "vasc"):
        drawing(dx, 3, (320, 240)).save(folder / f"{dx}.png")
    drawing("mel", 3, (320, 240)).resize((24, 18)).resize((320, 240)).save(folder / "blurred.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def enter(tab, language="en"):
    """Go to the private tab, before anything is loaded."""
    tab.get_by_role("tab", name=TEXTS[language]["tab_private"], exact=True).click()
    tab.get_by_text(TEXTS[language]["private_lead"]).wait_for()


def load(tab, language="en"):
    tab.locator(".private button.main").click()
    tab.get_by_text(TEXTS[language]["private_ready"]).wait_for()


def choose(tab, picture):
    """Classify a file and wait for the answer."""
    tab.locator(".private input[type=file]").set_input_files(picture)
    answered(tab)


def answered(tab):
    tab.locator(".private .share").nth(6).wait_for()
    tab.locator(".private select").wait_for()


@contextlib.contextmanager
def recorded(tab):
    """Every network request of a tab inside this block, [(kind, url)], workers and beacons
    included. data: and blob: addresses never reach the network and are left out."""
    seen = []

    def note(kind, url):
        if not url.startswith(("data:", "blob:")):
            seen.append((kind, url))

    def request(r):
        note(r.resource_type, r.url)

    def socket(s):
        note("websocket", s.url)

    devtools = tab.context.new_cdp_session(tab)
    devtools.send("Network.enable")
    devtools.on("Network.requestWillBeSent", lambda e: note("devtools", e["request"]["url"]))
    devtools.on("Network.webSocketCreated", lambda e: note("devtools", e["url"]))
    devtools.on("Network.webTransportCreated", lambda e: note("devtools", e["url"]))
    tab.context.on("request", request)
    tab.on("websocket", socket)
    yield seen
    tab.wait_for_timeout(500)
    tab.context.remove_listener("request", request)
    tab.remove_listener("websocket", socket)
    devtools.detach()


def names(requests) -> set[str]:
    """The file names at the ends of recorded requests' addresses."""
    return {url.rpartition("/")[2] for _, url in requests}
