"""The page in a real Chromium, as app.py serves it: from the picture to the answer on a desktop and
on phones, by keyboard, in both languages, and in browsers of other languages.

Each part of it by itself: test_picker.py, test_view.py, test_private_tab.py, test_batch_browser.py.
"""

import contextlib
import re
import shutil
import zipfile
from dataclasses import dataclass, field

import pytest
from browsing import launched
from made import drawing
from test_app import served

from model.classifier import Classifier
from model.labels import LABELS
from model.network.backbones import title_of
from model.page.texts import GRADIO, TEXTS, name, probability

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WAIT = 60_000
PATHS = {"en": "/", "id": "/id"}
LOCALES = {"en": "en-US", "id": "id-ID"}


@pytest.fixture(scope="module")
def page(trained, made):
    with served("--model", str(trained), "--examples", str(made)) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


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
    return {key: browser.new_context(locale=locale) for key, locale in LOCALES.items()}


@dataclass
class Seen:
    """What a tab did: errors on its console, and the hosts it contacted."""

    errors: list = field(default_factory=list)
    hosts: set = field(default_factory=set)


def button(place):
    """The button Classify of a tab, or of a side of one."""
    words = re.compile("|".join(f"^{words['classify']}$" for words in TEXTS.values()))
    return place.get_by_role("button", name=words)


def visit(tab, navigate, *address):
    """Navigate, and wait until the tabs are drawn."""
    navigate(*address)
    button(tab.locator("#one")).wait_for()


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
    visit(tab, tab.goto, url + PATHS[language])
    try:
        yield tab
        assert seen.errors == []
        assert seen.hosts <= {url, "data:", "blob:"}
    finally:
        tab.close()


@contextlib.contextmanager
def opened(browser, url, language="en", viewport=DESKTOP, color_scheme="light", **options):
    """`ready` in a context of its own, with an empty cache."""
    context = browser.new_context(locale=LOCALES[language], **options)
    try:
        with ready(context, url, language, viewport, color_scheme) as tab:
            yield tab
    finally:
        context.close()


def choose(tab, picture, tab_id="one"):
    tab.locator(f"#{tab_id} input[type=file]").first.set_input_files(picture)


def answered(tab, tab_id="one"):
    """Wait for the answer; returns its verdict."""
    tab.locator(f"#{tab_id} .answer .share").nth(6).wait_for()
    return tab.locator(f"#{tab_id} .said").first


def classify(tab, picture):
    """Choose and classify; the answer is on the page when this returns."""
    choose(tab, picture)
    tab.locator("#one .picker img").wait_for()
    button(tab.locator("#one")).click()
    return answered(tab)


def serious(tab) -> list:
    """What axe-core finds that is serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [
        (v["id"], [node["html"][:200] for node in v["nodes"]])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


def width(tab) -> int:
    return tab.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize(
    "viewport, scheme, picture", [(DESKTOP, "light", "familiar.png"), (PHONE, "dark", "vasc.png")]
)
def test_upload_to_answer_and_axe_finds_nothing_serious(
    contexts, page, trained, pictures, viewport, scheme, picture
):
    prediction = Classifier(trained).predict(pictures / picture)
    words = TEXTS["en"]
    with ready(contexts["en"], page, viewport=viewport, scheme=scheme) as tab:
        tab.locator("#one .examples button").first.wait_for()
        assert serious(tab) == []
        said = classify(tab, pictures / picture)
        kinds = {"suspicious", "benign"} if prediction.confident else {"unsure"}
        heading = said.locator("h2")
        assert heading.inner_text() in {words[f"sum_{kind}"] for kind in kinds}
        size = "e => parseFloat(getComputedStyle(e).fontSize)"
        largest = max(e.evaluate(size) for e in tab.locator("#one .answer *").all())
        assert heading.evaluate(size) == largest
        bars = tab.locator("#one .answer .share").all_inner_texts()
        ranked = prediction.top(7)
        for bar, (label, p) in zip(bars, ranked):
            assert name("en", label) in bar and probability(p, "en") in bar
        assert tab.get_by_text(words["no_diagnosis"]).is_visible()
        assert tab.get_by_text(words[f"what_{ranked[0][0]}"]).first.is_visible()
        assert width(tab) <= viewport["width"]
        assert tab.evaluate("document.documentElement.lang") == "en"
        tab.get_by_role("button", name=words["glossary_heading"]).click()
        tab.get_by_text(words["handling_bcc"]).first.wait_for()
        assert serious(tab) == []


@pytest.mark.parametrize("viewport", [(390, 844), (412, 915), (430, 932)], ids=str)
def test_on_a_phone_the_verdict_scrolls_into_view(contexts, page, pictures, viewport):
    size = dict(zip(("width", "height"), viewport))
    with ready(contexts["en"], page, viewport=size) as tab:
        heading = classify(tab, pictures / "vasc.png").locator("h2")
        tab.wait_for_function(
            "e => { const {top, bottom} = e.getBoundingClientRect();"
            " return top >= 0 && bottom <= innerHeight }",
            arg=heading.element_handle(),
        )
        hints = tab.locator("#one").get_by_text(TEXTS["en"]["framing"])
        assert hints.bounding_box()["y"] > heading.bounding_box()["y"]


def test_nothing_is_cut_off_on_a_page_320_wide_or_640_and_enlarged_twice(contexts, page, pictures):
    with ready(contexts["en"], page, viewport={"width": 320, "height": 600}) as tab:
        classify(tab, pictures / "vasc.png")
        assert width(tab) <= 320
        for key in ("tab_private", "tab_many", "tab_compare"):
            enter(tab, TEXTS["en"][key])
            assert width(tab) <= 320, key


@pytest.mark.parametrize("language, wide", [("en", 360), ("id", 390)])
def test_all_tabs_fit_on_a_phone(contexts, page, language, wide):
    with ready(contexts[language], page, language, {"width": wide, "height": 844}) as tab:
        for key in ("tab_one", "tab_private", "tab_many", "tab_compare"):
            title = TEXTS[language][key]
            assert tab.get_by_role("tab", name=title, exact=True).first.is_visible(), title


def enter(tab, title):
    """Go to a tab of the page, through the menu if it has no room."""
    seen = tab.get_by_role("tab", name=title, exact=True)
    if not seen.first.is_visible():
        tab.get_by_role("button", name="More tabs").click()
        tab.get_by_role("button", name=title, exact=True).last.click()
    else:
        seen.first.click()


def test_one_click_classifies_an_example(contexts, page):
    with ready(contexts["en"], page) as tab:
        tab.locator("#one .examples button").first.click()
        answered(tab)


def test_a_new_picture_takes_the_old_answer_away(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        classify(tab, pictures / "vasc.png")
        choose(tab, pictures / "mel.png")
        tab.locator("#one").get_by_text(TEXTS["en"]["answer_empty"]).wait_for()
        assert tab.locator("#one .share").count() == 0
        classify(tab, pictures / "mel.png")


def test_a_map_of_another_diagnosis_asks_the_server_nothing(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        classify(tab, pictures / "vasc.png")
        requests = []
        tab.on("request", lambda r: requests.append(r.url))
        tab.locator("#one .share input").nth(3).check()
        label = tab.locator("#one .share").nth(3).locator("span").first.inner_text()
        assert label[:12] in tab.locator("#one .told").inner_text()
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == []


@pytest.mark.parametrize("language", ["en", "id"])
def test_an_error_stays_where_the_answer_would_be(contexts, page, pictures, language):
    words = TEXTS[language]
    with ready(contexts[language], page, language) as tab:
        button(tab.locator("#one")).click()
        tab.locator("#one").get_by_text(words["error_none"]).wait_for()
        choose(tab, pictures / "bad.png")
        button(tab.locator("#one")).click()
        said = tab.locator("#one .answer [role=alert]")
        said.get_by_text(words["error_unreadable"]).wait_for()
        tab.wait_for_timeout(11_000)
        assert said.is_visible() and tab.get_by_text("Error", exact=True).count() == 0
        choose(tab, pictures / "mel.png")
        tab.locator("#one .picker img").wait_for()
        button(tab.locator("#one")).click()
        answered(tab)
        assert said.count() == 0


def test_a_server_that_is_gone_is_said_and_the_page_goes_on_once_it_is_back(
    contexts, page, pictures
):
    tab = contexts["en"].new_page()
    visit(tab, tab.goto, page)
    tab.route(re.compile("component_server"), lambda route: route.fulfill(status=502))
    choose(tab, pictures / "mel.png")
    tab.locator("#one .picker img").wait_for()
    button(tab.locator("#one")).click()
    tab.get_by_role("alert").get_by_text(TEXTS["en"]["error_unreachable"]).wait_for()
    tab.unroute(re.compile("component_server"))
    button(tab.locator("#one")).click()
    answered(tab)
    tab.close()


def test_two_pictures_are_compared(contexts, page, trained, pictures):
    classifier, words = Classifier(trained), TEXTS["en"]
    with ready(contexts["en"], page) as tab:
        enter(tab, words["tab_compare"])
        scores = []
        for place, file in enumerate(("familiar.png", "vasc.png")):
            side = tab.locator("#compare section").nth(place)
            side.locator("input[type=file]").first.set_input_files(pictures / file)
            side.locator(".picker img").wait_for()
            button(side).click()
            side.locator(".share").nth(6).wait_for()
            p = classifier.predict(pictures / file).probabilities
            scores.append(probability(p["akiec"] + p["bcc"] + p["mel"], "en"))
        rows = tab.locator("#compare .change tbody tr")
        cells = rows.filter(has_text=words["compare_score"]).locator("td").all_inner_texts()
        assert [cell.split(",")[0] for cell in cells] == scores
        assert tab.get_by_text(words["compare_caution"]).is_visible()
        assert serious(tab) == []
        # The visitor's own level holds for both answers and for the comparison.
        tab.locator("#compare .level summary").first.click()
        tab.locator("#compare .level input").first.focus()
        for key in ("End", "Home"):
            tab.keyboard.press(key)
            said = tab.locator("#compare .said h2").all_inner_texts()
            verdicts = rows.filter(has_text=words["compare_verdict"]).locator("td")
            assert verdicts.all_inner_texts() == said


def test_indonesian_page_has_no_english_left(contexts, page, pictures):
    words = TEXTS["id"]
    with ready(contexts["id"], page, "id") as tab:
        tab.locator("#one .examples button").first.wait_for()
        seen = [tab.locator("body").inner_text()]
        classify(tab, pictures / "vasc.png")
        tab.get_by_role("button", name=words["glossary_heading"]).click()
        tab.get_by_text(words["handling_nv"]).first.wait_for()
        seen.append(tab.locator("body").inner_text())
        for key in ("tab_private", "tab_compare", "tab_many"):
            enter(tab, words[key])
            seen.append(tab.locator("body").inner_text())
        tab.locator("#files input[type=file]").set_input_files(pictures / "mel.png")
        tab.locator("#files td.filename[aria-label='mel.png']").wait_for()
        tab.get_by_role("button", name=words["batch_classify"]).click()
        tab.locator("#table table").wait_for()
        seen.append(tab.locator("body").inner_text())
        assert tab.title() == words["title"]
        assert tab.evaluate("document.documentElement.lang") == "id"
        labels = tab.evaluate(
            "[...document.querySelectorAll('[aria-label]')].map(e => e.ariaLabel).join('\\n')"
        )
    said = "\n".join(seen).replace(TEXTS["en"]["language"], "")  # the switch names each language
    for key, english in TEXTS["en"].items():
        other = words[key]
        if "{" not in english and len(english) > 3 and english.lower() not in other.lower():
            assert not re.search(rf"(?<!\w){re.escape(english)}(?!\w)", said), (key, english)
    # Words that are English and not Indonesian, whoever wrote them, Gradio included.
    english = r"the|and|of|with|is|are|this|use|via|drop|here|click|upload|browse|file|files|built"
    # Bibliography, and the model's own names, are what they are.
    own = [v for k, v in words.items() if k.startswith(("source_", "examples_credit"))]
    for known in (*own, title_of("cnn_16_32")):
        said = said.replace(known, "")
    assert re.findall(rf"\b(?:{english})\b", said, re.IGNORECASE) == []
    assert (
        re.findall(rf"\b(?:{english}|remove|fullscreen|thumbnail|empty|more)\b", labels, re.I) == []
    )


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "ar", "zh-CN"])
def test_browsers_of_other_languages_get_english_throughout(browser, page, pictures, locale):
    context = browser.new_context(locale=locale)
    with ready(context, page) as tab:
        enter(tab, TEXTS["en"]["tab_many"])
        tab.locator("#files input[type=file]").wait_for(state="attached")
        english = GRADIO["english"]
        for key in ("upload_text.drop_file", "upload_text.click_to_upload"):
            tab.locator("#files").get_by_text(english[key]).wait_for()
        assert english["common.or"] in tab.locator("#files").inner_text()
        assert tab.evaluate("document.documentElement.lang") == "en"
        tab.locator("#files input[type=file]").set_input_files(pictures / "mel.png")
        tab.get_by_role("button", name=english["common.clear"]).wait_for()
        shown = tab.locator("body").inner_text()
        assert re.findall(r"[À-ɏ؀-ۿ一-鿿]", shown) == []
        assert re.findall(r"\b(oder|und|Datei\w*|ou|fichier\w*)\b", shown) == []
    context.close()


def test_the_browsers_language_is_offered_and_the_visitors_choice_stays(contexts, page):
    tab = contexts["id"].new_page()
    tab.goto(page)
    tab.wait_for_url(page + "/id")
    tab.get_by_role("heading", name=TEXTS["id"]["title"]).wait_for()
    assert tab.evaluate("document.documentElement.lang") == "id"
    tab.get_by_role("link", name=TEXTS["en"]["language"]).click()
    tab.get_by_role("heading", name=TEXTS["en"]["title"]).wait_for()
    assert tab.url.rstrip("/") == page
    visit(tab, tab.reload)
    assert tab.evaluate("document.documentElement.lang") == "en"
    tab.get_by_role("link", name=TEXTS["id"]["language"]).click()
    tab.get_by_role("heading", name=TEXTS["id"]["title"]).wait_for()
    tab.close()


def test_keyboard_alone_reaches_the_answer_and_the_map(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        tab.locator("#one .examples button").first.wait_for()

        def press_until(condition, keys="Tab", most=60):
            for _ in range(most):
                if tab.evaluate(
                    f"(() => {{ const e = document.activeElement; return {condition} }})()"
                ):
                    return
                tab.keyboard.press(keys)
            raise AssertionError(f"the keyboard never reaches {condition}")

        with tab.expect_file_chooser() as chooser:
            press_until("e.closest('.picker') && (e.type === 'file' || e.matches('button'))")
            tab.keyboard.press("Enter")
        chooser.value.set_files(pictures / "vasc.png")
        tab.locator("#one .picker img").wait_for()
        press_until("e.textContent.trim() === 'Classify'", "Shift+Tab")
        tab.keyboard.press("Enter")
        answered(tab)
        press_until("e.type === 'radio'")
        first = tab.locator("#one .told").inner_text()
        tab.keyboard.press("ArrowDown")
        assert tab.locator("#one .told").inner_text() != first
        focused = "getComputedStyle(document.activeElement.closest('.share')).outlineStyle"
        assert tab.evaluate(focused) != "none"
        press_until("!!e.closest('.examples')", most=80)
        tab.keyboard.press("Enter")
        answered(tab)


def test_the_english_names_of_the_seven_are_all_there(contexts, page, pictures):
    with ready(contexts["en"], page) as tab:
        classify(tab, pictures / "mel.png")
        shown = tab.locator("#one .answer").inner_text()
        assert all(name("en", label) in shown for label in LABELS)
