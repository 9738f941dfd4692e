"""The page: through gradio_client, and in a real browser."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from made import drawing

from model.classifier import Classifier
from model.folder import BUNDLED
from model.labels import LABELS, display_name

ROOT = Path(__file__).parents[1]
needs_browser = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed (apt-get install chromium)"
)


@contextlib.contextmanager
def served(*arguments, **environment):
    """The address of app.py, started as a user starts it, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "app.py", *arguments], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)} | environment,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stdout.read()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url + "/config", timeout=5).status_code == 200:
                    break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(trained):
    with served("--model", str(trained)) as url:
        yield url


@pytest.fixture(scope="module")
def client(page):
    return Client(page, verbose=False)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "lesion.png"
    drawing("vasc", 3).save(path)
    return path


def test_import_of_the_page_needs_no_training_packages():
    code = (
        "import sys, app; bad = {'tensorflow', 'keras', 'datasets', 'sklearn', 'matplotlib', 'jax'} "
        "& set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_predict_gives_the_models_probabilities_under_full_names(client, trained, picture):
    answer = client.predict(handle_file(picture), api_name="/predict")
    shown = {item["label"]: item["confidence"] for item in answer["confidences"]}
    assert set(shown) == {display_name(label) for label in LABELS}
    expected = Classifier(trained)(picture).probabilities
    for label, p in expected.items():
        assert shown[display_name(label)] == pytest.approx(p, abs=1e-4)
    assert answer["label"] == display_name(max(expected, key=expected.get))


@pytest.mark.parametrize(
    "content, sentence",
    [(b"hello", "not a picture"), (b"", "not a picture"), (None, "Choose a picture")],
)
def test_bad_input_gives_a_sentence_and_the_next_answer_is_right(
    client, tmp_path, picture, content, sentence
):
    bad = None
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
        bad = handle_file(tmp_path / "bad.jpg")
    with pytest.raises(Exception, match=sentence) as caught:
        client.predict(bad, api_name="/predict")
    assert "Traceback" not in str(caught.value)
    assert client.predict(handle_file(picture), api_name="/predict")["label"]


def test_page_names_model_data_and_measured_accuracy(page, trained):
    text = str(httpx.get(page + "/config").json())
    classifier = Classifier(trained)
    assert "no medical diagnosis" in text
    assert "cnn_16_32 at 24 x 32" in text and classifier.config["data"]["dataset"] in text
    assert f"{classifier.metrics['tflite']['top_1']['value']:.1%}" in text


def test_model_from_the_environment(trained):
    with served(MODEL=str(trained)) as url:
        assert "cnn_16_32" in httpx.get(url + "/config").text


def test_without_a_choice_the_bundled_model_is_served():
    backbone = Classifier(BUNDLED).config["architecture"]
    with served(MODEL="") as url:
        assert backbone in httpx.get(url + "/config").text


def test_broken_model_folder_ends_in_a_sentence(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "model.tflite").write_bytes(b"junk")
    for folder, sentence in ((copy, "does not match its checksum"), (tmp_path, "no model folder")):
        done = subprocess.run(
            [sys.executable, "app.py", "--model", str(folder)], cwd=ROOT, text=True, capture_output=True
        )
        assert done.returncode != 0 and sentence in done.stderr and "Traceback" not in done.stderr


@needs_browser
def test_upload_to_label_in_a_browser(page, trained, picture, tmp_path):
    from playwright.sync_api import sync_playwright

    expected = Classifier(trained)(picture).top(1)[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        errors = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        tab.goto(page)
        tab.locator("input[type=file]").first.set_input_files(picture)
        tab.get_by_role("button", name="Classify").click()
        heading = tab.get_by_role("heading", name=display_name(expected[0]))
        heading.wait_for(timeout=60_000)
        shares = re.findall(r"(\d+)%", tab.locator("body").inner_text())
        assert str(round(expected[1] * 100)) in shares
        assert tab.get_by_text("This is no medical diagnosis.").is_visible()

        (tmp_path / "bad.png").write_bytes(b"no picture")
        tab.reload()
        tab.locator("input[type=file]").first.set_input_files(tmp_path / "bad.png")
        tab.get_by_role("button", name="Classify").click()
        tab.get_by_text("not a picture that can be read").first.wait_for(timeout=60_000)
        assert errors == []
        browser.close()
