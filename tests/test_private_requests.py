"""What the private tab asks the network for: nothing of a picture, and the model once."""

import shutil

from private_page import (  # noqa: F401
    ISOLATED,
    Bare,
    answered,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    coded,
    enter,
    firefox_fixture,
    load,
    needs_chromium,
    page_fixture,
    pictures_fixture,
    recorded,
)
from test_page_browser import opened
from test_space import front_matter

from model.classifier import Classifier
from model.folder import BUNDLED, TFLITE, write_checksums
from model.page.private import ADDRESS, Files
from model.page.texts import TEXTS, probability

pytestmark = needs_chromium
T = TEXTS["en"]


def test_no_request_leaves_while_a_picture_is_classified(chromium, page, pictures):
    with opened(chromium, page) as tab:
        with recorded(tab) as before:
            tab.wait_for_timeout(300)
            enter(tab)
            tab.locator(".private button.main").wait_for()
        asked = [url.rpartition("/")[2] for kind, url in before if ADDRESS in url]
        assert set(asked) == {"page.js", "files.js", "tab.json"}
        with recorded(tab) as loading:
            load(tab)
        asked = {url.rpartition("/")[2] for kind, url in loading if ADDRESS in url}
        assert {"model", "compat.wasm", "compat.js", "litert"} <= asked
        assert not {"threaded.wasm", "threaded.js"} & asked
        with recorded(tab) as after:
            choose(tab, pictures / "vasc.png")
            tab.locator(".private select").select_option("0")
            data = coded((pictures / "mel.png").read_bytes())
            for kind in ("paste", "drop"):
                tab.locator(".private .share").first.evaluate("e => e.remove()")
                tab.evaluate(GIVE, [kind, data])
                answered(tab)
        assert after == []


# A picture pasted into, or dropped on, the page.
GIVE = """([kind, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "lesion.png", {type: "image/png"}));
    const how = {bubbles: true, cancelable: true};
    document.querySelector(".private").dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", {...how, clipboardData: transfer})
        : new DragEvent("drop", {...how, dataTransfer: transfer}));
}"""
LEAKS = {
    "fetch": "fetch('/leak')",
    "beacon": "navigator.sendBeacon('/leak', 'x')",
    "picture": "new Image().src = '/leak'",
    "socket": "new WebSocket('ws://' + location.host + '/leak')",
    "worker": "new Worker(URL.createObjectURL(new Blob([`fetch('${location.origin}/leak')`])))",
    "form": "{ const f = new XMLHttpRequest(); f.open('POST', '/leak'); f.send('x') }",
}


def test_a_request_would_be_seen(chromium, bare, pictures):
    tab = chromium.new_page()
    tab.goto(bare.url)
    load(tab)
    for way, code in LEAKS.items():
        with recorded(tab) as seen:
            tab.evaluate(f"() => {{ {code} }}")
            choose(tab, pictures / "mel.png")
        assert {url.rpartition("/")[2] for kind, url in seen} == {"leak"}, way
        tab.locator(".private .share").first.evaluate("e => e.remove()")
    tab.close()


def test_second_visit_loads_nothing_and_answers_without_a_network(chromium, page, pictures):
    with opened(chromium, page) as tab:
        enter(tab)
        load(tab)
        choose(tab, pictures / "mel.png")
        first = tab.locator(".private .shares").inner_text()
        tab.reload()
        tab.get_by_role("button", name=T["classify"], exact=True).wait_for()
        with recorded(tab) as seen:
            enter(tab)
            tab.get_by_text(T["private_ready"]).wait_for()
        asked = {url.rpartition("/")[2] for kind, url in seen if ADDRESS in url}
        assert asked <= {"page.js", "files.js", "tab.json"}
        tab.context.set_offline(True)
        choose(tab, pictures / "vasc.png")
        assert tab.locator(".private .shares").inner_text() != first
        choose(tab, pictures / "mel.png")
        assert tab.locator(".private .shares").inner_text() == first
        tab.context.set_offline(False)


KEPT = """async () => {
    const store = await caches.open("lesion-private");
    return Promise.all((await store.keys()).map(async key =>
        [key.url.split("/").pop(), (await (await store.match(key)).blob()).size]));
}"""


def test_new_version_takes_the_place_of_the_old(chromium, classifier, pictures, tmp_path):
    folder = shutil.copytree(BUNDLED, tmp_path / "new")
    with open(folder / TFLITE, "ab") as file:
        file.write(b"\0" * 16)
    write_checksums(folder)
    with Bare(classifier).serving() as server:
        tab = chromium.new_page()
        tab.goto(server.url)
        load(tab)
        old = dict(tab.evaluate(KEPT))
        server.files = Files(Classifier(folder))
        tab.goto(server.url)
        server.requests.clear()
        load(tab)
        new = dict(tab.evaluate(KEPT))
        sizes = [(one / TFLITE).stat().st_size for one in (BUNDLED, folder)]
        assert sizes[0] in old.values() and sizes[0] not in new.values()
        assert sizes[1] in new.values() and len(old) == len(new) == 6
        assert [path.rpartition("/")[2] for path in server.requests if "model" in path] == ["model"]
        assert not any(path.endswith("wasm") for path in server.requests)
        choose(tab, pictures / "mel.png")
        tab.close()


def test_what_is_cut_off_altered_or_gone_is_a_sentence_and_can_be_tried_again(
    chromium, classifier, pictures
):
    with Bare(classifier).serving() as server:
        tab = chromium.new_page()
        tab.goto(server.url)
        button = tab.locator(".private button.main")
        button.wait_for()
        right = server.files.sent["model"]
        data = bytearray(right[0].read_bytes())
        data[5000] ^= 1
        server.files.sent["model"] = bytes(data), right[1], False
        button.click()
        tab.get_by_role("alert").get_by_text(T["private_altered"]).wait_for()
        assert len(data) not in dict(tab.evaluate(KEPT)).values()
        server.files.sent["model"] = right
        tab.route("**/model", lambda route: route.abort())
        button.click()
        tab.get_by_role("alert").get_by_text(T["private_offline"]).wait_for()
        tab.unroute("**/model")
        assert button.inner_text() == T["private_again"]
        load(tab)
        assert tab.get_by_role("alert").inner_text() == ""
        choose(tab, pictures / "mel.png")
        # What lies in the Cache is checked too, and fetched anew.
        tab.evaluate("""async () => {
            const store = await caches.open("lesion-private");
            for (const key of await store.keys()) await store.put(key, new Response("x"));
        }""")
        tab.reload()
        tab.get_by_text(T["private_ready"]).wait_for()
        choose(tab, pictures / "mel.png")
        # The server has been renewed since the page was opened.
        tab.evaluate("caches.delete('lesion-private')")
        tab.reload()
        button.wait_for()
        server.files.version = "another"
        button.click()
        tab.get_by_role("alert").get_by_text(T["private_changed"]).wait_for()
        tab.close()


def test_headers_of_the_readme_bring_several_threads_and_the_same_answer(chromium, page, pictures):
    headers = front_matter()["custom_headers"]
    answers = []
    for isolated in (False, True):
        context = chromium.new_context(locale="en-US")
        tab, errors = context.new_page(), []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)

        def add(route):
            response = route.fetch()
            route.fulfill(response=response, headers=response.headers | headers)

        if isolated:
            tab.route(page + "/", add)
        tab.goto(page)
        assert tab.evaluate("crossOriginIsolated") == isolated
        enter(tab)
        with recorded(tab) as seen:
            load(tab)
        asked = {url.rpartition("/")[2] for kind, url in seen}
        assert ("threaded.wasm" in asked) == isolated != ("compat.wasm" in asked)
        choose(tab, pictures / "mel.png")
        answers.append(tab.locator(".private .shares").inner_text())
        assert errors == []
        context.close()
    assert answers[0] == answers[1]


def test_firefox_answers_and_asks_the_network_for_nothing(firefox, classifier, pictures):
    prediction = classifier(pictures / "vasc.png")
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
            said = firefox.evaluate("() => document.querySelector('.private').innerText")
            assert probability(prediction.top()[0][1], "en") in said
            assert server.requests == [] and firefox.evaluate(count) == before
