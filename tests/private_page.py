"""Helpers for the tests of the private tab: browsers, pages with the tab, and a visitor's actions.

A test module imports the fixtures that it needs, `bare_fixture` for `bare` and so on.
"""

import base64
import contextlib
import shutil

import pytest
from browsing import launched, serving
from firefox import Firefox
from made import drawing
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from test_app import served

from model.classifier import Classifier
from model.page.served import ADDRESS, BROWSER, Files
from model.page.texts import TEXTS, text

needs_chromium = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>private</title>
<style>[hidden] { display: none !important }</style><div class="private"></div>
<script type="module">
    window.base = "BASE";
    const page = await (await fetch(base + "page.en.json")).json();
    const {fill} = await import(base + "private.js");
    Object.assign(window, await import(base + "device.js"), await import(base + "files.js"));
    fill(document.querySelector(".private"), page, base);
    window.page = page;
</script>"""
MODEL = {"id": "made", "revision": "1"}
HELPERS = """
    self.bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
    self.coded = data => {
        let text = "";
        for (const byte of data) text += String.fromCharCode(byte);
        return btoa(text);
    };
"""
# Starts a worker with one of the page's models, and with `more` code at the end of its own.
START = """async ([file, more]) => {
    const {models, ...rules} = page.private;
    const files = await obtain(wanted(page.files, file), page.files, base, () => {});
    files.worker = new Blob([files.worker, more]);
    window.asking = startWorker(files);
    const settings = {...rules, ...models.find(model => model.file === file)};
    return asking("start", {files, settings});
}"""
ANSWER = "data => asking('classify', {file: new Blob([bytes(data)])})"


class Bare:
    """A server of a page with nothing but the private tab, without Gradio: its `url`; the `files`
    it serves now; the page's `headers`; and `requests`, the paths requested so far."""

    def __init__(self, classifier):
        self.files, self.requests, self.headers = Files(classifier, MODEL), [], {}
        routes = [Route("/", self.page), Route(f"{ADDRESS}/{{version}}/{{name}}", self.file)]
        self.routes = Starlette(routes=[*routes, Route("/{rest:path}", self.other, methods=None)])

    async def page(self, request):
        html = HTML.replace("BASE", f"{ADDRESS}/{self.files.version}/")
        return HTMLResponse(html, headers=self.headers)

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
        with serving(self.app, interface="asgi3") as self.url:
            yield self


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
    with launched("--use-fake-device-for-media-stream") as browser:
        yield browser


@pytest.fixture(scope="module", name="page")
def page_fixture(trained, made):
    """The whole page, Gradio's, as app.py serves it."""
    with served("--model", str(trained), "--examples", str(made)) as url:
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


def ready(tab, key="private_own", language="en"):
    """Wait until a model is on this device and computed by the processor."""
    words = text(language, "private_processor", model=text(language, key))
    tab.locator(".device").get_by_text(words, exact=True).wait_for()


def load(tab, key="private_own", language="en"):
    tab.locator(".device .load").click()
    ready(tab, key, language)


def choose(tab, *pictures, language="en"):
    """Choose files, classify them, and wait for the answer to the last."""
    again = tab.locator(".private").get_by_text(TEXTS[language]["picker_other"], exact=True)
    if again.is_visible():
        again.click()
    tab.locator(".private input[type=file]").set_input_files(pictures)
    classify(tab, language)
    if len(pictures) > 1:
        tab.locator(".results li").nth(len(pictures) - 1).wait_for()
        answered(tab)


def classify(tab, language="en"):
    """Press the button and wait for the answer."""
    tab.locator(".private .source").get_by_text(TEXTS[language]["classify"], exact=True).click()
    answered(tab)


def answered(tab):
    tab.wait_for_function("!document.querySelector('.private [aria-busy=true]')")
    tab.locator(".private .share").nth(6).wait_for()


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
