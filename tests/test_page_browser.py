"""The page in a real Chromium: desktop and phone width, light and dark, English and Indonesian."""

import base64
import contextlib
import re
import shutil
import time
import zipfile
from dataclasses import dataclass, field

import pytest
from made import drawing
from test_app import served

from model.classifier import Classifier
from model.labels import LABELS
from model.page import answer
from model.page.texts import TEXTS, name, text

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WAIT = 60_000


@pytest.fixture(scope="module")
def page(trained, made):
    with served("--model", str(trained), "--examples", str(made)) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for dx in ("mel", "vasc"):
        drawing(dx, 3, (320, 240)).save(folder / f"{dx}.png")
    drawing("bcc", 101).save(folder / "familiar.png")
    (folder / "bad.png").write_bytes(b"no picture")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(folder / "mel.png", "inside.png")
    return folder


@pytest.fixture(scope="module")
def contexts(browser):
    """A context for each language, whose tabs share what the browser has downloaded."""
    locales = {"en": "en-US", "id": "id-ID"}
    return {key: browser.new_context(locale=locale) for key, locale in locales.items()}


@dataclass
class Seen:
    """What a tab did: errors on its console, and the hosts it contacted."""

    errors: list = field(default_factory=list)
    hosts: set = field(default_factory=set)


def visit(tab, navigate, *address):
    """Navigate, and wait until the call that the page makes by itself has ended: Gradio prints
    errors if a page is left during a call."""
    ended = []
    for event in ("requestfinished", "requestfailed"):
        tab.on(event, lambda request: ended.append(request.url))
    navigate(*address)
    late = time.monotonic() + WAIT / 1000
    while not any("/queue/data?" in url for url in ended):
        assert time.monotonic() < late, "the page's own call does not end"
        tab.wait_for_timeout(10)


@contextlib.contextmanager
def ready(context, url, language="en", viewport=DESKTOP, scheme="light"):
    """A tab on the page. It must end without an error on the console, and without having
    contacted any other host."""
    tab, seen = context.new_page(), Seen()
    tab.set_viewport_size(viewport)
    tab.emulate_media(color_scheme=scheme)
    tab.set_default_timeout(WAIT)
    tab.on("pageerror", lambda error: seen.errors.append(str(error)))
    tab.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
    tab.on("request", lambda r: seen.hosts.add(re.sub(r"^(\w+://[^/]*|\w+:).*", r"\1", r.url)))
    visit(tab, tab.goto, url)
    tab.get_by_role("button", name=text(language, "classify"), exact=True).wait_for()
    try:
        yield tab
        assert seen.errors == []
        assert seen.hosts <= {url, "data:", "blob:"}
    finally:
        tab.close()


@contextlib.contextmanager
def opened(browser, url, language="en", viewport=DESKTOP, color_scheme="light", **options):
    """`ready` in a context of its own, with an empty cache."""
    context = browser.new_context(locale={"en": "en-US", "id": "id-ID"}[language], **options)
    try:
        with ready(context, url, language, viewport, color_scheme) as tab:
            yield tab
    finally:
        context.close()


def classify(tab, picture, language="en"):
    """Upload and classify; the answer is on the page when this returns."""
    tab.locator("input[type=file]").first.set_input_files(picture)
    tab.get_by_role("button", name=text(language, "gradio_Remove Image")).wait_for()
    tab.get_by_role("button", name=text(language, "classify"), exact=True).click()
    shown = text(language, "time", milliseconds="").split(" ")[0]
    tab.locator("#summary").get_by_text(re.compile(rf"^{shown} .* ms\.$")).wait_for()
    tab.locator("#shares dd").nth(6).wait_for()


def serious(tab) -> list:
    """What axe-core finds that is serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [
        (v["id"], [node["html"][:200] for node in v["nodes"]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    "viewport, scheme, picture", [(DESKTOP, "light", "familiar.png"), (PHONE, "dark", "vasc.png")]
)
def test_upload_to_answer_and_axe_finds_nothing_serious(
    contexts, page, trained, pictures, viewport, scheme, picture
):
    classifier = Classifier(trained)
    prediction = classifier.predict(pictures / picture)
    assert prediction.confident == (picture == "familiar.png")
    with ready(contexts["en"], page, viewport=viewport, scheme=scheme) as tab:
        tab.locator("#examples .caption-label").first.wait_for()
        assert serious(tab) == []
        classify(tab, pictures / picture)
        top, p = prediction.top(1)[0]
        shares = tab.locator("#shares").inner_text()
        assert all(name("en", label) in shares for label in LABELS)
        rare = sum(p < 0.005 for p in prediction.probabilities.values())
        assert shares.count(TEXTS["en"]["under_1"]) == rare > 0
        assert (TEXTS["en"]["over_99"] if p >= 0.995 else f"{round(100 * p)}%") in shares
        assert not re.search(r"\b(0|100)%", shares)
        flag = answer.suspicious(prediction, classifier.config)["flag"]
        kind = "unsure" if not prediction.confident else "suspicious" if flag else "benign"
        for other in ("unsure", "suspicious", "benign"):
            assert tab.get_by_text(TEXTS["en"][f"sum_{other}"], exact=True).count() == (
                other == kind
            )
        heading = tab.locator("#shares").get_by_role("heading", name=name("en", top))
        assert heading.count() == prediction.confident
        assert tab.get_by_text(TEXTS["en"]["no_diagnosis"]).is_visible()
        assert tab.get_by_text(TEXTS["en"][f"what_{top}"]).first.is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert tab.evaluate("document.documentElement.lang") == "en"
        assert tab.locator("#summary[aria-live=polite], #summary [aria-live=polite]").count() == 1
        tab.get_by_role("button", name=TEXTS["en"]["glossary_heading"]).click()
        tab.get_by_text(TEXTS["en"]["handling_bcc"]).first.wait_for()
        assert serious(tab) == []


def test_map_of_another_diagnosis_comes_without_a_second_run(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        classify(tab, pictures / "vasc.png")
        time = tab.locator("#summary .small").inner_text()
        picture = tab.locator("img[alt*='evidence'], img[alt*='No place']")
        first = picture.get_attribute("src")
        tab.get_by_label(TEXTS["en"]["map_for"]).click()
        tab.get_by_role("option", name=name("en", "df")).click()
        tab.get_by_text(TEXTS["en"]["what_df"]).first.wait_for()
        assert name("en", "df") in picture.get_attribute("alt")
        assert picture.get_attribute("src") != first
        assert tab.locator("#summary .small").inner_text() == time


def test_a_new_picture_takes_the_old_answer_away(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        classify(tab, pictures / "vasc.png")
        tab.get_by_role("button", name=TEXTS["en"]["gradio_Remove Image"]).click()
        tab.get_by_text(TEXTS["en"]["answer_empty"]).wait_for()
        assert tab.locator("#shares").is_hidden()
        classify(tab, pictures / "mel.png")


def test_bad_file_and_no_file_give_a_sentence_and_the_next_answer_comes(contexts, page, pictures):
    with ready(contexts["id"], page, "id") as tab:
        tab.get_by_role("button", name=TEXTS["id"]["classify"], exact=True).click()
        tab.get_by_text(TEXTS["id"]["error_none"]).first.wait_for()
        tab.locator("input[type=file]").first.set_input_files(pictures / "bad.png")
        tab.get_by_role("button", name=TEXTS["id"]["classify"], exact=True).click()
        tab.get_by_text(TEXTS["id"]["error_unreadable"]).first.wait_for()
        visit(tab, tab.reload)
        classify(tab, pictures / "mel.png", "id")


# A file dropped on the picture's field.
DROP = """(field, [name, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    field.dispatchEvent(
        new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: transfer}));
}"""


def test_a_file_whose_ending_the_system_does_not_know_is_judged_by_its_content(
    contexts, page, pictures
):
    def sent(name, content, kind=""):
        return {"name": name, "mimeType": kind, "buffer": content}

    picture, words = (pictures / "mel.png").read_bytes(), TEXTS["id"]
    with ready(contexts["id"], page, "id") as tab:
        classify(tab, sent("x.hif", picture), "id")
        tab.get_by_role("button", name=words["gradio_Remove Image"]).click()
        field = tab.locator("#picture button.upload-container")
        field.evaluate(DROP, ["x.jfif", base64.b64encode(picture).decode()])
        tab.get_by_role("button", name=words["gradio_Remove Image"]).wait_for()
        tab.get_by_role("button", name=words["classify"], exact=True).click()
        tab.locator("#shares dd").nth(6).wait_for()


@pytest.mark.parametrize("language", ["en", "id"])
def test_camera_refused_leaves_the_page_working(contexts, page, pictures, language):
    with ready(contexts[language], page, language) as tab:
        tab.get_by_role("button", name=TEXTS[language]["gradio_Capture from camera"]).click()
        tab.get_by_text(TEXTS[language]["gradio_Click to Access Webcam"]).click()
        tab.get_by_role("alert").get_by_text(TEXTS[language]["error_camera"]).wait_for()
        tab.get_by_role("button", name=TEXTS[language]["gradio_Upload file"]).last.click()
        classify(tab, pictures / "mel.png", language)


def test_example_is_named_and_classified(contexts, page):
    with ready(contexts["en"], page) as tab:
        first = tab.locator("#examples button:has(.caption-label)").first
        first.wait_for()
        caption = first.inner_text()
        assert re.fullmatch(r".* \((\w+)\), ISIC_\d{7}", caption)
        assert first.get_attribute("aria-label") == caption
        first.click()
        tab.get_by_role("button", name=TEXTS["en"]["gradio_Remove Image"]).wait_for()
        tab.get_by_role("button", name="Classify", exact=True).click()
        tab.locator("#shares dd").nth(6).wait_for()


def test_indonesian_page_has_no_english_left(contexts, page, pictures):
    with ready(contexts["id"], page, "id") as tab:
        tab.locator("#examples .caption-label").first.wait_for()
        visible = [tab.locator("body").inner_text()]
        classify(tab, pictures / "vasc.png", "id")
        tab.get_by_role("button", name=TEXTS["id"]["glossary_heading"]).click()
        tab.get_by_text(TEXTS["id"]["handling_nv"]).first.wait_for()
        visible.append(tab.locator("body").inner_text())
        tab.get_by_role("tab", name=TEXTS["id"]["tab_many"]).click()
        tab.locator("#files input[type=file]").set_input_files(pictures / "mel.png")
        tab.locator("#files td.filename[aria-label='mel.png']").wait_for()
        tab.get_by_role("button", name=TEXTS["id"]["batch_classify"]).click()
        tab.locator("#table table").wait_for()
        visible.append(tab.locator("body").inner_text())
        assert tab.title() == TEXTS["id"]["title"]
        assert tab.evaluate("document.documentElement.lang") == "id"
        labels = tab.evaluate(
            "[...document.querySelectorAll('[aria-label]')].map(e => e.ariaLabel).join('\\n')"
        )
    said = "\n".join(visible)
    for key, english in TEXTS["en"].items():
        other = TEXTS["id"][key]
        if "{" not in english and len(english) > 3 and english.lower() not in other.lower():
            assert not re.search(rf"(?<!\w){re.escape(english)}(?!\w)", said), (key, english)
    # Words that are English and not Indonesian, whoever wrote them, Gradio included.
    english = r"the|and|of|with|is|are|this|use|via|drop|here|click|upload|browse|file|files|built"
    # Bibliography, and the model's own names, are what they are.
    sources = [v for k, v in TEXTS["id"].items() if k.startswith(("source_", "examples_credit"))]
    for source in sources:
        said = said.replace(source, "")
    assert re.findall(rf"\b(?:{english})\b", said, re.IGNORECASE) == []
    assert (
        re.findall(rf"\b(?:{english}|remove|fullscreen|thumbnail|empty|more)\b", labels, re.I) == []
    )


def test_keyboard_alone_reaches_the_answer_and_the_map(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        tab.locator("#examples .caption-label").first.wait_for()

        def press_until(condition, keys="Tab", most=60):
            for _ in range(most):
                if tab.evaluate(
                    f"(() => {{ const e = document.activeElement; return {condition} }})()"
                ):
                    return
                tab.keyboard.press(keys)
            raise AssertionError(f"the keyboard never reaches {condition}")

        with tab.expect_file_chooser() as chooser:
            press_until("e.matches('button') && !!e.querySelector('input[type=file]')")
            tab.keyboard.press("Enter")
        chooser.value.set_files(pictures / "vasc.png")
        tab.get_by_role("button", name=TEXTS["en"]["gradio_Remove Image"]).wait_for()
        press_until("e.textContent.trim() === 'Classify'")
        tab.keyboard.press("Enter")
        tab.locator("#shares dd").nth(6).wait_for()
        press_until("e.getAttribute('role') === 'listbox' || e.getAttribute('role') === 'combobox'")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        before = tab.locator("img[alt*='evidence'], img[alt*='No place']").get_attribute("alt")
        tab.keyboard.press("Enter")
        tab.wait_for_function(
            """before => [...document.images].some(
                i => /evidence|No place/.test(i.alt) && i.alt !== before)""",
            arg=before,
        )
        press_until("e.matches('button') && !!e.querySelector('.caption-label')", most=80)
        tab.keyboard.press("Enter")
        tab.get_by_text(TEXTS["en"]["answer_empty"]).wait_for()
        press_until("e.getAttribute('role') === 'tab'", "Shift+Tab", most=80)
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
