"""What the other tests rely on in hub_server.py, seen by the real client."""

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

FILES = {"config.json": b"{}", "model.tflite": b"weights" * 1000}


def test_upload_is_one_commit_and_large_files_travel_without_the_token(hub, tmp_path):
    ann = HfApi(endpoint=hub.url, token="hf_ann")
    ann.create_repo("ann/skin", private=True)
    operations = [CommitOperationAdd(path, data) for path, data in FILES.items()]
    ann.create_commit("ann/skin", operations, commit_message="Push")
    ann.snapshot_download("ann/skin", cache_dir=tmp_path)
    assert {path: hub.files("ann/skin")[path] for path in FILES} == FILES
    assert [commit.title for commit in hub.commits("ann/skin")] == ["Push", "initial commit"]
    sent = {(r.method, r.token) for r in hub.requests if r.path.startswith("/cdn/")}
    assert sent == {("PUT", False), ("GET", False)}


def test_a_commit_is_all_or_nothing(hub):
    stale, head = hub.put("ann/skin", FILES), hub.put("ann/skin", {"a.txt": b"a"})
    change = [CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("nothing.txt")]
    for operations, parent in [(change, head), (change[:1], stale)]:
        with pytest.raises(HfHubHTTPError):
            HfApi(endpoint=hub.url, token="hf_ann").create_commit(
                "ann/skin", operations, commit_message="Change", parent_commit=parent
            )
    assert hub.repo("ann/skin").branches == {"main": head}


@pytest.mark.parametrize("token, statuses", [(False, (401, 401)), ("hf_bob", (404, 403))])
def test_private_and_gated_repos_admit_only_their_owner(hub, tmp_path, token, statuses):
    for name, error, status in zip(
        ("private", "gated"), (RepositoryNotFoundError, GatedRepoError), statuses
    ):
        hub.put(f"ann/{name}", FILES, **{name: True})
        with pytest.raises(error) as refused:
            HfApi(endpoint=hub.url, token=token).snapshot_download(
                f"ann/{name}", cache_dir=tmp_path
            )
        assert refused.value.response.status_code == status
