"""Push and pull with the real client against a Hub on localhost. See hub_server.py."""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard

from model.folder import ModelFolderError, read_json, verify, write_checksums, write_json
from model.hub.pull import PAGE, START, HubError, HubUnavailable, find, parse_id, pull
from model.hub.push import check_push, push, working_copy
from model.labels import LABELS

ROOT = Path(__file__).parents[1]
TOKEN = "hf_AnnsSecretThatNobodyMaySee"
CONFIG = {
    "format": 1,
    "architecture": "mobilenet_v2",
    "head": "pooling",
    "labels": LABELS,
    "seed": 0,
    "input": {"height": 32, "width": 32},
    "preprocessing": {"scaling": "tf"},
    "calibration": {"temperature": 1.5},
    "data": {"dataset": "made", "images": 10, "licence": "cc-by-nc-4.0"},
    "weights": {"start": "none"},
    "training": {"epochs_run": 2},
}


def made(folder, tflite=b"tflite", **more):
    """A model folder whose files have the names, but not the contents, of a model's."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "split.json", {"train": ["a"], "validation": ["b"], "test": ["c"]})
    write_json(folder / "metrics.json", {})
    contents = {"model.tflite": tflite, "model.weights.h5": b"weights", "roc.png": b"png", **more}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    write_checksums(folder)
    return folder


def api(hub, token=TOKEN):
    return HfApi(endpoint=hub.url, token=token)


@pytest.fixture
def ann(hub):
    hub.tokens[TOKEN] = "ann"
    return api(hub)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def seed(hub, tmp_path, tflite=b"tflite", name="ann/skin", revision="main", **more):
    """Put a model folder on the Hub without a client. Returns the commit."""
    made(tmp_path / "seed", tflite, **more)
    files = {path.name: path.read_bytes() for path in (tmp_path / "seed").iterdir()}
    return hub.put(name, files, revision=revision)


# --- push


def test_push_is_one_commit_and_comes_back(hub, ann, cache, tmp_path):
    folder = made(tmp_path / "run")
    url = push(folder, "ann/skin", private=True, api=ann)
    commits = hub.commits("ann/skin")
    assert len(commits) == 2 and url == f"{hub.url}/ann/skin/commit/{commits[0].oid}"
    assert hub.repo("ann/skin").private
    verify(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {k: v for k, v in hub.files("ann/skin").items() if k != ".gitattributes"} == files
    assert b"license: cc-by-nc-4.0" in files["README.md"] and b"ann/skin" in files["README.md"]

    pulled = pull("ann/skin", None, ann, cache)
    assert (pulled.commit, pulled.notice) == (commits[0].oid, "")
    assert {path.name: path.read_bytes() for path in pulled.folder.iterdir()} == files

    push(folder, "ann/skin", api=ann)
    assert hub.commits("ann/skin") == commits  # nothing new, no commit


def test_push_deletes_what_the_folder_no_longer_has_and_nothing_else(hub, ann, tmp_path):
    push(made(tmp_path / "run"), "ann/skin", api=ann)
    hub.put("ann/skin", {"LICENSE": b"by hand", "figures/mine.png": b"by hand"})
    before = len(hub.commits("ann/skin"))
    for name in ("roc.png", "model.tflite"):
        (tmp_path / "run" / name).unlink()
    write_checksums(tmp_path / "run")
    push(tmp_path / "run", "ann/skin", api=ann)
    assert len(hub.commits("ann/skin")) == before + 1
    by_hand = {".gitattributes", "LICENSE", "figures/mine.png"}
    of_model = "README.md SHA256SUMS config.json metrics.json model.weights.h5 split.json".split()
    assert hub.files("ann/skin").keys() == by_hand | set(of_model)


def test_push_to_a_branch_and_pull_of_branch_tag_and_commit(hub, ann, cache, tmp_path):
    push(made(tmp_path / "run", b"one"), "ann/skin", api=ann)
    ann.create_tag("ann/skin", tag="v1")
    push(made(tmp_path / "run", b"two"), "ann/skin", revision="try/two", api=ann)
    two = hub.commits("ann/skin", "try/two")[0].oid
    for revision, data in {"main": b"one", "v1": b"one", "try/two": b"two", two: b"two"}.items():
        folder = pull(f"ann/skin@{revision}", PAGE, ann, cache).folder
        assert (folder / "model.tflite").read_bytes() == data
    with pytest.raises(HubError, match="v1 is a tag"):
        push(tmp_path / "run", "ann/skin", revision="v1", api=ann)
    with pytest.raises(HubError, match="is a commit"):
        push(tmp_path / "run", "ann/skin", revision=two, api=ann)


def test_a_public_model_is_not_pushed_to_in_private(hub, ann, tmp_path):
    seed(hub, tmp_path)
    before = hub.commits("ann/skin")
    with pytest.raises(HubError, match="public"):
        push(made(tmp_path / "run"), "ann/skin", private=True, api=ann)
    assert hub.commits("ann/skin") == before


@pytest.mark.parametrize(
    "fault, sentence",
    [
        (("POST .*/commit/", {"status": 500}), "answers 500"),
        (("POST .*/commit/", {"status": 412}), "Someone else pushed"),
        (("PUT /cdn/", {"status": 507}), "answers 507"),
        (("POST .*/commit/", {"status": 403}), "no permission"),
    ],
)
def test_push_that_fails_changes_nothing(hub, ann, tmp_path, fault, sentence):
    seed(hub, tmp_path)
    before = dict(hub.repo("ann/skin").branches)
    folder = made(tmp_path / "run", b"another")
    for revision in ("main", "new"):
        hub.faults.clear()
        hub.fault(fault[0], times=None, **fault[1])
        with pytest.raises(HubError, match=sentence):
            push(folder, "ann/skin", revision=revision, api=ann)
    assert hub.repo("ann/skin").branches == before
    verify(folder)
    hub.faults.clear()
    push(folder, "ann/skin", api=ann)
    assert hub.files("ann/skin")["model.tflite"] == b"another"


def test_push_whose_answer_is_lost_is_recognised_on_the_hub(hub, ann, tmp_path):
    hub.fault("POST .*/commit/", after=True, cut=0)
    url = push(made(tmp_path / "run"), "ann/skin", api=ann)
    assert url.endswith(hub.commits("ann/skin")[0].oid)
    assert len(hub.commits("ann/skin")) == 2


def test_damaged_or_foreign_files_are_not_pushed(hub, ann, tmp_path):
    folder = made(tmp_path / "run")
    (folder / "patients.csv").write_text("names")
    with pytest.raises(HubError, match="patients.csv is not part"):
        push(folder, "ann/skin", api=ann)
    (folder / "patients.csv").unlink()
    (folder / "model.tflite").write_bytes(b"TFLITE")
    with pytest.raises(ModelFolderError, match="model.tflite does not match"):
        push(folder, "ann/skin", api=ann)
    with pytest.raises(ModelFolderError, match="is not a model folder"):
        push(tmp_path, "ann/skin", api=ann)
    assert hub.requests == []


def test_edits_of_the_card_on_the_hub_are_kept(hub, ann, cache, tmp_path):
    push(made(tmp_path / "run"), "ann/skin", api=ann)
    card = hub.files("ann/skin")["README.md"].decode()
    card = card.replace("license:", "language: en\nlicense:", 1) + "\nAsk Ann about the camera.\n"
    hub.put("ann/skin", {"README.md": card.encode()})
    pulled = pull(
        "ann/skin", None, ann, cache
    )  # though SHA256SUMS has the hash of another README.md
    assert "Ask Ann" in (pulled.folder / "README.md").read_text()

    push(made(tmp_path / "other", b"newer"), "ann/skin", api=ann)
    pushed = hub.files("ann/skin")
    assert b"Ask Ann" in pushed["README.md"] and b"language: en" in pushed["README.md"]
    assert pushed["model.tflite"] == b"newer"

    made(tmp_path / "third", **{"README.md": card.replace("Ann", "Bob").encode()})
    push(tmp_path / "third", "ann/skin", api=ann)
    assert b"Ask Bob" in hub.files("ann/skin")["README.md"]
    assert b"Ask Ann" not in hub.files("ann/skin")["README.md"]


def asked(repo="ann/skin", private=False, revision=None):
    return argparse.Namespace(push_to_hub=repo, private=private, revision=revision)


def test_a_push_that_cannot_succeed_is_refused_before_the_work(hub, ann, capsys):
    check_push(asked(), ann)
    check_push(asked(None), ann)
    refused = [
        (asked(None, private=True), ann, "go with --push-to-hub"),
        (asked("skin"), ann, "USER/NAME"),
        (asked("ann/skin@v1"), ann, "--revision"),
        (asked("bob/skin"), ann, "signed in to the Hub as ann"),
        (asked(), api(hub, False), "not signed in"),
        (asked(), api(hub, "hf_wrong"), "refuses your token"),
    ]
    for args, client, sentence in refused:
        with pytest.raises(HubError, match=sentence):
            check_push(args, client)
    hub.stop()
    check_push(asked(), ann)
    assert "cannot be reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    "licence, fault, known",
    [("cc-by-4.0", {}, True), ("free", {}, False), ("free", {"status": 503}, True)],
)
def test_a_licence_that_the_hub_does_not_know_is_refused_before_the_work(
    hub, tmp_path, licence, fault, known
):
    hub.tokens[TOKEN] = "ann"
    if fault:  # the push will tell
        hub.fault("POST /api/validate-yaml", **fault)
    code = (
        "import argparse\n"
        "from model.hub.push import check_push\n"
        f"args = {{'push_to_hub': 'ann/skin', 'revision': None, 'licence': {licence!r}}}\n"
        "check_push(argparse.Namespace(**args))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=hub.env(tmp_path, TOKEN),
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == known, done.stderr
    assert ("--licence free: the Hub does not know this licence" in done.stderr) != known


def test_push_without_the_right_to(hub, tmp_path):
    folder = made(tmp_path / "run")
    seed(hub, tmp_path)
    hub.tokens["hf_read"] = "ann"
    hub.read_only.add("hf_read")
    for token, repo, sentence in [
        (False, "ann/skin", "not signed in"),
        ("hf_wrong", "ann/skin", "refuses your token"),
        ("hf_bob", "ann/skin", "no permission"),
        ("hf_bob", "ann/new", "no permission"),
        ("hf_read", "ann/skin", "no permission"),
    ]:
        with pytest.raises(HubError, match=sentence):
            push(folder, repo, api=api(hub, token))
    assert len(hub.commits("ann/skin")) == 2 and len(hub.repos) == 1


# --- pull


def test_only_the_needed_files_are_downloaded(hub, cache, tmp_path):
    seed(hub, tmp_path)
    client = api(hub, False)
    for _ in range(2):
        pulled = pull("ann/skin", PAGE, client, cache)
        assert sorted(hub.downloads()) == ["SHA256SUMS", *sorted(PAGE)]
    assert (pulled.folder / "model.tflite").read_bytes() == b"tflite"
    pull("ann/skin", START, client, cache)
    assert sorted(hub.downloads()[4:]) == ["model.weights.h5", "split.json"]


@pytest.mark.parametrize("left_out", ["model.weights.h5", "model.tflite"])
def test_start_weights_are_those_of_keras_or_else_of_the_tflite_file(
    hub, cache, tmp_path, left_out
):
    folder = made(tmp_path / "seed")
    (folder / left_out).unlink()
    (folder / "fingerprints.npz").write_bytes(b"fingerprints")
    write_checksums(folder)
    hub.put("ann/skin", {path.name: path.read_bytes() for path in folder.iterdir()})
    pull("ann/skin", START, api(hub, False), cache)
    found = ["model.weights.h5"] if left_out == "model.tflite" else ["metrics.json", "model.tflite"]
    pictures = ["fingerprints.npz", "split.json"]  # which pictures the start was trained on
    assert sorted(hub.downloads()) == sorted(["SHA256SUMS", "config.json", *found, *pictures])


def test_a_local_folder_wins(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "ann" / "skin")
    assert find("ann/skin").folder == Path("ann/skin")
    assert working_copy("ann/skin") == Path("ann/skin")


@pytest.mark.parametrize(
    "name",
    ["", "ann/s kin", "ann/skin@v1 2", "a/" + "n" * 100, "runs\x00/x"]
    + "skin a/b/c /ann/skin ann/ ann/skin@ ann/skin@../../x ../skin".split()
    + "ann--x/skin ann/skin.git ann/skin@/v1".split(),
)
def test_invalid_model_names(name):
    with pytest.raises(HubError, match="USER/NAME"):
        find(name)


def test_model_names():
    assert parse_id("ann/skin") == ("ann/skin", "main")
    assert parse_id("ann/skin-2.0@refs/pr/1") == ("ann/skin-2.0", "refs/pr/1")


@pytest.mark.parametrize("file", ["config.json", "model.tflite"])
def test_altered_bytes_are_downloaded_again(hub, cache, tmp_path, file):
    seed(hub, tmp_path)
    fault = hub.fault(rf"GET .*{file}", alter=True)
    pulled = pull("ann/skin", PAGE, api(hub, False), cache)
    assert fault.times == 0 and pulled.notice == ""
    verify(pulled.folder, list(PAGE))


@pytest.mark.parametrize(
    "fault",
    [
        ("GET .*metrics.json", {"alter": True}),
        ("GET .*model.tflite", {"alter": True}),
        ("GET .*SHA256SUMS", {"cut": 3, "reset": True}),
        ("GET .*model.tflite", {"cut": 3, "reset": True}),
        ("GET .*model.tflite", {"status": 500}),
        ("GET /api/", {"status": 503}),
        ("GET /api/", {"reset": True, "cut": 0}),
        ("GET /api/", {"cut": 5}),
        ("GET /api/", {"status": 200, "message": "Sign in to this hotel's network."}),
    ],
)
def test_a_good_copy_is_kept_until_a_newer_one_is_complete(hub, cache, tmp_path, fault):
    client = api(hub, False)
    one = seed(hub, tmp_path, b"the one")
    good = pull("ann/skin", PAGE, client, cache)
    two = seed(hub, tmp_path, b"the two", **{"metrics.json": b'{"a": 2}'})
    hub.fault(fault[0], times=None, **fault[1])
    for _ in range(2):
        pulled = pull("ann/skin", PAGE, client, cache)
        assert (pulled.folder, pulled.commit) == (good.folder, one)
        assert one[:7] in pulled.notice
        assert (pulled.folder / "model.tflite").read_bytes() == b"the one"
        verify(pulled.folder, list(PAGE))
    with pytest.raises(HubUnavailable, match="no cached copy of ann/skin"):
        pull("ann/skin", PAGE, client, tmp_path / "empty")

    hub.faults.clear()
    for place in (cache, tmp_path / "empty"):
        pulled = pull("ann/skin", PAGE, client, place)
        assert (pulled.commit, pulled.notice) == (two, "")
        assert (pulled.folder / "model.tflite").read_bytes() == b"the two"


def test_a_commit_that_does_not_match_its_own_checksums(hub, cache, tmp_path):
    client = api(hub, False)
    one = seed(hub, tmp_path)
    good = pull("ann/skin", PAGE, client, cache)
    sums = hub.files("ann/skin")["SHA256SUMS"]
    for damaged in (sums[:20], b"", sums.replace(b"  config", b"\n config"), b"0" + sums[1:]):
        hub.put("ann/skin", {"SHA256SUMS": damaged})
        pulled = pull("ann/skin", PAGE, client, cache)
        assert (pulled.folder, pulled.commit) == (good.folder, one) and pulled.notice
        verify(good.folder, list(PAGE))
    hub.put("ann/skin", {"SHA256SUMS": sums, "model.tflite": b"by hand"})
    assert "model.tflite does not match" in pull("ann/skin", PAGE, client, cache).notice
    verify(good.folder, list(PAGE))


def test_unreachable_hub(hub, cache, tmp_path):
    client = api(hub, False)
    commit = seed(hub, tmp_path)
    pull("ann/skin", PAGE, client, cache)
    hub.stop()
    start = time.monotonic()
    pulled = pull("ann/skin", PAGE, client, cache)
    assert pulled.commit == commit
    assert "cannot be reached" in pulled.notice and commit[:7] in pulled.notice
    assert pull(f"ann/skin@{commit}", PAGE, client, cache).notice == ""  # a commit never changes
    for name, files in [("ann/other", PAGE), ("ann/skin@v1", PAGE), ("ann/skin", None)]:
        with pytest.raises(HubUnavailable, match=f"no cached copy of {name}"):
            pull(name, files, client, cache)
    assert time.monotonic() - start < 15  # the client alone would retry for 23 s
    hub.start()
    assert pull("ann/skin", PAGE, client, cache).notice == ""


def test_hub_that_does_not_answer_in_time(hub, cache, tmp_path, monkeypatch):
    client = api(hub, False)
    seed(hub, tmp_path)
    pull("ann/skin", PAGE, client, cache)
    monkeypatch.setattr("model.hub.pull.TIMEOUT", 0.2)
    hub.fault("GET /api/", delay=30)
    start = time.monotonic()
    assert "cannot be reached" in pull("ann/skin", PAGE, client, cache).notice
    assert time.monotonic() - start < 15


def test_a_copy_damaged_on_disk_is_downloaded_again_or_not_served(hub, cache, tmp_path):
    client = api(hub, False)
    seed(hub, tmp_path)
    folder = pull("ann/skin", PAGE, client, cache).folder
    (folder / "model.tflite").resolve().write_bytes(b"tflitE")
    hub.stop()
    with pytest.raises(HubUnavailable, match="no cached copy"):
        pull("ann/skin", PAGE, client, cache)
    hub.start()
    pulled = pull("ann/skin", PAGE, client, cache)
    assert pulled.notice == "" and (folder / "model.tflite").read_bytes() == b"tflite"


def test_full_disk(hub, cache, tmp_path):
    client = api(hub, False)
    one = seed(hub, tmp_path, b"one")
    pull("ann/skin", PAGE, client, cache)
    seed(hub, tmp_path, b"two" * 2**19)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))  # instead of a full disk
    try:
        pulled = pull("ann/skin", PAGE, client, cache)
        with pytest.raises(HubUnavailable, match="no room on the disk for ann/skin"):
            pull("ann/skin", PAGE, client, tmp_path / "empty")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert pulled.commit == one and "no room on the disk" in pulled.notice
    assert not list(tmp_path.rglob("*.incomplete"))
    assert pull("ann/skin", PAGE, client, cache).notice == ""


@pytest.mark.parametrize(
    "name, token, sentence",
    [
        ("ann/nothing", False, "There is no model ann/nothing on the Hub, and no local folder"),
        ("ann/nothing", "hf_bob", "There is no model ann/nothing on the Hub, and no local folder"),
        ("ann/secret", False, "A private model needs a token"),
        ("ann/secret", "hf_bob", "A private model needs a token"),
        ("ann/skin@v9", False, "ann/skin on the Hub has no branch, tag or commit v9"),
        ("ann/skin@" + "0" * 40, False, "no branch, tag or commit 000"),
        ("ann/gated", False, "ann/gated is gated: ask for access at http"),
        ("ann/gated", "hf_bob", "ann/gated is gated"),
        ("ann/skin", "hf_wrong", "The Hub refuses your token"),
        ("ann/foreign", False, "not a model folder: it has no SHA256SUMS"),
    ],
)
def test_models_that_the_hub_refuses(hub, cache, tmp_path, name, token, sentence):
    seed(hub, tmp_path)
    kept = pull("ann/skin", PAGE, api(hub, False), cache)
    seed(hub, tmp_path, name="ann/secret")
    seed(hub, tmp_path, name="ann/gated")
    hub.repo("ann/secret").private = hub.repo("ann/gated").gated = True
    hub.put("ann/foreign", {"pytorch_model.bin": b""})
    with pytest.raises(HubError, match=sentence) as refused:
        pull(name, PAGE, api(hub, token), cache)
    assert "\n" not in str(refused.value)
    verify(kept.folder, list(PAGE))
    assert pull("ann/skin", PAGE, api(hub, False), cache) == kept


def test_newest_commit_has_no_converted_model(hub, cache, tmp_path):
    client = api(hub, False)
    one = seed(hub, tmp_path)
    pull("ann/skin", PAGE, client, cache)
    (tmp_path / "seed" / "model.tflite").unlink()
    write_checksums(tmp_path / "seed")
    hub.put("ann/skin", {"SHA256SUMS": (tmp_path / "seed" / "SHA256SUMS").read_bytes()})
    pulled = pull("ann/skin", PAGE, client, cache)
    assert pulled.commit == one and "convert.py ann/skin --push-to-hub ann/skin" in pulled.notice
    with pytest.raises(HubUnavailable, match="has no model.tflite"):
        pull("ann/skin", PAGE, client, tmp_path / "empty")


def test_checksums_cannot_lead_out_of_the_folder(hub, cache, tmp_path):
    seed(hub, tmp_path)
    sums = hub.files("ann/skin")["SHA256SUMS"] + b"0" * 64 + b"  ../../refs/main\n"
    hub.put("ann/skin", {"SHA256SUMS": sums})
    pulled = pull("ann/skin", None, api(hub, False), cache)
    assert (cache / "models--ann--skin" / "refs" / "main").read_text() == pulled.commit


def test_training_starts_from_a_model_on_the_hub(hub, tmp_path):
    commit = seed(hub, tmp_path)
    code = """
import train
from model.training.weights import start_weights, weights_record
start = start_weights("ann/skin@main")
print(sorted(path.name for path in start.iterdir()))
print(weights_record("ann/skin@main", start))
print(start_weights("imagenet"), start_weights("nothing.h5"))
train.main(["--output", "runs/new", "--weights", "ann/skin@v9"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hub.env(tmp_path / "home") | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=300,
    )
    files, record, others = done.stdout.splitlines()
    assert files == "['SHA256SUMS', 'config.json', 'model.weights.h5', 'split.json']"
    assert "'start': 'ann/skin'" in record and commit in record and "{'start': 'none'}" in record
    assert others == "None nothing.h5"
    assert "ann/skin on the Hub has no branch, tag or commit v9" in done.stderr
    assert not (tmp_path / "runs").exists()


# --- working copies


def test_working_copy(hub, ann, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = seed(hub, tmp_path, b"one")
    folder = working_copy("ann/skin", ann, cache)
    assert folder == Path("runs/ann--skin")
    verify(folder)
    assert read_json(folder / ".hub.json")["commit"] == one
    assert not any(path.is_symlink() for path in folder.iterdir())

    two = seed(hub, tmp_path, b"two")  # unchanged here: replaced by the newer one
    assert working_copy("ann/skin", ann, cache) == folder
    assert (folder / "model.tflite").read_bytes() == b"two"
    assert read_json(folder / ".hub.json")["commit"] == two

    (folder / "report.md").write_text("mine")  # changed only here: kept
    write_checksums(folder)
    assert working_copy("ann/skin", ann, cache) == folder
    assert (folder / "report.md").read_text() == "mine"

    seed(hub, tmp_path, b"three")  # changed on both sides
    with pytest.raises(HubError, match="holds work that is not on the Hub"):
        working_copy("ann/skin", ann, cache)
    with pytest.raises(HubError, match="has changed since"):
        push(folder, "ann/skin", api=ann)
    assert hub.files("ann/skin")["model.tflite"] == b"three"
    assert (folder / "report.md").read_text() == "mine"

    hub.stop()
    assert working_copy("ann/skin", ann, cache) == folder
    assert "Going on with runs/ann--skin" in capsys.readouterr().out


def test_working_copy_after_a_push_is_up_to_date(hub, ann, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seed(hub, tmp_path)
    folder = working_copy("ann/skin@main", ann, cache)
    assert folder == Path("runs/ann--skin@main")
    (folder / "report.md").write_text("measured")
    write_checksums(folder)
    push(folder, "ann/skin", api=ann)
    assert hub.files("ann/skin")["report.md"] == b"measured"
    assert ".hub.json" not in hub.files("ann/skin")
    sent = len(hub.downloads())
    assert working_copy("ann/skin@main", ann, cache) == folder
    assert len(hub.downloads()) == sent


@pytest.mark.parametrize("quantize, relation", [("dynamic", "quantized"), ("none", None)])
def test_a_quantised_copy_names_the_model_that_it_was_made_of(
    hub, ann, cache, tmp_path, monkeypatch, quantize, relation
):
    monkeypatch.chdir(tmp_path)
    seed(hub, tmp_path)
    folder = working_copy("ann/skin", ann, cache)
    push(folder, "ann/same", api=ann)
    assert "base_model" not in front_matter(hub, "ann/same")
    (folder / "model.tflite").write_bytes(b"smaller")  # as convert.py does
    write_json(folder / "metrics.json", {"conversion": {"quantize": quantize}})
    write_checksums(folder)
    push(folder, "ann/smaller", api=ann)
    front = front_matter(hub, "ann/smaller")
    assert front.get("base_model") == (relation and "ann/skin")
    assert front.get("base_model_relation") == relation
    push(folder, "ann/skin", api=ann)
    assert "base_model" not in front_matter(hub, "ann/skin")
    push(folder, "ann/smaller", api=ann)
    assert front_matter(hub, "ann/smaller") == front


def front_matter(hub, name):
    return ModelCard(hub.files(name)["README.md"].decode()).data.to_dict()


def test_working_copy_does_not_overwrite_a_folder_that_it_did_not_make(
    hub, ann, cache, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    seed(hub, tmp_path)
    (tmp_path / "runs" / "ann--skin").mkdir(parents=True)
    (tmp_path / "runs" / "ann--skin" / "notes.txt").write_text("mine")
    with pytest.raises(HubError, match="move it away"):
        working_copy("ann/skin", ann, cache)
    assert (tmp_path / "runs" / "ann--skin" / "notes.txt").read_text() == "mine"


# --- the token


def test_the_token_of_hf_auth_login_is_used_and_never_shown(hub, ann, tmp_path):
    folder = made(tmp_path / "run")
    env = hub.env(tmp_path / "home") | {"PYTHONPATH": str(ROOT), "HF_DEBUG": "1"}
    hf = str(Path(sys.executable).with_name("hf"))
    login = subprocess.run(
        [hf, "auth", "login", "--token", TOKEN], env=env, text=True, capture_output=True
    )
    assert login.returncode == 0, login.stderr
    code = f"""
import logging; logging.basicConfig(level="INFO")
import traceback
from model.hub.pull import pull
from model.hub.push import push
print(push({str(folder)!r}, "ann/skin", private=True))
print(pull("ann/skin", None))
for repo in ("bob/skin", "ann/skin@v9", "ann/refused", "ann/echo"):
    try:
        push({str(folder)!r}, repo) if "@" not in repo else pull(repo)
    except Exception:
        traceback.print_exc()
"""
    hub.fault("POST .*/ann/refused/commit", times=None, status=400, message=f"Bad {TOKEN}.")
    hub.fault("GET /api/models/ann/echo", times=None, status=401, message=f"No such token {TOKEN}.")
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 0 and hub.repo("ann/skin").private, done.stderr
    printed = done.stdout + done.stderr
    assert printed.count("model.hub.pull.HubError: ") == 4 and "Bad <token>." in printed
    assert TOKEN not in printed
    for path in [*folder.iterdir(), *(tmp_path / "home" / "hub").rglob("*")]:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    assert not any(TOKEN.encode() in data for data in hub.files("ann/skin").values())
