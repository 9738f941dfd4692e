"""The four scripts in a row, as the README says them, each a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from made import drawing
from test_app import served

from model.folder import verify
from model.labels import LABELS

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "ham10000"


def script(*arguments, cache):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | {"LESION_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def chain(dataset, base, *more):
    folder, cache = base / "run", base / "cache"
    script(
        "train.py",
        "--dataset",
        dataset,
        "--output",
        folder,
        "--weights",
        "none",
        "--epochs",
        "2",
        "--batch",
        "16",
        *more,
        cache=cache,
    )
    # Two epochs leave near ties, which a coarser grid of weights may turn.
    out = script("convert.py", folder, "--quantize", "float16", cache=cache)
    assert "top-1 agreement with Keras" in out
    out = script("evaluate.py", folder, "--resamples", "20", cache=cache)
    assert "balanced accuracy" in out and "TF Lite" in out
    verify(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["data"]["part"] == "test" and {"keras", "tflite", "conversion"} <= set(metrics)
    drawing("mel", 1).save(base / "lesion.png")
    with served("--model", str(folder)) as url:
        answer = Client(url, verbose=False).predict(
            handle_file(base / "lesion.png"), api_name="/predict"
        )
    assert len(answer["confidences"]) == len(LABELS)


def test_train_convert_evaluate_serve(made, tmp_path):
    chain(made, tmp_path, "--backbone", "cnn_16_32", "--size", "24x32")


@pytest.mark.skipif(
    not SHARED.exists(), reason="the real images (../shared) are not on this machine"
)
def test_train_convert_evaluate_serve_on_real_images(tmp_path):
    chain(SHARED, tmp_path, "--backbone", "mobilenet_v2", "--size", "48x64", "--limit", "200")
