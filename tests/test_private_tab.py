"""The private tab as a visitor sees it: wide and narrow, by keyboard, where it fails."""

import html
import re

import pytest
from private_page import (  # noqa: F401
    answered,
    bare_fixture,
    choose,
    chromium_fixture,
    classifier_fixture,
    enter,
    load,
    needs_chromium,
    page_fixture,
    pictures_fixture,
)
from test_page_browser import DESKTOP, PHONE, opened, serious

from model.page import answer
from model.page.texts import TEXTS, name, probability, text

pytestmark = needs_chromium
T = TEXTS["en"]


@pytest.mark.parametrize(
    "viewport, scheme, language", [(DESKTOP, "light", "en"), (PHONE, "dark", "id")]
)
def test_from_the_model_to_the_answer(
    chromium, page, classifier, pictures, viewport, scheme, language
):
    t = TEXTS[language]
    prediction = classifier(pictures / "vasc.png")
    with opened(chromium, page, language, viewport=viewport, color_scheme=scheme) as tab:
        enter(tab, language)
        size = text(language, "private_load", megabytes="@").split("@")[0]
        tab.get_by_role("button", name=re.compile(re.escape(size))).wait_for()
        assert serious(tab) == []
        load(tab, language)
        choose(tab, pictures / "vasc.png")
        said = tab.locator(".private .verdict").inner_text()
        expected = answer.summary(prediction, classifier.config, language)
        expected = re.sub("<[^>]*>", " ", expected).split()[:-3]  # less the milliseconds
        assert " ".join(html.unescape(" ".join(expected)).split()[:-2]) in " ".join(said.split())
        rows = tab.locator(".private .share").all_inner_texts()
        assert [row.split("\n")[0] for row in rows] == [
            name(language, k) for k, _ in prediction.top(7)
        ]
        assert probability(prediction.top()[0][1], language) in rows[0]
        top = prediction.top()[0][0]
        chart = tab.locator(".private canvas").nth(1)
        assert chart.get_attribute("aria-label") == text(
            language, "map_alt", name=name(language, top)
        )
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
        visible = tab.locator(".private").inner_text()
        if language == "id":
            english = (
                r"the|and|of|with|is|are|this|use|via|drop|here|click|load|choose|camera|paste"
            )
            assert re.findall(rf"\b(?:{english})\b", visible, re.IGNORECASE) == []


def test_keyboard_alone_reaches_the_answer_and_the_map(chromium, page, pictures):
    with opened(chromium, page) as tab:

        def press_until(condition, key="Tab", most=40):
            for _ in range(most + 1):
                if tab.evaluate(
                    f"(() => {{ const e = document.activeElement; return {condition} }})()"
                ):
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


def test_the_button_is_there_once_it_answers(chromium, bare):
    slow = """const match = Cache.prototype.match;
        Cache.prototype.match = async function (...what) {
            await new Promise(go => setTimeout(go, 300));
            return match.apply(this, what);
        };"""
    context = chromium.new_context(locale="en-US")
    tab = context.new_page()
    tab.add_init_script(slow)
    tab.goto(bare.url)
    tab.get_by_text(T["private_lead"]).wait_for()
    load(tab)  # six files are looked for in the Cache first, 1.8 s; a press then was lost
    context.close()


def test_camera_takes_a_picture_and_its_refusal_is_said(chromium, page):
    with opened(chromium, page) as tab:
        enter(tab)
        load(tab)
        tab.get_by_role("button", name=T["private_camera"], exact=True).click()
        tab.wait_for_function("document.querySelector('.private video').videoWidth > 0")
        tab.get_by_role("button", name=T["private_shoot"]).click()
        answered(tab)
        assert not tab.locator(".private video").is_visible()
        assert tab.evaluate("document.querySelector('.private video').srcObject") is None
        refuse = "MediaDevices.prototype.getUserMedia = async () => { throw new Error() }"
        tab.evaluate(f"() => {{ {refuse} }}")
        tab.get_by_role("button", name=T["private_camera"], exact=True).click()
        tab.get_by_role("alert").get_by_text(T["error_camera"]).wait_for()


UNABLE = {
    "no WebAssembly": "delete window.WebAssembly",
    "no SIMD": "WebAssembly.validate = () => false",
}
FAILING = {
    "no memory": "window.Worker = class { constructor() { throw new RangeError('memory') } }",
    "worker dies": """window.Worker = class { postMessage() {
        setTimeout(() => this.onerror({message: "out of memory"})) } terminate() {} }""",
}


@pytest.mark.parametrize("way", [*UNABLE, *FAILING])
def test_where_the_browser_cannot_a_sentence_points_to_the_server(chromium, bare, way):
    tab = chromium.new_page()
    tab.add_init_script((UNABLE | FAILING)[way])
    tab.goto(bare.url)
    bare.requests.clear()
    if way in FAILING:
        tab.locator(".private button.main").click()
    alert = tab.get_by_role("alert")
    alert.get_by_text(T["private_unable" if way in UNABLE else "private_failed"]).wait_for()
    assert alert.get_by_text(T["private_instead"]).is_visible()
    assert (tab.locator(".private button.main").count() == 0) == (way in UNABLE)
    if way in UNABLE:
        assert not any(path.endswith(("model", "wasm")) for path in bare.requests)
    tab.close()


def test_without_a_secure_context_it_works_without_the_cache(chromium, bare, pictures):
    """As over http in a local network: neither Cache nor checksums are there."""
    tab = chromium.new_page()
    tab.add_init_script(
        "delete window.caches; Object.defineProperty(crypto, 'subtle', {value: undefined})"
    )
    tab.goto(bare.url)
    load(tab)
    choose(tab, pictures / "mel.png")
    tab.close()
