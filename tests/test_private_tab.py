"""The private tab in Gradio's page, as a visitor sees it: wide and narrow, by keyboard, offline;
and what it says where the browser falls short."""

import re

import pytest
from private_page import (  # noqa: F401
    answered,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    classify,
    coded,
    enter,
    load,
    names,
    needs_chromium,
    page_fixture,
    pictures_fixture,
    ready,
    recorded,
    tab_fixture,
)
from test_page_browser import DESKTOP, PHONE, opened, serious, visit
from test_space import front_matter

from model.page.served import ADDRESS, ON_DEMAND
from model.page.texts import TEXTS, name, probability, text

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
        # The server's answer, to be compared.
        tab.locator(".one input[type=file]").set_input_files(pictures / "vasc.png")
        tab.locator(".one .source").get_by_text(t["classify"], exact=True).click()
        tab.locator(".one .share").nth(6).wait_for()
        theirs = tab.locator(".one .answer").inner_text()
        hints = tab.locator(".one .more").inner_text()
        enter(tab, language)
        size = text(language, "private_load", megabytes="@").split("@")[0]
        tab.get_by_role("button", name=re.compile(re.escape(size))).wait_for()
        assert serious(tab) == []
        load(tab, language=language)
        choose(tab, pictures / "vasc.png", language=language)
        assert tab.locator(".private .answer").inner_text() == theirs
        ours = tab.locator(".private .more").inner_text()
        assert ours == hints.replace(t["privacy"], t["picker_private"]) and t["examples"] in ours
        rows = tab.locator(".private .share").all_inner_texts()
        ranked = [name(language, label) for label, _ in prediction.top(7)]
        assert all(row.startswith(label) for row, label in zip(rows, ranked))
        assert probability(p, language) in rows[0]
        alt = text(language, "map_alt", name=name(language, top))
        assert tab.locator(".private .layers img").get_attribute("alt") == alt
        tab.locator(".private .share").get_by_text(name(language, "bcc")).click()
        tab.get_by_text(t["what_bcc"]).first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert serious(tab) == []
        choose(tab, pictures / "blurred.png", language=language)
        tab.locator(".private .answer").get_by_text(t["notice_blurred"]).wait_for()
        tab.locator(".private").get_by_text(t["picker_other"], exact=True).click()
        assert tab.locator(".private .share").count() == 0
        tab.locator(".private input[type=file]").set_input_files(pictures / "bad.png")
        tab.locator(".private .source").get_by_text(t["classify"], exact=True).click()
        tab.locator(".private .answer").get_by_text(t["error_unreadable"]).wait_for()
        words = re.findall(ENGLISH, tab.locator(".private").inner_text(), re.IGNORECASE)
        assert (words == []) == (language != "en"), words


def test_several_pictures_are_a_list_from_which_one_is_shown(chromium, page, pictures):
    with opened(chromium, page) as tab:
        enter(tab)
        load(tab)
        answer, list_ = tab.locator(".private .answer"), tab.locator(".private .results")
        choose(tab, pictures / "mel.png")
        first = answer.inner_text()
        assert not list_.is_visible()
        with recorded(tab) as seen:
            choose(tab, *(pictures / f"{name}.png" for name in ("mel", "bad", "vasc")))
        assert seen == []
        rows = list_.get_by_role("button")
        for row, words in zip(rows.all(), ("mel.png", T["error_unreadable"], "vasc.png")):
            assert words in row.inner_text()
        assert rows.nth(2).get_attribute("aria-current") == "true"
        assert answer.inner_text() != first
        rows.nth(0).focus()
        tab.keyboard.press("Enter")
        assert answer.inner_text() == first
        for words in answer.locator("h2, .likeness").all_inner_texts():
            assert words in rows.nth(0).inner_text()
        assert rows.nth(0).get_attribute("aria-current") == "true"
        assert rows.nth(2).get_attribute("aria-current") == "false"
        tab.locator(".private").get_by_text(T["picker_other"], exact=True).click()
        assert not list_.is_visible() and tab.locator(".private .share").count() == 0


def test_classify_loads_the_model_first(chromium, page, pictures):
    with opened(chromium, page) as tab:
        enter(tab)
        tab.locator(".device .load").wait_for()
        choose(tab, pictures / "mel.png")
        ready(tab)


def test_keyboard_alone_reaches_the_answer(chromium, page, pictures):
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
        tab.locator(".device .load").wait_for()
        press_until("e.matches('.device .load')")
        tab.keyboard.press("Enter")
        ready(tab)
        with tab.expect_file_chooser() as chooser:
            press_until("e.matches('.private input[type=file]')", most=0)  # has the focus already
            tab.keyboard.press("Enter")
        chooser.value.set_files(pictures / "vasc.png")
        press_until("e.matches('.private .source > .row button.main')")
        tab.keyboard.press("Enter")
        answered(tab)
        press_until("e.matches('.private .share input')")
        before = tab.locator(".private .layers img").get_attribute("alt")
        tab.keyboard.press("ArrowDown")
        assert tab.locator(".private .layers img").get_attribute("alt") != before


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
            tab.locator(".device .load").wait_for()
        assert not names(before) & {*ON_DEMAND, "model"}
        with recorded(tab) as loading:
            load(tab)
        ours = names([(kind, url) for kind, url in loading if ADDRESS in url])
        assert ours == {"model", "compat.wasm", "compat.js", "litert", "picture", "worker"}
        with recorded(tab) as after:
            choose(tab, pictures / "vasc.png")
            tab.locator(".private .share").nth(3).click()
            data = coded((pictures / "mel.png").read_bytes())
            # Without a type: the system does not know the ending.
            for kind, type_ in (("paste", "image/png"), ("drop", "image/png"), ("drop", "")):
                tab.evaluate(GIVE, [kind, type_, data])
                assert tab.locator(".private .share").count() == 0
                classify(tab)
        assert after == []


def test_second_visit_loads_nothing_and_answers_without_a_network(chromium, page, pictures):
    with opened(chromium, page) as tab:
        enter(tab)
        load(tab)
        choose(tab, pictures / "mel.png")
        first = tab.locator(".private .answer").inner_text()
        visit(tab, tab.reload)
        tab.get_by_role("button", name=T["classify"], exact=True).wait_for()
        with recorded(tab) as seen:
            enter(tab)
            ready(tab)
        assert not names(seen) & {*ON_DEMAND, "model"}
        tab.context.set_offline(True)
        choose(tab, pictures / "vasc.png")
        assert tab.locator(".private .answer").inner_text() != first
        choose(tab, pictures / "mel.png")
        assert tab.locator(".private .answer").inner_text() == first
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
            answers.append(tab.locator(".private .answer").inner_text())
    assert answers[0] == answers[1]


# --- the tab without Gradio


SLOW_CACHE = """const match = Cache.prototype.match;
    Cache.prototype.match = async function (...what) {
        await new Promise(go => setTimeout(go, 300));
        return match.apply(this, what);
    };"""


def test_the_button_is_there_once_it_answers(tab, bare):
    tab.add_init_script(SLOW_CACHE)
    tab.goto(bare.url)
    tab.get_by_text(T["private_lead"]).wait_for()
    load(tab)  # looking up six files in the Cache takes 1.8 s; an earlier click would be lost


def test_a_picture_can_be_classified_before_the_cache_has_been_searched(tab, bare, pictures):
    tab.add_init_script(SLOW_CACHE)
    tab.goto(bare.url)
    choose(tab, pictures / "mel.png")
    ready(tab)


@pytest.mark.parametrize(
    "lack", ["delete window.WebAssembly", "WebAssembly.validate = () => false"]
)
def test_a_browser_without_wasm_or_simd_is_pointed_to_the_server(tab, bare, lack):
    bare.requests.clear()
    tab.add_init_script(lack)
    tab.goto(bare.url)
    words = f"{T['private_unable']} {T['private_instead']}"
    tab.get_by_role("alert").get_by_text(words, exact=True).wait_for()
    assert tab.locator(".private button").count() == 0
    assert not any(path.endswith(("model", "wasm")) for path in bare.requests)


FAILING = {
    "no memory": "window.Worker = class { constructor() { throw new RangeError('memory') } }",
    "worker dies": """window.Worker = class { postMessage() {
        setTimeout(() => this.onerror({message: "out of memory"})) } terminate() {} }""",
}


@pytest.mark.parametrize("way", FAILING)
def test_a_worker_that_fails_is_a_sentence_and_can_be_tried_again(tab, bare, pictures, way):
    tab.add_init_script(FAILING[way])
    tab.goto(bare.url)
    words = f"{T['private_failed']} {T['private_instead']}"
    button = tab.locator(".device .load")
    button.click()
    tab.locator(".device [role=alert]").get_by_text(words, exact=True).wait_for()
    assert button.inner_text() == T["private_again"]
    # Classify tries again too, and says so where the answer would be.
    tab.locator(".private input[type=file]").set_input_files(pictures / "mel.png")
    tab.locator(".private .source").get_by_text(T["classify"], exact=True).click()
    tab.locator(".private .answer").get_by_text(words, exact=True).wait_for()


def test_without_a_secure_context_it_works_without_the_cache(tab, bare, pictures):
    """As over plain http in a local network, where neither Cache nor checksums exist."""
    tab.add_init_script(
        "delete window.caches; Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    tab.goto(bare.url)
    load(tab)
    choose(tab, pictures / "mel.png")
