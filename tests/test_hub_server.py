"""The Hub of hub_server.py as the real client sees it."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from made import CARD
from PIL import Image

FOLDER = {"config.json": b"{}", "figures/loss.png": b"png", "model.tflite": b"weights" * 1000}
README = b"---\nlicense: cc-by-nc-4.0\n---\n# Card\n"


def client(hub, token="hf_ann"):
    return HfApi(endpoint=hub.url, token=token)


def write(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def read(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def run(*command, env, cwd):
    done = subprocess.run(
        command, env=env, cwd=cwd, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_upload_is_one_commit_and_comes_back(hub, tmp_path):
    ann = client(hub)
    files = FOLDER | {"README.md": README, "big.txt": b"x" * (10 * 2**20 + 1), "empty.txt": b""}
    url = ann.create_repo("ann/skin", private=True)
    assert (url.repo_id, url.repo_type, hub.repo("ann/skin").private) == ("ann/skin", "model", True)

    pushed = ann.upload_folder(
        repo_id="ann/skin", folder_path=write(tmp_path / "run", files), commit_message="Push"
    )

    newest, first = hub.commits("ann/skin")
    assert (newest.oid, newest.parent) == (pushed.oid, first.oid)
    assert (newest.title, newest.author) == ("Push", "ann")
    assert hub.files("ann/skin").keys() == files.keys() | {".gitattributes"}
    assert {path for path, file in newest.files.items() if file.lfs} == {"model.tflite", "big.txt"}
    folder = ann.snapshot_download("ann/skin", cache_dir=tmp_path / "c", ignore_patterns=".git*")
    assert read(folder) == files
    assert folder.endswith(pushed.oid)


def test_large_files_travel_without_the_token(hub, tmp_path):
    ann = client(hub)
    ann.create_repo("ann/skin", private=True)
    ann.upload_folder(repo_id="ann/skin", folder_path=write(tmp_path / "run", FOLDER))
    ann.snapshot_download("ann/skin", cache_dir=tmp_path / "cache")

    at_cdn = [request for request in hub.requests if request.path.startswith("/cdn/")]
    assert [request.method for request in at_cdn] == ["PUT", "GET"]
    assert not any(request.token for request in at_cdn)
    assert all(request.token for request in hub.requests if request not in at_cdn)
    assert not any("xet" in request.path for request in hub.requests)


def test_only_the_patterns_asked_for_are_downloaded(hub, tmp_path):
    hub.put("ann/skin", FOLDER | {"model.weights.h5": b"keras"})
    patterns = ["config.json", "*.tflite"]
    for _ in range(2):  # the second time nothing is sent
        client(hub, token=False).snapshot_download(
            "ann/skin", cache_dir=tmp_path, allow_patterns=patterns
        )
        assert sorted(hub.downloads()) == ["config.json", "model.tflite"]


def test_same_files_make_no_commit(hub, tmp_path):
    ann, folder = client(hub), write(tmp_path, FOLDER)
    hub.put("ann/skin", FOLDER)
    before = hub.commits("ann/skin")
    ann.upload_folder(repo_id="ann/skin", folder_path=folder)
    assert hub.commits("ann/skin") == before


def test_revision_is_a_branch_a_tag_or_a_commit(hub, tmp_path):
    ann = client(hub)
    one = hub.put("ann/skin", {"config.json": b"1"})
    ann.create_tag("ann/skin", tag="v1")
    ann.create_branch("ann/skin", branch="try/two")
    add = CommitOperationAdd("config.json", b"2")
    two = ann.create_commit("ann/skin", [add], commit_message="Two", revision="try/two").oid

    points_to = {"main": one, "v1": one, one: one, "try/two": two, two: two}
    for revision, oid in points_to.items():
        data = b"1" if oid == one else b"2"
        path = ann.hf_hub_download("ann/skin", "config.json", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_bytes() == data
        assert ann.model_info("ann/skin", revision=revision).sha == oid
        assert hub.files("ann/skin", revision)["config.json"] == data
    refs = ann.list_repo_refs("ann/skin")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": one, "try/two": two}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": one}
    with pytest.raises(HfHubHTTPError, match="already exists"):
        ann.create_tag("ann/skin", tag="v1")
    ann.delete_tag("ann/skin", tag="v1")
    ann.delete_branch("ann/skin", branch="try/two")
    assert (list(hub.repo("ann/skin").branches), hub.repo("ann/skin").tags) == (["main"], {})


def test_what_the_client_lists(hub):
    ann = client(hub)
    hub.put("ann/skin", FOLDER)
    info = ann.model_info("ann/skin", files_metadata=True)
    large = {file.rfilename: file for file in info.siblings}["model.tflite"]
    assert (info.author, info.private, info.gated) == ("ann", False, False)
    assert large.lfs.sha256 == hashlib.sha256(FOLDER["model.tflite"]).hexdigest()
    assert large.size == 7000
    assert ann.model_info("ann/skin", expand=["sha"]).siblings is None
    assert ann.list_repo_files("ann/skin") == [".gitattributes", *FOLDER]
    top = {entry.path for entry in ann.list_repo_tree("ann/skin")}
    assert top == {".gitattributes", "config.json", "figures", "model.tflite"}
    (figures,) = ann.get_paths_info("ann/skin", ["figures", "nothing"], expand=True)
    assert (figures.path, figures.last_commit.title) == ("figures", "Seed")
    assert ann.file_exists("ann/skin", "config.json")
    assert not ann.file_exists("ann/skin", "nothing.json")
    assert not ann.repo_exists("ann/other")
    assert not ann.revision_exists("ann/skin", "v9")


def test_commit_is_all_or_nothing(hub):
    ann = client(hub)
    hub.put("ann/skin", FOLDER)
    stale, head = [commit.oid for commit in hub.commits("ann/skin")][::-1]

    def commit(delete, **how):
        changes = [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete(delete)]
        ann.create_commit("ann/skin", changes, commit_message="Change", **how)

    with pytest.raises(EntryNotFoundError):
        commit("none.txt")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since"):
        commit("figures/", parent_commit=stale)
    with pytest.raises(RevisionNotFoundError):
        commit("figures/", revision="nowhere")
    assert hub.repo("ann/skin").branches == {"main": head}

    commit("figures/", parent_commit=head)
    left = {".gitattributes", "config.json", "model.tflite", "new.txt"}
    assert hub.files("ann/skin").keys() == left


def test_card_with_broken_front_matter_is_refused(hub):
    ann = client(hub)
    ann.create_repo("ann/skin")
    with pytest.raises(ValueError, match="not closed"):
        ann.upload_file(repo_id="ann/skin", path_in_repo="README.md", path_or_fileobj=b"---\na: 1")
    assert len(hub.commits("ann/skin")) == 1


def test_create_and_delete(hub):
    ann = client(hub)
    ann.create_repo("ann/skin")
    ann.create_repo("ann/skin", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="already created"):
        ann.create_repo("ann/skin")
    with pytest.raises(HfHubHTTPError, match="rights to create"):
        ann.create_repo("bob/skin")
    ann.delete_repo("ann/skin")
    with pytest.raises(RepositoryNotFoundError):
        ann.delete_repo("ann/skin")


def test_tokens(hub, tmp_path):
    hub.put("ann/open", FOLDER)
    hub.put("ann/secret", FOLDER, private=True)
    hub.tokens["hf_read"] = "ann"
    hub.read_only.add("hf_read")

    assert client(hub).whoami()["name"] == "ann"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        client(hub, token="hf_wrong").whoami()
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as wrong:
        client(hub, token="hf_wrong").snapshot_download("ann/open", cache_dir=tmp_path)
    assert wrong.value.response.status_code == 401
    for token, status in [(False, 401), ("hf_bob", 404)]:  # a private repo is none to the others
        with pytest.raises(RepositoryNotFoundError) as hidden:
            client(hub, token).snapshot_download("ann/secret", cache_dir=tmp_path)
        assert hidden.value.response.status_code == status
    for token in ("hf_bob", "hf_read"):
        with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
            client(hub, token).upload_file(
                repo_id="ann/open", path_in_repo="a.txt", path_or_fileobj=b"a"
            )
    with pytest.raises(RepositoryNotFoundError):
        client(hub, False).upload_file(
            repo_id="ann/open", path_in_repo="a.txt", path_or_fileobj=b"a"
        )
    assert client(hub, "hf_read").file_exists("ann/secret", "config.json")


def test_what_is_missing_has_its_own_error(hub, tmp_path):
    ann = client(hub)
    hub.put("ann/skin", FOLDER)
    with pytest.raises(RepositoryNotFoundError):
        ann.snapshot_download("ann/nothing", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        ann.snapshot_download("nothing", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        ann.snapshot_download("ann/skin", revision="v9", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        ann.hf_hub_download("ann/skin", "config.json", revision="0" * 40, cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        ann.hf_hub_download("ann/skin", "nothing.json", cache_dir=tmp_path)


def test_gated_repo(hub, tmp_path):
    hub.put("ann/skin", FOLDER, gated=True)
    for token, status in [(False, 401), ("hf_bob", 403)]:
        with pytest.raises(GatedRepoError) as closed:
            client(hub, token).snapshot_download("ann/skin", cache_dir=tmp_path)
        assert closed.value.response.status_code == status
    assert hub.downloads() == []
    hub.repo("ann/skin").granted.add("bob")
    client(hub, "hf_bob").snapshot_download("ann/skin", cache_dir=tmp_path)
    assert len(hub.downloads()) == 1 + len(FOLDER)


def test_range(hub):
    hub.put("ann/skin", FOLDER)
    url = f"{hub.url}/ann/skin/resolve/main/model.tflite"
    data = FOLDER["model.tflite"]
    for asked, part in [("3-9", data[3:10]), ("6990-", data[6990:]), ("-5", data[-5:])]:
        answer = httpx2.get(url, headers={"Range": f"bytes={asked}"}, follow_redirects=True)
        assert (answer.status_code, answer.content) == (206, part)
    answer = httpx2.get(url, headers={"Range": "bytes=7000-"}, follow_redirects=True)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */7000")


def test_cut_download_is_taken_up_again_and_comes_back_whole(hub, tmp_path):
    hub.put("ann/skin", FOLDER)
    fault = hub.fault(r"GET /cdn/.*model\.tflite", cut=1000)
    path = client(hub).hf_hub_download("ann/skin", "model.tflite", cache_dir=tmp_path)
    assert fault.times == 0
    assert Path(path).read_bytes() == FOLDER["model.tflite"]
    assert hub.downloads() == ["model.tflite"] * 2


def test_reset_download_leaves_no_file(hub, tmp_path):
    hub.put("ann/skin", FOLDER)
    hub.fault(r"GET /cdn/.*model\.tflite", cut=1000, reset=True)
    with pytest.raises(httpx2.ReadError):
        client(hub).hf_hub_download("ann/skin", "model.tflite", cache_dir=tmp_path)
    assert not {p.suffix for p in tmp_path.rglob("*")} & {".tflite", ".incomplete"}


def test_altered_bytes_pass_the_client(hub, tmp_path):
    # Why a pull has to check the folder's own checksums: over HTTP the client checks only sizes.
    hub.put("ann/skin", FOLDER)
    hub.fault(r"GET .*config\.json", alter=True)
    path = client(hub).hf_hub_download("ann/skin", "config.json", cache_dir=tmp_path)
    assert Path(path).read_bytes() == b"{|"
    assert hub.files("ann/skin")["config.json"] == b"{}"


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, None, BadRequestError),
        (401, "RepoNotFound", RepositoryNotFoundError),
        (403, "GatedRepo", GatedRepoError),
        (404, "RevisionNotFound", RevisionNotFoundError),
        (500, None, HfHubHTTPError),
        (507, None, HfHubHTTPError),
    ],
)
def test_commit_made_to_fail_changes_nothing(hub, status, code, error):
    hub.put("ann/skin", FOLDER)
    before = hub.commits("ann/skin")
    hub.fault(r"POST /api/models/ann/skin/commit/", status=status, code=code, message="No.")
    with pytest.raises(error, match="No.") as failed:
        client(hub).upload_file(repo_id="ann/skin", path_in_repo="a.txt", path_or_fileobj=b"a")
    assert failed.value.response.status_code == status
    assert hub.commits("ann/skin") == before


@pytest.mark.parametrize("lost", [{"cut": 0}, {"status": 500}])
def test_answer_lost_after_the_commit(hub, lost):
    hub.put("ann/skin", FOLDER)
    hub.fault(r"POST .*/commit/", after=True, **lost)
    with pytest.raises((HfHubHTTPError, httpx2.RemoteProtocolError)):
        client(hub).upload_file(repo_id="ann/skin", path_in_repo="a.txt", path_or_fileobj=b"a")
    assert hub.files("ann/skin")["a.txt"] == b"a"


def test_upload_of_a_large_file_made_to_fail_leaves_no_commit(hub, tmp_path):
    ann, folder = client(hub), write(tmp_path, FOLDER)
    ann.create_repo("ann/skin")
    hub.fault(r"PUT /cdn/", status=507)
    with pytest.raises(RuntimeError, match="model.tflite") as failed:
        ann.upload_folder(repo_id="ann/skin", folder_path=folder)
    assert failed.value.__cause__.response.status_code == 507
    assert hub.files("ann/skin").keys() == {".gitattributes"}
    hub.fault(r"PUT /cdn/", status=503, headers={"Retry-After": "0"})  # the client tries again
    ann.upload_folder(repo_id="ann/skin", folder_path=folder)
    assert hub.files("ann/skin")["model.tflite"] == FOLDER["model.tflite"]


def test_hub_out_of_reach_and_back(hub, tmp_path):
    ann = client(hub)
    hub.put("ann/skin", FOLDER)
    hub.put("ann/other", FOLDER)
    folder = ann.snapshot_download("ann/skin", cache_dir=tmp_path)
    hub.stop()
    assert ann.snapshot_download("ann/skin", cache_dir=tmp_path) == folder
    with pytest.raises(LocalEntryNotFoundError):
        ann.snapshot_download("ann/other", cache_dir=tmp_path)
    hub.start()
    ann.snapshot_download("ann/other", cache_dir=tmp_path)


def test_slow_answer(hub):
    hub.put("ann/skin", FOLDER)
    hub.fault(r"GET /api/models/ann/skin", delay=5)
    with pytest.raises(httpx2.ReadTimeout):
        client(hub).model_info("ann/skin", timeout=0.1)


def test_space_is_uploaded_by_the_command(hub, tmp_path):
    root = tmp_path / "root"
    kept = {"app.py": b"print()", "README.md": README, "model/bundled/model.tflite": b"weights"}
    left = {"tests/test_a.py": b"", "runs/1/log.txt": b"", "model/__pycache__/a.pyc": b""}
    write(root, kept | left | {".gitignore": b"# built\n__pycache__/\n"})
    env = hub.env(tmp_path / "home")
    hf = str(Path(sys.executable).with_name("hf"))
    run(hf, "auth", "login", "--token", "hf_ann", env=env, cwd=root)
    exclude = ["--exclude", "tests/*", "--exclude", "runs/*"]
    run(hf, "upload", "ann/skin", ".", "--repo-type", "space", *exclude, env=env, cwd=root)

    files = hub.files("ann/skin", repo_type="space")
    assert files.keys() == kept.keys() | {".gitignore", ".gitattributes"}
    assert {path: files[path] for path in kept} == kept
    assert len(hub.commits("ann/skin", repo_type="space")) == 2
    HfApi(endpoint=hub.url, token="hf_ann").add_space_variable("ann/skin", "MODEL", "ann/skin@v1")
    assert hub.repo("ann/skin", "space").variables == {"MODEL": "ann/skin@v1"}


def parquet(colours):
    def png(colour):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": f"{colour}.png"}

    table = pa.table({"image": [png(c) for c in colours], "dx": ["melanoma"] * len(colours)})
    features = {"image": {"_type": "Image"}, "dx": {"dtype": "string", "_type": "Value"}}
    about = {"huggingface": f'{{"info": {{"features": {json.dumps(features)}}}}}'}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(about), buffer)
    return buffer.getvalue()


def test_dataset_is_loaded_by_its_id(hub, tmp_path):
    splits = {"train": ["red", "red", "red"], "validation": ["lime", "lime"], "test": ["blue"]}
    data = {f"data/{name}-00000-of-00001.parquet": parquet(c) for name, c in splits.items()}
    hub.put("marmal88/skin_cancer", data | {"README.md": CARD.encode()}, repo_type="dataset")
    script = (
        "from datasets import load_dataset\n"
        "for split, rows in load_dataset('marmal88/skin_cancer').items():\n"
        "    print(split, len(rows), rows[0]['image'].size, rows[0]['image'].getpixel((0, 0)))"
    )
    printed = run(sys.executable, "-c", script, env=hub.env(tmp_path / "home"), cwd=tmp_path)
    assert printed.splitlines() == [
        "train 3 (8, 6) (255, 0, 0)",
        "validation 2 (8, 6) (0, 255, 0)",
        "test 1 (8, 6) (0, 0, 255)",
    ]
    assert set(data) <= set(hub.downloads())
    assert not any(request.token for request in hub.requests)
