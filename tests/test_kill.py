"""Killed at any moment (killed.py), and on a full disk: no half-written folder is ever accepted."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from hub_server import CLIENT_ENV
from made import drawing

from model import folder as f
from model.classifier import Classifier
from model.page.batch import BatchRow, write_csv
from model.page.texts import text

ROOT = Path(__file__).parents[1]
SMALL = "--backbone cnn_16_32 --size 24x32 --weights none --batch 16".split()


def killed(work, kills, base, *arguments, **environment):
    """The result of killed.py; `kills` is a number, or "renames"."""
    base.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "tests/killed.py", work, str(kills), base, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | environment,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{work}: {result}")
    return result


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_training(made, tmp_path):
    arguments = ["--dataset", made, *SMALL, "--epochs", 4, "--set", f"cache={tmp_path / 'cache'}"]
    result = killed("train", 20, tmp_path / "runs", *arguments, KERAS_BACKEND="jax")
    assert result["kills"] == 20
    whole = [path for path in (tmp_path / "runs").glob("run-*") if path.suffix != ".training"]
    assert len(whole) >= 2
    for folder in whole:
        f.verify(folder)


@pytest.mark.nightly
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("work", ["convert", "evaluate"])
@pytest.mark.parametrize("kills", [10, "renames"])
def test_conversion_and_evaluation(trained, tmp_path, work, kills):
    folder = shutil.copytree(trained, tmp_path / "copy")
    arguments = ["--cache", trained.parent / "cache"]
    arguments += ["--resamples", 10] if work == "evaluate" else []
    result = killed(work, kills, tmp_path, folder, *arguments)
    assert result["kills"] >= 2
    assert Classifier(folder).labels


def test_a_change_of_a_folder_at_each_of_its_renames(tmp_path):
    """The last step of convert.py and evaluate.py, killed before and after each rename."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (f.TFLITE, f.CONFIG, f.METRICS):
        f.write_json(folder / name, {"at": 1234567890.1234567})
    f.write_checksums(folder)
    # Four files and the folder, before and after.
    assert killed("change", "renames", tmp_path, folder)["kills"] == 10


def test_where_folders_cannot_be_swapped_the_sums_come_last(tmp_path, monkeypatch):
    monkeypatch.setattr(f, "_exchange", lambda *_: False)
    (tmp_path / "folder").mkdir()
    f.write_json(tmp_path / "folder" / f.CONFIG, {"old": 1})
    f.write_checksums(tmp_path / "folder")
    order, replace = [], os.replace
    with f.changing(tmp_path / "folder") as new:
        f.write_json(new / f.CONFIG, {"new": 1})
        f.write_checksums(new)
        monkeypatch.setattr(os, "replace", lambda a, b: (order.append(b.name), replace(a, b)))
    f.verify(tmp_path / "folder")
    assert order[-1] == f.SUMS and f.read_json(tmp_path / "folder" / f.CONFIG) == {"new": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.nightly
def test_pull_and_push(trained, tmp_path, hub):
    files = {name: (trained / name).read_bytes() for name in f.read_checksums(trained)}
    files[f.SUMS] = (trained / f.SUMS).read_bytes()
    hub.put("ann/lesions", files)
    folder = shutil.copytree(trained, tmp_path / "copy")
    environment = CLIENT_ENV | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_ann",
    }
    for work, more in (("pull", []), ("push", [folder])):
        result = killed(work, 20, tmp_path / work, *more, **environment)
        assert result["kills"] == 20


# --- a full disk


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(kilobytes) mounts an empty disk of that size."""
    mounted = []

    def make(kilobytes):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("a small disk can be mounted by root only, and not in every container")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def ends_with_a_sentence(script, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, f"{script}.py", *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | environment,
        timeout=600,
    )
    # HDF5 prints an error of its own, but there is no stack trace of ours.
    assert done.returncode == 1 and f'File "{ROOT}' not in done.stderr, done.stderr[-3000:]
    assert f"{script}.py: " in done.stderr and "room" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.nightly
def test_training_on_a_full_disk(made, tmp_path, small_disk):
    disk = small_disk(60)
    arguments = ["--dataset", made, *SMALL, "--epochs", 2, "--set", f"cache={tmp_path / 'cache'}"]
    arguments += ["--output", disk / "run"]
    ends_with_a_sentence("train", *arguments, KERAS_BACKEND="jax")
    assert not (disk / "run").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("script", ["convert", "evaluate"])
def test_conversion_and_evaluation_on_a_full_disk(trained, small_disk, script):
    size = sum(path.stat().st_size for path in trained.rglob("*")) // 1024
    disk = small_disk(int(size * 1.5) + 60)
    folder = shutil.copytree(trained, disk / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    ends_with_a_sentence(script, folder, "--cache", trained.parent / "cache")
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    f.verify(folder)
    assert [path.name for path in disk.iterdir()] == ["run"]


def test_files_of_the_batch_on_a_full_disk(tmp_path, small_disk):
    path = small_disk(16) / "out.csv"
    write_csv([BatchRow("x", None, "b", 0.6, {"b": 0.6, "a": 0.4})], path)
    before = path.read_bytes()
    with pytest.raises(OSError):
        write_csv([BatchRow("x" * 900)] * 200, path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["out.csv"]


@pytest.mark.nightly
def test_the_page_on_a_full_disk(small_disk):
    from test_app import served
    from test_hostile import Asked

    disk = small_disk(4000)
    with served("--model", "model/bundled", GRADIO_TEMP_DIR=str(disk)) as url:
        page = Asked(url)
        large = drawing("mel", 1, (700, 700))
        large.save(disk.parent / "large.png")
        (disk / "ballast").write_bytes(bytes((os.statvfs(disk).f_bavail - 8) * 4096))
        sent = {"files": ("x.png", (disk.parent / "large.png").read_bytes())}
        with contextlib.suppress(httpx.HTTPError):  # Gradio hangs up, or answers with an error
            reply = httpx.post(f"{url}/gradio_api/upload", files=sent, timeout=60)
            assert reply.status_code >= 400 and "Traceback" not in reply.text
        assert page.analyze(page.good)["probabilities"] == pytest.approx(page.right)
        files = [{"path": page.good, "meta": {"_type": "gradio.FileData"}}] * 150
        (disk / "more").write_bytes(bytes(os.statvfs(disk).f_bavail * 4096))
        answer = page.queued("answer_many", [files])
        assert answer[:2] == ["", f'<p class="box notice">{text("en", "error_disk")}</p>']
        for path in (disk / "ballast", disk / "more"):
            path.unlink()
        assert page.analyze(page.upload((disk.parent / "large.png").read_bytes()))["probabilities"]
