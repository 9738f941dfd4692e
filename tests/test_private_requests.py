"""What the private tab downloads and keeps: the model once, checked, replaced by a newer one; and
that a leaked picture would be noticed. In Gradio's page: test_private_tab.py."""

import shutil

from private_page import (  # noqa: F401
    ISOLATED,
    Bare,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    firefox_fixture,
    load,
    names,
    needs_chromium,
    pictures_fixture,
    recorded,
    tab_fixture,
)

from model.classifier import Classifier
from model.folder import TFLITE, write_checksums
from model.page.answer import TEXTS, probability
from model.page.private import BYTES, File, Files

pytestmark = needs_chromium
T = TEXTS["en"]


LEAKS = {
    "fetch": "fetch('/leak')",
    "beacon": "navigator.sendBeacon('/leak', 'x')",
    "picture": "new Image().src = '/leak'",
    "socket": "new WebSocket('ws://' + location.host + '/leak')",
    "worker": "new Worker(URL.createObjectURL(new Blob([`fetch('${location.origin}/leak')`])))",
    "form": "{ const f = new XMLHttpRequest(); f.open('POST', '/leak'); f.send('x') }",
}


def test_a_request_would_be_seen(tab, bare, pictures):
    tab.goto(bare.url)
    load(tab)
    for way, code in LEAKS.items():
        with recorded(tab) as seen:
            tab.evaluate(f"() => {{ {code} }}")
            choose(tab, pictures / "mel.png")
        assert names(seen) == {"leak"}, way
        tab.locator(".private .share").first.evaluate("e => e.remove()")


KEPT = """async () => {
    const store = await caches.open("lesion-private");
    return Promise.all((await store.keys()).map(async key =>
        [key.url.split("/").pop(), (await (await store.match(key)).blob()).size]));
}"""


def test_new_version_takes_the_place_of_the_old(tab, classifier, pictures, tmp_path):
    old, new = classifier.folder, shutil.copytree(classifier.folder, tmp_path / "new")
    with open(new / TFLITE, "ab") as file:
        file.write(b"\0" * 16)
    write_checksums(new)
    sizes = [(folder / TFLITE).stat().st_size for folder in (old, new)]
    with Bare(classifier).serving() as server:
        tab.goto(server.url)
        load(tab)
        before = dict(tab.evaluate(KEPT))
        server.files = Files(Classifier(new))
        tab.goto(server.url)
        server.requests.clear()
        load(tab)
        after = dict(tab.evaluate(KEPT))
        assert sizes[0] in before.values() and sizes[0] not in after.values()
        assert sizes[1] in after.values() and len(before) == len(after) == 6
        assert [path.rpartition("/")[2] for path in server.requests if "model" in path] == ["model"]
        assert not any(path.endswith("wasm") for path in server.requests)
        choose(tab, pictures / "mel.png")


def test_an_altered_or_failed_download_is_a_sentence_and_can_be_tried_again(
    tab, classifier, pictures
):
    with Bare(classifier).serving() as server:
        tab.goto(server.url)
        alert, button = tab.get_by_role("alert"), tab.locator(".private button.main")
        button.wait_for()
        right = server.files.sent["model"]
        data = bytearray(right.content.read_bytes())
        data[5000] ^= 1
        server.files.sent["model"] = File(bytes(data), BYTES, gzipped=False)
        button.click()
        alert.get_by_text(T["private_altered"]).wait_for()
        assert len(data) not in dict(tab.evaluate(KEPT)).values()
        server.files.sent["model"] = right
        tab.route("**/model", lambda route: route.abort())
        button.click()
        alert.get_by_text(T["private_offline"]).wait_for()
        tab.unroute("**/model")
        assert button.inner_text() == T["private_again"]
        load(tab)
        assert alert.inner_text() == ""
        choose(tab, pictures / "mel.png")
        # Damaged files in the Cache are noticed too, and downloaded again.
        tab.evaluate("""async () => {
            const store = await caches.open("lesion-private");
            for (const key of await store.keys()) await store.put(key, new Response("x"));
        }""")
        tab.reload()
        tab.get_by_text(T["private_ready"]).wait_for()
        choose(tab, pictures / "mel.png")


def test_a_page_older_than_the_server_asks_to_be_reloaded(tab, classifier):
    with Bare(classifier).serving() as server:
        tab.goto(server.url)
        button = tab.locator(".private button.main")
        button.wait_for()
        server.files.version = "another"
        button.click()
        tab.get_by_role("alert").get_by_text(T["private_changed"]).wait_for()


def test_firefox_answers_and_asks_the_network_for_nothing(firefox, classifier, pictures):
    prediction = classifier.predict(pictures / "vasc.png")
    with Bare(classifier).serving() as server:
        for headers in ({}, ISOLATED):
            server.headers = headers
            firefox.go(server.url)
            firefox.evaluate("() => caches.delete('lesion-private')")
            firefox.go(server.url)
            firefox.wait("document.querySelector('.private button.main')")
            assert firefox.evaluate("() => crossOriginIsolated") == bool(headers)
            firefox.evaluate("() => document.querySelector('.private button.main').click()")
            firefox.wait("!document.querySelector('.private .source').hidden")
            asked = {path.rpartition("/")[2] for path in server.requests}
            assert ("threaded.wasm" in asked) == bool(headers)
            server.requests.clear()
            count = "() => performance.getEntriesByType('resource').length"
            before = firefox.evaluate(count)
            firefox.send_file(".private input[type=file]", pictures / "vasc.png")
            firefox.wait("document.querySelectorAll('.private .share').length === 7")
            shown = firefox.evaluate("() => document.querySelector('.private').innerText")
            assert probability(prediction.top()[0][1], "en") in shown
            assert server.requests == [] and firefox.evaluate(count) == before
