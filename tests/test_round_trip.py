"""From data on the Hub to a label in the page: every command as a user runs it, nothing patched."""

import contextlib
import io
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import datasets
import httpx
import pytest
from made import CARD, drawing, encode, made_rows

from model.folder import read_config, read_json, verify

ROOT = Path(__file__).parents[1]
TOKEN = "hf_AnnsSecretThatNobodyMaySee"
# As the public copy of HAM10000 spells them.
LONG_NAMES = {
    "akiec": "actinic_keratoses",
    "bcc": "basal_cell_carcinoma",
    "df": "dermatofibroma",
    "bkl": "benign_keratosis-like_lesions",
    "mel": "melanoma",
    "nv": "melanocytic_Nevi",
    "vasc": "vascular_lesions",
}
COLUMNS = "image image_id lesion_id dx dx_type age sex localization".split()


def public_copy():
    """A data set with the schema and the faults of the public copy: (files, number of images)."""
    rows = [{k: row[k] for k in COLUMNS} | {"dx": LONG_NAMES[row["dx"]]} for row in made_rows(18)]
    parts = {"train": rows[:90], "validation": rows[80:110], "test": rows[100:] + rows[:5]}
    files = {"README.md": CARD.encode()}
    for part, chosen in parts.items():
        table, file = datasets.Dataset.from_list(chosen), io.BytesIO()
        table.cast_column("image", datasets.Image()).to_parquet(file)
        files[f"data/{part}-00000-of-00001.parquet"] = file.getvalue()
    return files, len(rows)


@pytest.fixture
def printed(tmp_path):
    """Whatever the commands print, gathered; in the end nobody may have seen the token."""
    lines = []
    yield lines
    assert TOKEN not in "".join(lines)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def run(printed, script, *arguments, env, cwd):
    done = subprocess.run(
        [sys.executable, ROOT / script, *arguments],
        env=env,
        cwd=cwd,
        text=True,
        timeout=900,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed.append(done.stdout)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(1800)
def test_from_data_on_the_hub_to_a_label_in_the_page(hub, tmp_path, printed):
    hub.tokens[TOKEN] = "ann"
    files, images = public_copy()
    hub.put("marmal88/skin_cancer", files, repo_type="dataset")
    env = hub.env(tmp_path / "home", TOKEN, LESION_CACHE=str(tmp_path / "decoded"), HF_DEBUG="1")
    push = ["--push-to-hub", "ann/skin"]

    trained = run(
        printed,
        "train.py",
        "--backbone",
        "cnn_16_32",
        "--size",
        "24x32",
        "--weights",
        "none",
        "--batch",
        "16",
        "--epochs",
        "2",
        "--output",
        "runs/first",
        *push,
        "--set",
        "private=true",
        env=env,
        cwd=tmp_path,
    )
    assert f"repeat an image and are dropped: {images} left" in trained
    assert hub.repo("ann/skin").private
    run(printed, "convert.py", "ann/skin", "--quantize", "none", *push, env=env, cwd=tmp_path)
    run(printed, "evaluate.py", "ann/skin", "--resamples", "20", *push, env=env, cwd=tmp_path)
    assert len(hub.commits("ann/skin")) == 1 + 3  # the Hub's first, and one a push
    copy = tmp_path / "runs" / "ann--skin"
    verify(copy)
    assert read_config(copy)["data"]["dataset"] == "marmal88/skin_cancer"
    assert read_json(copy / "metrics.json")["tflite"]["n"] > 7
    there = {k: v for k, v in hub.files("ann/skin").items() if k != ".gitattributes"}
    assert there == {p.name: p.read_bytes() for p in copy.iterdir() if p.name != ".hub.json"}

    hub.repo("ann/skin").private = False
    sent = len(hub.downloads())
    home, picture = tmp_path / "another home", tmp_path / "lesion.jpg"
    picture.write_bytes(encode(drawing("vasc", 1)))
    with serving(hub, tmp_path, home, printed) as url:
        assert sorted(hub.downloads()[sent:]) == [
            "SHA256SUMS",
            "config.json",
            "metrics.json",
            "model.tflite",
        ]
        answer = predict(url, picture)
        assert len(answer["confidences"]) == 7
        total = sum(each["confidence"] for each in answer["confidences"])
        assert total == pytest.approx(1, abs=1e-3)
        if shutil.which("chromium"):
            page = seen_in_the_page(url, picture, answer["label"])
            assert "no medical diagnosis" in page and "cannot be reached" not in page
            printed.append(page)

    hub.stop()
    with serving(hub, tmp_path, home, printed) as url:
        assert predict(url, picture) == answer
        assert "The Hub cannot be reached" in httpx.get(url + "config").text
    refused = subprocess.run(
        [sys.executable, ROOT / "app.py", "--model", "ann/skin"],
        env=hub.env(tmp_path / "empty"),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert "No good copy of ann/skin is kept here" in refused.stderr
    if not shutil.which("chromium"):
        pytest.skip("all but the label in a browser, as there is no chromium")


@contextlib.contextmanager
def serving(hub, cwd, home, printed):
    """The page of ann/skin in a process of its own; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    app = subprocess.Popen(
        [sys.executable, ROOT / "app.py", "--model", "ann/skin"],
        cwd=cwd,
        text=True,
        env=hub.env(home, GRADIO_SERVER_PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 300
        while app.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/config").is_success:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        app.terminate()
        printed.append(app.communicate(timeout=30)[0])


def predict(url, picture):
    from gradio_client import Client, handle_file

    return Client(url, verbose=False).predict(handle_file(picture), api_name="/predict")


def seen_in_the_page(url, picture, label):
    """The text of the page in a browser, once `label` is seen there as the answer to `picture`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(locale="en-GB")
        page.set_default_timeout(120_000)
        page.goto(url, wait_until="domcontentloaded")
        shown = page.get_by_text(label).locator("visible=true").first
        page.locator("input[type=file]").first.set_input_files(picture)
        button = page.get_by_role("button", name="Classify", exact=True).first
        assert not shown.is_visible()
        button.click()
        shown.wait_for()
        text = page.locator("body").inner_text()
        browser.close()
        return text
