"""From a data set to a label in the page, each command in a process as a user runs it."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import datasets
import httpx
import pytest
from browsing import launched
from gradio_client import Client, handle_file
from made import CARD, drawing, encode, made_rows

from model.folder import read_config, read_json, verify

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "ham10000"
TOKEN = "hf_AnnsSecretThatNobodyMaySee"
# Spelled as in the public copy of HAM10000.
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
    """A data set with the columns and the faults of the public copy: (files, number of images)."""
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
    """Collects what the commands print. At the end, the token must be nowhere."""
    lines = []
    yield lines
    assert TOKEN not in "".join(lines)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def run(printed, command, env, cwd):
    script, *arguments = command.split()
    done = subprocess.run(
        ["bash" if script.endswith(".sh") else sys.executable, ROOT / script, *arguments],
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


@contextlib.contextmanager
def serving(model, env, cwd, printed):
    """The address of a page that serves `model`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    app = subprocess.Popen(
        [sys.executable, ROOT / "app.py", "--model", model],
        cwd=cwd,
        text=True,
        env=env | {"GRADIO_SERVER_PORT": str(port)},
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
    return Client(url, verbose=False).predict(handle_file(picture), api_name="/predict")


def text_of_page(url, picture, label):
    """The text of the page in a browser, once it shows `label` as the answer to `picture`."""
    with launched() as browser:
        page = browser.new_page(locale="en-GB")
        page.set_default_timeout(120_000)
        page.goto(url, wait_until="domcontentloaded")
        shown = page.locator("#one .share").get_by_text(label)
        page.locator("#one input[type=file]").first.set_input_files(picture)
        assert not shown.is_visible()
        page.locator("#one").get_by_role("button", name="Classify", exact=True).click()
        shown.wait_for()
        return page.locator("body").inner_text()


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium on this machine")
def test_from_data_on_the_hub_to_a_label_in_the_page(hub, tmp_path, printed):
    hub.tokens[TOKEN] = "ann"
    files, images = public_copy()
    hub.put("marmal88/skin_cancer", files, repo_type="dataset")
    env = hub.env(tmp_path / "home", TOKEN, LESION_CACHE=str(tmp_path / "decoded"), HF_DEBUG="1")
    # job.sh finds everything installed, but for the build of JAX that needs a GPU.
    env |= {"JAX_BUILD": "cpu", "PIP_NO_INDEX": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    network = "--backbone cnn_16_32 --size 24x32 --weights none --batch 16 --epochs 2"
    made = run(printed, f"job.sh ann/skin {network} --set private=true", env, tmp_path)
    assert f"repeat an image and are dropped: {images} left" in made
    assert "top-1 agreement with Keras" in made
    assert "balanced accuracy" in made and "TF Lite" in made
    assert hub.repo("ann/skin").private
    assert len(hub.commits("ann/skin")) == 1 + 3  # the Hub's own, and one for each step
    measured = run(
        printed, "evaluate.py ann/skin --resamples 20 --push-to-hub ann/skin", env, tmp_path
    )
    assert "copied ann/skin" in measured
    assert len(hub.commits("ann/skin")) == 1 + 4
    copy = tmp_path / "runs" / "ann--skin"
    verify(copy)
    assert read_config(copy)["data"]["dataset"] == "marmal88/skin_cancer"
    metrics = read_json(copy / "metrics.json")
    assert {"keras", "tflite", "conversion"} <= set(metrics)
    assert metrics["data"]["part"] == "test" and metrics["tflite"]["n"] > 7
    there = {k: v for k, v in hub.files("ann/skin").items() if k != ".gitattributes"}
    assert there == {p.name: p.read_bytes() for p in copy.iterdir() if p.name != ".hub.json"}

    hub.repo("ann/skin").private = False
    sent = len(hub.downloads())
    visitor, picture = hub.env(tmp_path / "another home"), tmp_path / "lesion.jpg"
    picture.write_bytes(encode(drawing("vasc", 1)))
    with serving("ann/skin", visitor, tmp_path, printed) as url:
        needed = "README.md SHA256SUMS config.json metrics.json model.tflite".split()
        assert sorted(hub.downloads()[sent:]) == needed
        answer = predict(url, picture)
        assert len(answer) == 7
        assert sum(answer.values()) == pytest.approx(1, abs=1e-3)
        page = text_of_page(url, picture, next(iter(answer)))
        assert "medical diagnosis" in page and "cannot be reached" not in page
        printed.append(page)

    hub.stop()
    with serving("ann/skin", visitor, tmp_path, printed) as url:
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
    assert "no cached copy of ann/skin" in refused.stderr


@pytest.mark.nightly
@pytest.mark.skipif(not SHARED.exists(), reason="needs the real images in ../shared")
def test_from_real_images_to_an_answer_of_the_page(tmp_path, printed):
    env = os.environ | {"LESION_CACHE": str(tmp_path / "decoded")}
    network = "--backbone mobilenet_v2 --size 48x64 --weights none --batch 16 --epochs 2"
    folder, picture = tmp_path / "run", tmp_path / "lesion.png"
    run(printed, f"train.py --dataset {SHARED} --limit 200 {network} --output {folder}", env, ROOT)
    run(printed, f"convert.py {folder} --quantize float16", env, ROOT)
    run(printed, f"evaluate.py {folder} --resamples 20", env, ROOT)
    verify(folder)
    drawing("mel", 1).save(picture)
    with serving(folder, env, tmp_path, printed) as url:
        assert len(predict(url, picture)) == 7
