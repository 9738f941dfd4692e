"""The private tab in Gradio's page, as a visitor sees it: wide and narrow, by keyboard, offline;
and what it says where the browser falls short."""

import html
import re

import pytest
from private_page import (  # noqa: F401
    answered,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    coded,
    enter,
    load,
    names,
    needs_chromium,
    page_fixture,
    pictures_fixture,
    recorded,
    tab_fixture,
)
from test_page_browser import DESKTOP, PHONE, opened, serious, visit
from test_space import front_matter

from model.page import answer
from model.page.answer import TEXTS, name, probability, text
from model.page.private import ADDRESS

pytestmark = needs_chromium
T = TEXTS["en"]
ENGLISH = r"\b(the|and|of|with|is|are|this|use|via|drop|here|click|load|choose|camera|paste)\b"


@pytest.mark.parametrize(
    "viewport, scheme, language", [(DESKTOP, "light", "en"), (PHONE, "dark", "id")]
)
def test_from_the_model_to_the_answer(
    chromium, page, classifier, pictures, viewport, scheme, language
):
    t = TEXTS[language]
    prediction = classifier.predict(pictures / "vasc.png")
    top, p = prediction.top()[0]
    with opened(chromium, page, language, viewport=viewport, color_scheme=scheme) as tab:
        enter(tab, language)
        size = text(language, "private_load", megabytes="@").split("@")[0]
        tab.get_by_role("button", name=re.compile(re.escape(size))).wait_for()
        assert serious(tab) == []
        load(tab, language)
        choose(tab, pictures / "vasc.png")
        # All but the last sentence, which holds the milliseconds.
        boxes = answer.summary(prediction, classifier.config, language).partition('<p class="small')
        expected = html.unescape(re.sub("<[^>]*>", " ", boxes[0])).split()
        shown = tab.locator(".private .verdict").inner_text().split()
        assert shown[: len(expected)] == expected and len(expected) > 10
        rows = tab.locator(".private .share").all_inner_texts()
        ranked = [name(language, label) for label, _ in prediction.top(7)]
        assert [row.split("\n")[0] for row in rows] == ranked
        assert probability(p, language) in rows[0]
        chart = tab.locator(".private canvas").nth(1)
        alt = text(language, "map_alt", name=name(language, top))
        assert chart.get_attribute("aria-label") == alt
        assert tab.get_by_text(t[f"what_{top}"]).first.is_visible()
        first = chart.evaluate("c => c.toDataURL()")
        tab.locator(".private select").select_option(label=name(language, "bcc"))
        tab.get_by_text(t["what_bcc"]).first.wait_for()
        assert chart.evaluate("c => c.toDataURL()") != first
        assert name(language, "bcc") in chart.get_attribute("aria-label")
        assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert serious(tab) == []
        choose(tab, pictures / "blurred.png")
        tab.locator(".private .verdict").get_by_text(t["notice_blurred"]).wait_for()
        tab.locator(".private input[type=file]").set_input_files(pictures / "bad.png")
        tab.get_by_role("alert").get_by_text(t["error_unreadable"]).wait_for()
        assert not tab.locator(".private .shares").is_visible()
        words = re.findall(ENGLISH, tab.locator(".private").inner_text(), re.IGNORECASE)
        assert (words == []) == (language != "en"), words


def test_keyboard_alone_reaches_the_answer_and_the_map(chromium, page, pictures):
    with opened(chromium, page) as tab:

        def press_until(condition, key="Tab", most=40):
            for _ in range(most + 1):
                code = f"(() => {{ const e = document.activeElement; return {condition} }})()"
                if tab.evaluate(code):
                    return
                tab.keyboard.press(key)
            raise AssertionError(f"the keyboard never reaches {condition}")

        press_until("e.getAttribute('role') === 'tab'")
        press_until(f"e.textContent.trim() === {T['tab_private']!r}", most=3)
        tab.keyboard.press("Enter")
        tab.locator(".private button.main").wait_for()
        press_until("e.matches('.private button.main')")
        tab.keyboard.press("Enter")
        tab.get_by_text(T["private_ready"]).wait_for()
        with tab.expect_file_chooser() as chooser:
            press_until("e.matches('.private input[type=file]')", most=0)  # has the focus already
            tab.keyboard.press("Enter")
        chooser.value.set_files(pictures / "vasc.png")
        answered(tab)
        press_until("e.matches('.private select')")
        chart = tab.locator(".private canvas").nth(1)
        before = chart.get_attribute("aria-label")
        tab.keyboard.press("ArrowUp")
        tab.wait_for_function(
            "before => document.querySelectorAll('.private canvas')[1].ariaLabel !== before",
            arg=before,
        )


# A picture pasted into the page, or dropped on it.
GIVE = """([kind, type, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "lesion", {type}));
    const how = {bubbles: true, cancelable: true};
    document.querySelector(".private").dispatchEvent(kind === "paste"
        ? new ClipboardEvent("paste", {...how, clipboardData: transfer})
        : new DragEvent("drop", {...how, dataTransfer: transfer}));
}"""


def test_no_request_leaves_while_a_picture_is_classified(chromium, page, pictures):
    with opened(chromium, page) as tab:
        with recorded(tab) as before:
            tab.wait_for_timeout(300)
            enter(tab)
            tab.locator(".private button.main").wait_for()
        ours = [(kind, url) for kind, url in before if ADDRESS in url]
        assert names(ours) == {"page.js", "files.js", "tab.json"}
        with recorded(tab) as loading:
            load(tab)
        ours = names([(kind, url) for kind, url in loading if ADDRESS in url])
        assert ours == {"model", "compat.wasm", "compat.js", "litert", "picture", "worker"}
        with recorded(tab) as after:
            choose(tab, pictures / "vasc.png")
            tab.locator(".private select").select_option("0")
            data = coded((pictures / "mel.png").read_bytes())
            # Without a type: the system does not know the ending.
            for kind, type_ in (("paste", "image/png"), ("drop", "image/png"), ("drop", "")):
                tab.locator(".private .share").first.evaluate("e => e.remove()")
                tab.evaluate(GIVE, [kind, type_, data])
                answered(tab)
        assert after == []


def test_second_visit_loads_nothing_and_answers_without_a_network(chromium, page, pictures):
    with opened(chromium, page) as tab:
        enter(tab)
        load(tab)
        choose(tab, pictures / "mel.png")
        first = tab.locator(".private .shares").inner_text()
        visit(tab, tab.reload)
        tab.get_by_role("button", name=T["classify"], exact=True).wait_for()
        with recorded(tab) as seen:
            enter(tab)
            tab.get_by_text(T["private_ready"]).wait_for()
        ours = names([(kind, url) for kind, url in seen if ADDRESS in url])
        assert ours <= {"page.js", "files.js", "tab.json"}
        tab.context.set_offline(True)
        choose(tab, pictures / "vasc.png")
        assert tab.locator(".private .shares").inner_text() != first
        choose(tab, pictures / "mel.png")
        assert tab.locator(".private .shares").inner_text() == first
        tab.context.set_offline(False)


def test_headers_of_the_readme_bring_several_threads_and_the_same_answer(chromium, page, pictures):
    headers = front_matter()["custom_headers"]

    def add(route):
        response = route.fetch()
        route.fulfill(response=response, headers=response.headers | headers)

    answers = []
    for isolated in (False, True):
        with opened(chromium, page) as tab:
            if isolated:
                tab.route(page + "/", add)
                visit(tab, tab.goto, page)
            assert tab.evaluate("crossOriginIsolated") == isolated
            enter(tab)
            with recorded(tab) as seen:
                load(tab)
            assert {"threaded.wasm", "compat.wasm"} & names(seen) == {
                "threaded.wasm" if isolated else "compat.wasm"
            }
            choose(tab, pictures / "mel.png")
            answers.append(tab.locator(".private .shares").inner_text())
    assert answers[0] == answers[1]


# --- the tab without Gradio


def test_the_button_is_there_once_it_answers(tab, bare):
    tab.add_init_script("""const match = Cache.prototype.match;
        Cache.prototype.match = async function (...what) {
            await new Promise(go => setTimeout(go, 300));
            return match.apply(this, what);
        };""")
    tab.goto(bare.url)
    tab.get_by_text(T["private_lead"]).wait_for()
    load(tab)  # looking up six files in the Cache takes 1.8 s; an earlier click would be lost


def test_camera_takes_a_picture_and_its_refusal_is_said(tab, bare):
    tab.goto(bare.url)
    load(tab)
    camera = tab.get_by_role("button", name=T["private_camera"], exact=True)
    camera.click()
    tab.get_by_role("alert").get_by_text(T["error_camera"]).wait_for()
    tab.context.grant_permissions(["camera"])
    camera.click()
    tab.wait_for_function("document.querySelector('.private video').videoWidth > 0")
    assert tab.get_by_role("alert").inner_text() == ""
    tab.get_by_role("button", name=T["private_shoot"]).click()
    answered(tab)
    assert not tab.locator(".private video").is_visible()
    assert tab.evaluate("document.querySelector('.private video').srcObject") is None


@pytest.mark.parametrize(
    "lack", ["delete window.WebAssembly", "WebAssembly.validate = () => false"]
)
def test_a_browser_without_wasm_or_simd_is_pointed_to_the_server(tab, bare, lack):
    bare.requests.clear()
    tab.add_init_script(lack)
    tab.goto(bare.url)
    tab.get_by_role("alert").get_by_text(T["private_unable"]).wait_for()
    assert tab.get_by_text(T["private_instead"]).is_visible()
    assert tab.locator(".private button.main").count() == 0
    assert not any(path.endswith(("model", "wasm")) for path in bare.requests)


FAILING = {
    "no memory": "window.Worker = class { constructor() { throw new RangeError('memory') } }",
    "worker dies": """window.Worker = class { postMessage() {
        setTimeout(() => this.onerror({message: "out of memory"})) } terminate() {} }""",
}


@pytest.mark.parametrize("way", FAILING)
def test_a_worker_that_fails_is_a_sentence_and_can_be_tried_again(tab, bare, way):
    tab.add_init_script(FAILING[way])
    tab.goto(bare.url)
    button = tab.locator(".private button.main")
    button.click()
    tab.get_by_role("alert").get_by_text(T["private_failed"]).wait_for()
    assert tab.get_by_text(T["private_instead"]).is_visible()
    assert button.inner_text() == T["private_again"]


def test_without_a_secure_context_it_works_without_the_cache(tab, bare, pictures):
    """As over plain http in a local network, where neither Cache nor checksums exist."""
    tab.add_init_script(
        "delete window.caches; Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    tab.goto(bare.url)
    load(tab)
    choose(tab, pictures / "mel.png")
