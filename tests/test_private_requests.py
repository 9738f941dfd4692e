"""What the private tab downloads and keeps: the model once, checked, replaced by a newer one; and
that a leaked picture would be noticed. In Gradio's page: test_private_tab.py."""

import shutil

from private_page import (  # noqa: F401
    ISOLATED,
    MODEL,
    Bare,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    classify,
    firefox_fixture,
    load,
    names,
    needs_chromium,
    pictures_fixture,
    ready,
    recorded,
    tab_fixture,
)

from model.classifier import Classifier
from model.folder import BUNDLED, TFLITE, write_checksums
from model.page.served import BYTES, ON_DEMAND, File, Files
from model.page.texts import TEXTS, probability, text

pytestmark = needs_chromium
T = TEXTS["en"]
ON_PROCESSOR = text("en", "private_processor", model=T["private_own"])


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
        server.files = Files(Classifier(new), MODEL)
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
        alert, button = tab.locator(".device [role=alert]"), tab.locator(".device .load")
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
        ready(tab)
        choose(tab, pictures / "mel.png")


def test_a_page_older_than_the_server_asks_to_be_reloaded(tab, classifier):
    with Bare(classifier).serving() as server:
        tab.goto(server.url)
        button = tab.locator(".device .load")
        button.wait_for()
        server.files.version = "another"
        button.click()
        tab.locator(".device [role=alert]").get_by_text(T["private_changed"]).wait_for()


def test_firefox_answers_and_asks_the_network_for_nothing(firefox, classifier, pictures):
    prediction = classifier.predict(pictures / "vasc.png")
    with Bare(classifier).serving() as server:
        for headers in ({}, ISOLATED):
            server.headers = headers
            firefox.go(server.url)
            firefox.evaluate("() => caches.delete('lesion-private')")
            firefox.go(server.url)
            firefox.wait("document.querySelector('.device .load:not([hidden])')")
            assert firefox.evaluate("() => crossOriginIsolated") == bool(headers)
            firefox.evaluate("() => document.querySelector('.device .load').click()")
            firefox.wait(f"document.querySelector('.device').innerText.includes({ON_PROCESSOR!r})")
            asked = {path.rpartition("/")[2] for path in server.requests}
            assert ("threaded.wasm" in asked) == bool(headers)
            server.requests.clear()
            count = "() => performance.getEntriesByType('resource').length"
            before = firefox.evaluate(count)
            firefox.send_file(".private input[type=file]", pictures / "vasc.png")
            firefox.evaluate("() => document.querySelector('.source > .row button.main').click()")
            firefox.wait("document.querySelectorAll('.private .share').length === 7")
            shown = firefox.evaluate("() => document.querySelector('.private').innerText")
            assert probability(prediction.top()[0][1], "en") in shown
            assert server.requests == [] and firefox.evaluate(count) == before


def test_a_second_model_is_loaded_alone_and_both_are_kept(tab, pictures):
    with Bare(Classifier(BUNDLED)).serving() as server:
        tab.set_default_timeout(120_000)
        tab.goto(server.url)
        tab.locator(".device .load").wait_for()
        small, own = tab.get_by_role("radio").all()
        assert small.is_checked()
        load(tab, "private_small")
        assert loaded(server) == {
            "compact",
            "compat.wasm",
            "compat.js",
            "litert",
            "picture",
            "worker",
        }
        choose(tab, pictures / "mel.png")
        first = tab.locator(".private .answer").inner_text()
        server.requests.clear()
        own.check()
        assert tab.locator(".private .share").count() == 0
        load(tab, "private_own")
        assert loaded(server) == {"model"}
        classify(tab)
        assert tab.locator(".private .answer").inner_text() != first
        server.requests.clear()
        small.check()
        ready(tab, "private_small")
        classify(tab)
        assert tab.locator(".private .answer").inner_text() == first
        assert server.requests == [] and len(tab.evaluate(KEPT)) == 7


def loaded(server) -> set[str]:
    """The names of what was requested, without what a page loads to be drawn."""
    seen = {path.rpartition("/")[2] for path in server.requests}
    return {name for name in seen if name in ON_DEMAND or name in ("model", "compact")}
