"""The picture chooser that the page's tabs share, in a real Chromium: on a bare page, and as app.py
serves it."""

import base64
import io
import json
import shutil
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import pytest
from browsing import launched, serving
from made import drawing, encode
from PIL import Image
from profiles import colours
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from test_app import served
from test_page_browser import DESKTOP, PHONE, serious

from model.page.served import BROWSER
from model.page.texts import TEXTS, name
from model.preprocessing import open_picture

pytestmark = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)

T = TEXTS["en"]
SMALL = {"width": 320, "height": 640}
EXAMPLES = {"mel": "ISIC_0000001", "nv": "ISIC_0000002"}
PAGE = {
    "language": "en",
    "words": T,
    "names": {label: name("en", label) for label in EXAMPLES},
    "examples": [{"name": f"{i}.webp", "id": i, "label": label} for label, i in EXAMPLES.items()]
    + [{"name": "gone.webp", "id": "gone", "label": "nv"}],
}
# A picker for each entry of a list of options in the address. `taken` and `changes` hold what they
# asked for.
HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>picker</title>
<style>CSS</style><main></main>
<script type="module">
    import {picker} from "/browser/picker.js";
    Object.assign(window, {taken: [], changes: []});
    for (const options of JSON.parse(decodeURIComponent(location.hash.slice(1)))) {
        const place = document.createElement("section");
        document.querySelector("main").append(place);
        const {more} = picker(place, PAGE, "/examples/", {
            ...options,
            changed: file => changes.push(file && file.name),
            async take(file, name) {
                const bytes = new Uint8Array(await file.arrayBuffer());
                const coded = btoa(Array.from(bytes, b => String.fromCharCode(b)).join(""));
                taken.push({name, coded});
            },
        });
        place.after(more);
    }
</script>"""
# A file that is dropped or pasted on an element.
SEND = """(target, [kind, name, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const rest = {bubbles: true, cancelable: true};
    target.dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, {clipboardData: transfer, ...rest})
        : new DragEvent(kind, {dataTransfer: transfer, ...rest}));
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the bare page."""
    examples = tmp_path_factory.mktemp("examples")
    for label, image_id in EXAMPLES.items():
        (examples / f"{image_id}.webp").write_bytes(encode(drawing(label, 1), "WEBP"))
    css = (BROWSER.parent / "page.css").read_text(encoding="utf-8")
    html = HTML.replace("CSS", css).replace("PAGE", json.dumps(PAGE))
    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse(html)),
            Mount("/browser", StaticFiles(directory=BROWSER)),
            Mount("/examples", StaticFiles(directory=examples)),
        ]
    )
    with serving(app) as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    with launched("--use-fake-device-for-media-stream") as browser:
        yield browser


@dataclass
class Bare:
    """A tab with pickers, and what a visitor does there with the first of them."""

    tab: object

    def choose(self, *files, picker=0):
        """Choose files, each (name, bytes) or (name, picture, which becomes a PNG)."""
        payloads = [
            {
                "name": name,
                "mimeType": "",
                "buffer": content if isinstance(content, bytes) else encode(content, "PNG"),
            }
            for name, content in files
        ]
        self.tab.locator("input[type=file]").nth(picker).set_input_files(payloads)

    def press(self, key):
        self.tab.get_by_role("button", name=T[key], exact=True).first.click()

    def crop(self):
        """Open the dialog; returns the frame."""
        self.press("picker_crop")
        frame = self.tab.locator(".frame")
        frame.wait_for()
        return frame

    def classified(self, count=1) -> list[tuple[str, bytes]]:
        """Press Classify: (name, bytes) of all that was taken, once it is `count`."""
        self.press("classify")
        return self.taken(count)

    def taken(self, count) -> list[tuple[str, bytes]]:
        self.tab.wait_for_function("count => taken.length >= count", arg=count)
        taken = self.tab.evaluate("taken")
        assert len(taken) == count
        return [(file["name"], base64.b64decode(file["coded"])) for file in taken]

    def changes(self) -> list:
        return self.tab.evaluate("changes")


@pytest.fixture
def bare(chromium, site):
    """A function from the options of pickers to a page with them. It must end without an error."""
    contexts, errors = [], []

    def opened(*options, **context):
        contexts.append(chromium.new_context(viewport=DESKTOP, **context))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(20_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(f"{site}/#{quote(json.dumps(options or [{}]))}")
        tab.get_by_role("button", name=T["classify"], exact=True).first.wait_for()
        return Bare(tab)

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def pixels(content) -> np.ndarray:
    """A picture or its bytes as [height, width, 3] floats, 0 to 255, as the server decodes it."""
    if isinstance(content, bytes):
        content = open_picture(content)
    return np.asarray(content.convert("RGB"), float)


def quarters(size=(400, 300)) -> Image.Image:
    """Red, green, blue and grey, from left to right in the upper and then in the lower half."""
    picture = Image.new("RGB", size, (200, 0, 0))
    width, height = size[0] // 2, size[1] // 2
    picture.paste((0, 200, 0), (width, 0, size[0], height))
    picture.paste((0, 0, 200), (0, height, width, size[1]))
    picture.paste((90, 90, 90), (width, height, *size))
    return picture


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are the same, up to what a JPEG loses."""
    return a.shape == b.shape and np.abs(a - b).mean() < 3


def edges(picture: np.ndarray) -> tuple[int, int]:
    """The row and the column after which the colours change most."""
    down, across = (np.abs(np.diff(picture, axis=axis)) for axis in (0, 1))
    return int(down.sum(axis=(1, 2)).argmax()), int(across.sum(axis=(0, 2)).argmax())


def test_the_chosen_picture_is_shown_with_its_name_and_taken_untouched(bare):
    page, sent = bare(), encode(drawing("mel", 1, (400, 300)))
    page.choose(("lesion $& {name}.jpg", sent))
    shown = page.tab.get_by_role("img", name="The chosen picture, lesion $& {name}.jpg")
    shown.wait_for()
    assert page.changes() == ["lesion $& {name}.jpg"]
    assert page.classified() == [("lesion $& {name}.jpg", sent)]
    page.press("picker_other")
    assert shown.is_hidden() and page.changes()[1:] == [None]
    assert page.tab.evaluate("document.activeElement.type") == "file"


def test_without_a_picture_a_sentence_stays_in_place(bare):
    page = bare()
    page.press("classify")
    assert page.tab.get_by_role("alert").inner_text() == T["error_none"]
    assert page.tab.evaluate("taken") == []
    page.choose(("lesion.png", drawing("mel", 1)))
    page.tab.get_by_role("img", name="lesion.png").wait_for()
    assert page.tab.get_by_role("alert").inner_text() == ""


def test_keyboard_crops_and_the_crop_is_what_is_seen_and_taken(bare):
    page, picture = bare(), quarters()
    page.choose(("lesion.png", picture))
    frame = page.crop()
    assert frame.evaluate("frame => frame === document.activeElement")
    for key in 30 * ["Shift+ArrowLeft"] + 10 * ["Shift+ArrowUp", "ArrowRight", "ArrowDown"]:
        page.tab.keyboard.press(key)
    assert page.tab.get_by_text("280 x 270 pixels", exact=True).is_visible()
    for _ in range(20):  # against the lower edge, which it cannot cross
        page.tab.keyboard.press("ArrowDown")
    page.press("picker_apply")
    page.tab.locator("dialog").wait_for(state="detached")
    shown = page.tab.locator(".photo img")
    page.tab.wait_for_function("document.querySelector('.photo img').naturalWidth === 280")
    assert page.tab.evaluate("document.activeElement.textContent") == T["picker_crop"]
    assert "lesion.png" in shown.get_attribute("alt") and len(page.changes()) == 2
    name, taken = page.classified()[0]
    assert (name, Image.open(io.BytesIO(taken)).format) == (
        "lesion.png, cropped or rotated",
        "JPEG",
    )
    taken, expected = pixels(taken), pixels(picture)[30:, 40:320]
    assert near(taken, expected) and edges(taken) == edges(expected)


def test_mouse_and_touch_move_the_frame_and_its_corners(bare):
    page, picture = bare(has_touch=True), quarters()
    page.choose(("lesion.png", picture))
    frame = page.crop()
    place = frame.bounding_box()
    x, y, width, height = (place[key] for key in ("x", "y", "width", "height"))
    page.tab.mouse.move(x + width - 5, y + height - 5)
    page.tab.mouse.down()
    page.tab.mouse.move(x + width / 2 - 5, y + height / 2 - 5, steps=4)
    page.tab.mouse.up()
    assert page.tab.get_by_text("200 x 150 pixels", exact=True).is_visible()
    touch = page.tab.context.new_cdp_session(page.tab)
    for kind, points in [
        ("touchStart", [{"x": x + width / 4, "y": y + height / 4}]),
        ("touchMove", [{"x": x + width / 2, "y": y + height / 4}]),
        ("touchEnd", []),
    ]:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.press("picker_apply")
    taken = pixels(page.classified()[0][1])
    assert near(taken, pixels(picture)[:150, 100:300])


def test_the_frame_covers_the_whole_picture_where_it_does_not_fit_on_the_screen(bare):
    page = bare()
    page.tab.set_viewport_size({"width": 320, "height": 400})
    page.choose(("lesion.png", drawing("mel", 3, (300, 600))))
    frame, canvas = page.crop().bounding_box(), page.tab.locator("canvas").bounding_box()
    assert frame == pytest.approx(canvas, abs=1) and canvas["height"] / canvas["width"] > 1.98
    assert page.tab.locator("dialog").evaluate("one => one.scrollHeight > one.clientHeight")


def test_quarter_turns_turn_the_frame_along(bare):
    page = bare()
    page.choose(("lesion.png", quarters()))
    page.crop()
    for _ in range(50):
        page.tab.keyboard.press("Shift+ArrowLeft")
    page.press("picker_right")
    page.press("picker_apply")
    expected = pixels(quarters().rotate(-90, expand=True))[:200]
    assert near(pixels(page.classified()[0][1]), expected)
    page.crop()  # goes on with the former frame, on the original
    page.press("picker_left")
    page.press("picker_left")
    page.press("picker_apply")
    expected = pixels(quarters().rotate(90, expand=True))[200:]
    assert near(pixels(page.classified(2)[1][1]), expected)


@pytest.mark.parametrize("degrees", [-45, -7, 30])
def test_a_picture_turned_by_degrees_has_no_empty_corners(bare, degrees):
    page, skin = bare(), Image.new("RGB", (400, 300), (230, 190, 170))
    for x, colour in ((0, (230, 60, 60)), (200, (60, 60, 230))):
        skin.paste(colour, (x, 140, x + 200, 160))  # a line, to see the direction
    page.choose(("lesion.png", skin))
    page.crop()
    page.tab.get_by_label(T["picker_straighten"]).fill(str(degrees))
    assert page.tab.get_by_text(f"{degrees}°", exact=True).is_visible()
    page.press("picker_apply")
    taken = pixels(page.classified()[0][1])
    height, width = taken.shape[:2]
    assert abs(width / height - 4 / 3) < 0.01 and 240 < width < 400
    turned = pixels(skin.rotate(-degrees, Image.Resampling.BICUBIC))  # clockwise, as on the page
    top, left = (300 - height) // 2, (400 - width) // 2
    assert np.abs(taken - turned[top : top + height, left : left + width]).mean() < 4
    assert np.abs(taken[[0, 0, -1, -1], [0, -1, 0, -1]] - (230, 190, 170)).max() < 8


def test_reset_shape_cancel_and_escape(bare):
    page, sent = bare(), encode(drawing("mel", 3, (500, 300)), "PNG")
    page.choose(("lesion.png", sent))
    page.crop()
    page.press("picker_ratio")
    assert page.tab.get_by_text("400 x 300 pixels", exact=True).is_visible()
    page.press("picker_left")
    assert page.tab.get_by_text("300 x 400 pixels", exact=True).is_visible()
    page.press("picker_ratio")  # which it has
    assert page.tab.get_by_text("300 x 400 pixels", exact=True).is_visible()
    page.press("picker_cancel")
    assert page.classified() == [("lesion.png", sent)] and len(page.changes()) == 1
    page.crop()
    page.press("picker_ratio")
    page.tab.keyboard.press("Escape")
    assert page.classified(2)[1] == ("lesion.png", sent)
    page.crop()
    page.press("picker_ratio")
    page.tab.get_by_label(T["picker_straighten"]).fill("5")
    page.press("picker_reset")
    assert page.tab.get_by_text("500 x 300 pixels", exact=True).is_visible()
    page.press("picker_apply")
    assert page.classified(3)[2] == ("lesion.png", sent)


def test_a_crop_is_upright_in_srgb_on_white_and_at_most_2048_pixels_a_side(bare):
    page = bare()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    buffer = io.BytesIO()
    quarters((3000, 2000)).save(
        buffer, "JPEG", exif=exif, icc_profile=colours("Display P3"), quality=95
    )
    page.choose(("lesion.jpg", buffer.getvalue()))
    page.crop()
    page.tab.keyboard.press("Shift+ArrowUp")
    page.press("picker_apply")
    taken = pixels(page.classified()[0][1])
    assert taken.shape == (2048, round(2048 * 2000 / 2970), 3)
    whole = pixels(buffer.getvalue())
    for y, x in [(0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8)]:
        there = whole[int(y * 2970), int(x * 2000)]
        here = taken[int(y * taken.shape[0]), int(x * taken.shape[1])]
        assert np.abs(here - there).max() < 6, (y, x)
    page.choose(("clear.png", Image.new("RGBA", (90, 60), (0, 0, 0, 0))))
    page.crop()
    page.press("picker_left")
    page.press("picker_apply")
    assert pixels(page.classified(2)[1][1]).min() > 250


def test_the_picture_is_enlarged_by_a_click_and_escape_goes_back(bare):
    page = bare()
    page.choose(("lesion.png", drawing("mel", 3, (1600, 1200))))
    photo = page.tab.get_by_role("button", name="The chosen picture, lesion.png")
    photo.click()
    large = page.tab.locator("dialog img")
    large.wait_for()
    assert large.bounding_box()["width"] == 1600
    whole = page.tab.locator("dialog .whole")
    assert whole.evaluate("one => one.scrollWidth > one.clientWidth")
    page.tab.keyboard.press("Escape")
    page.tab.locator("dialog").wait_for(state="detached")
    assert photo.evaluate("one => one === document.activeElement")


@pytest.mark.parametrize("local, said", [(False, "picker_unseen"), (True, "picker_unusable")])
def test_what_the_browser_cannot_show_is_named_and_taken_but_not_cropped(bare, local, said):
    page = bare({"local": local})
    page.choose(("lesion.heic", b"unknown to this browser"))
    page.tab.get_by_text(T[said].format(name="lesion.heic")).wait_for()
    assert page.tab.get_by_role("button", name=T["picker_crop"]).is_hidden()
    assert page.tab.locator(".photo").is_hidden()
    assert page.classified() == [("lesion.heic", b"unknown to this browser")]
    page.choose(("lesion.png", drawing("mel", 1)))
    page.tab.get_by_role("button", name=T["picker_crop"]).wait_for()
    assert page.tab.get_by_text(T[said].format(name="lesion.heic")).is_hidden()


def test_one_click_on_an_example_classifies_it(bare, site):
    page = bare()
    example = page.tab.get_by_role(
        "button", name=f"{T['picker_example']} {name('en', 'nv')}, ISIC_0000002"
    )
    example.click()
    assert page.taken(1) == [("ISIC_0000002.webp", encode(drawing("nv", 1), "WEBP"))]
    page.tab.get_by_role("img", name="The chosen picture, ISIC_0000002.webp").wait_for()
    page.tab.get_by_role("button", name="gone").click()
    page.tab.get_by_role("alert").get_by_text(T["error_unreachable"]).wait_for()
    assert len(page.tab.evaluate("taken")) == 1


def test_a_later_choice_replaces_an_example_that_is_still_on_its_way(bare):
    page, held = bare(), []
    page.tab.wait_for_load_state("networkidle")
    page.tab.route("**/ISIC_0000001.webp", lambda route: held.append(route))
    page.tab.get_by_role("button", name="ISIC_0000001").click()
    while not held:
        page.tab.wait_for_timeout(10)
    page.choose(("own.png", drawing("mel", 1)))
    held[0].continue_()
    page.tab.wait_for_timeout(300)
    assert page.changes() == ["own.png"] and page.tab.evaluate("taken") == []


def test_examples_can_be_left_out_and_a_picture_that_stays_here_has_its_own_hint(bare):
    page = bare({"examples": False, "local": True})
    assert page.tab.get_by_text(T["picker_private"]).is_visible()
    assert page.tab.get_by_text(T["privacy"]).count() == 0
    assert page.tab.get_by_text(T["framing"]).is_visible()
    assert page.tab.get_by_text(T["examples"], exact=True).count() == 0


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_files_go_to_the_picker_they_are_meant_for_and_never_to_a_hidden_one(bare, kind):
    page, sent = bare({}, {}, {}), base64.b64encode(encode(drawing("mel", 1))).decode()
    places = page.tab.locator("section")
    page.tab.evaluate("document.querySelector('section').style.display = 'none'")
    body = page.tab.locator("body")
    for file in ("a.hif", "b.hif"):  # each to the first that is empty
        body.evaluate(SEND, [kind, file, sent])
    places.nth(1).get_by_role("img", name="a.hif").wait_for()
    places.nth(2).get_by_role("img", name="b.hif").wait_for()
    places.nth(2).locator(".photo").evaluate(SEND, [kind, "c.hif", sent])
    places.nth(2).get_by_role("img", name="c.hif").wait_for()
    assert page.changes() == ["a.hif", "b.hif", "c.hif"]
    page.crop()
    body.evaluate(SEND, [kind, "d.hif", sent])
    assert len(page.changes()) == 3


def test_the_zone_tells_where_a_dragged_file_will_go(bare):
    page = bare({}, {})
    page.tab.locator("section").nth(1).evaluate(SEND, ["dragover", "a.png", ""])
    assert page.tab.locator("section.over").count() == 1
    assert page.tab.locator("section").nth(1).evaluate("one => one.classList.contains('over')")
    page.tab.locator("section").nth(1).evaluate(SEND, ["drop", "a.png", ""])
    assert page.tab.locator("section.over").count() == 0


def test_the_paste_button_takes_a_picture_or_says_that_there_is_none(bare):
    page = bare(permissions=["clipboard-read", "clipboard-write"])
    page.tab.evaluate("navigator.clipboard.writeText('no picture')")
    page.press("picker_paste")
    page.tab.get_by_role("alert").get_by_text(T["picker_clipboard"]).wait_for()
    page.tab.evaluate(
        """async data => navigator.clipboard.write(
            [new ClipboardItem({"image/png": await (await fetch(data)).blob()})])""",
        "data:image/png;base64," + base64.b64encode(encode(drawing("mel", 1), "PNG")).decode(),
    )
    page.press("picker_paste")
    page.tab.locator(".photo img").wait_for()
    assert near(pixels(page.classified()[0][1]), pixels(drawing("mel", 1)))


# Leaves the tab as soon as the camera opens, before the browser has drawn it.
LEAVE_AT_ONCE = """() => new MutationObserver((_, observer) => {
    observer.disconnect();
    document.querySelector("section").style.display = "none";
}).observe(document.querySelector(".film"), {attributeFilter: ["hidden"]})"""


def test_the_camera_takes_a_picture_and_is_switched_off(bare):
    page = bare(permissions=["camera"])
    live = "document.querySelector('video').srcObject !== null"
    page.press("picker_camera")
    page.tab.wait_for_function("document.querySelector('video').videoWidth > 0")
    assert page.tab.evaluate("document.activeElement.textContent") == T["picker_shoot"]
    page.press("picker_close")
    assert not page.tab.evaluate(live)
    page.press("picker_camera")
    page.tab.wait_for_function(live)
    page.tab.evaluate("document.querySelector('section').style.display = 'none'")  # another tab
    page.tab.wait_for_function(f"!({live})")
    page.tab.evaluate("document.querySelector('section').style.display = ''")
    page.tab.evaluate(LEAVE_AT_ONCE)
    page.press("picker_camera")
    page.tab.wait_for_function("document.querySelector('section').style.display === 'none'")
    page.tab.wait_for_function(f"!({live})")
    page.tab.evaluate("document.querySelector('section').style.display = ''")
    page.press("picker_camera")
    page.tab.wait_for_function("document.querySelector('video').videoWidth > 0")
    page.press("picker_shoot")
    page.tab.get_by_role("img", name="camera.jpg").wait_for()
    assert not page.tab.evaluate(live)
    ((name, taken),) = page.classified()
    assert name == "camera.jpg" and min(pixels(taken).shape[:2]) >= 240


def test_a_refused_camera_gives_a_sentence_in_place(bare):
    page = bare()
    page.press("picker_camera")
    page.tab.get_by_role("alert").get_by_text(T["error_camera"]).wait_for()
    assert page.tab.locator("video").is_hidden()
    page.choose(("lesion.png", drawing("mel", 1)))
    assert len(page.classified()) == 1


def test_several_pictures_are_taken_in_turn_and_each_can_be_seen_and_cropped(bare):
    page = bare({"multiple": True})
    assert page.tab.get_by_text(T["picker_choose_many"], exact=True).is_visible()
    page.choose(*((f"{dx}.png", drawing(dx, 1, (80, 60))) for dx in ("mel", "nv", "df")))
    names = page.tab.locator(".names button")
    assert names.all_inner_texts() == ["mel.png", "nv.png", "df.png"]
    names.nth(1).click()
    assert page.tab.locator(".names [aria-current=true]").inner_text() == "nv.png"
    page.crop()
    page.press("picker_right")
    page.press("picker_apply")
    page.tab.wait_for_function("changes.length === 3")
    assert page.changes() == ["mel.png", "nv.png", "nv.png"]
    taken = page.classified(3)
    edited = "nv.png, cropped or rotated"
    assert [name for name, _ in taken] == ["mel.png", edited, "df.png"]
    assert [pixels(content).shape[:2] for _, content in taken] == [(60, 80), (80, 60), (60, 80)]
    page.choose(("one.png", drawing("mel", 1)))
    assert names.first.is_hidden()


# --- as app.py serves it


@pytest.fixture(scope="module")
def page(trained, made):
    with served("--model", str(trained), "--examples", str(made)) as url:
        yield url


@pytest.fixture
def picture(tmp_path):
    drawing("mel", 3, (600, 450)).save(tmp_path / "lesion.png")
    return tmp_path / "lesion.png"


def entered(chromium, page, viewport, scheme, language="en"):
    tab = chromium.new_context(viewport=viewport, color_scheme=scheme).new_page()
    tab.goto(page + ("/id" if language == "id" else ""))
    words = TEXTS[language]
    tab.get_by_role("button", name=words["classify"], exact=True).first.wait_for()
    return tab


@pytest.mark.parametrize(
    "viewport, scheme, language",
    [(DESKTOP, "light", "en"), (PHONE, "dark", "id"), (SMALL, "light", "id")],
)
def test_axe_finds_nothing_in_the_picker_and_its_dialogs(
    chromium, page, picture, viewport, scheme, language
):
    tab, words = entered(chromium, page, viewport, scheme, language), TEXTS[language]

    def check(what):
        tab.wait_for_timeout(300)
        assert serious(tab) == [], what
        assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"], what
        for dialog in tab.locator("dialog").all():
            assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth"), what
            box = dialog.bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= viewport["height"], what

    check("nothing chosen")
    tab.get_by_role("button", name=words["classify"], exact=True).first.click()
    check("a sentence")
    tab.locator("input[type=file]").first.set_input_files(picture)
    tab.locator(".photo").first.wait_for()
    check("a picture")
    tab.get_by_role("button", name=words["picker_crop"]).click()
    check("crop")
    tab.keyboard.press("Escape")
    tab.locator(".photo").first.click()
    check("enlarged")
    tab.context.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hints_and_examples_are_below_the_answer_on_a_phone(chromium, page, viewport):
    tab = entered(chromium, page, viewport, "light")
    tab.locator(".more .examples button").nth(6).wait_for()
    source, answer, more = (
        tab.locator(f".columns .{part}").first.bounding_box()
        for part in ("source", "answer", "more")
    )
    assert source["y"] + source["height"] <= more["y"]
    if viewport == PHONE:
        assert source["y"] + source["height"] <= answer["y"]
        assert answer["y"] + answer["height"] <= more["y"]
    else:
        assert source["x"] + source["width"] <= answer["x"] and answer["y"] == source["y"]
        assert more["y"] - source["y"] - source["height"] < 30
    tab.context.close()


def test_keyboard_alone_chooses_crops_and_classifies(chromium, page, picture):
    tab = entered(chromium, page, DESKTOP, "light")

    def reach(name, key="Tab"):
        for _ in range(40):
            focus = tab.evaluate(
                """() => { const e = document.activeElement;
                    return e.labels?.[0]?.textContent ?? (e.ariaLabel || e.textContent); }"""
            )
            if focus == name:
                return
            tab.keyboard.press(key)
        raise AssertionError(f"the keyboard does not reach {name}")

    with tab.expect_file_chooser() as chooser:
        reach(T["picker_choose"])
        tab.keyboard.press("Enter")
    chooser.value.set_files(picture)
    tab.get_by_role("button", name=T["picker_crop"]).wait_for()
    reach(T["picker_crop"])
    tab.keyboard.press("Enter")
    tab.locator("dialog[open]").wait_for()
    reach(T["picker_frame"])
    for _ in range(50):
        tab.keyboard.press("Shift+ArrowLeft")
    reach(T["picker_right"])
    tab.keyboard.press("Enter")
    reach(T["picker_apply"])
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('.photo img').naturalWidth === 450")
    assert tab.evaluate("document.activeElement.textContent") == T["picker_crop"]
    before = tab.locator(".answer").first.inner_text()
    reach(T["classify"], "Shift+Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_function(
        """before => { const now = document.querySelector(".answer").innerText;
            return now.length > 20 && now !== before; }""",
        arg=before,
    )
    tab.context.close()
