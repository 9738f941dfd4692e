"""Work in a copy of a model on the Hugging Face Hub, and push a model folder there in one commit.

    python train.py --output runs/NAME --push-to-hub USER/NAME [--private] [--revision BRANCH]
    python convert.py runs/NAME --push-to-hub USER/NAME
    python evaluate.py USER/NAME --push-to-hub USER/NAME

`convert.py` and `evaluate.py` take a model on the Hub to runs/USER--NAME and work there. A push is
all there, or nothing changed, but for an empty model page where there was none before.
"""

import argparse
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from model.folder import (
    CONFIG,
    METRICS,
    SPLIT,
    SUMS,
    TFLITE,
    WEIGHTS,
    new_folder,
    read_checksums,
    read_config,
    read_json,
    sha256,
    verify,
    write_checksums,
    write_json,
)
from model.hub.card import BEGIN, END, write_card
from model.hub.pull import (
    README,
    TIMEOUT,
    HubError,
    HubUnavailable,
    parse_id,
    pull,
    sentences,
    token_of,
)

# A file that a person has laid into the folder is not published by mistake.
LAYOUT = {CONFIG, WEIGHTS, TFLITE, METRICS, SPLIT, SUMS, README, "history.csv", "report.md"}
RECORD = ".hub.json"  # in a working copy: of which commit it is, and what it then held


def working_copy(name: str, api: HfApi | None = None, cache: "str | Path | None" = None) -> Path:
    """A model folder to work in: a local one as it is; one on the Hub copied to runs/USER--NAME.

    The copy (runs/USER--NAME@REVISION for a revision) is brought up to date when the Hub has a
    newer commit and nothing in the copy was changed. Where both have changed, HubError says so.
    """
    if os.path.isdir(name):
        return Path(name)
    (repo_id, revision), api = parse_id(name), api or HfApi()
    folder = Path("runs") / name.replace("/", "--")
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    try:
        with sentences(name, api):
            head = api.model_info(repo_id, revision=revision, expand=["sha"], timeout=TIMEOUT).sha
        if record.get("commit") == head:
            return folder
    except HubUnavailable as error:
        if record:
            print(f"{error} Going on with {folder}, commit {record['commit'][:7]}.")
            return folder
    pulled = pull(name, None, api, cache)
    if pulled.notice:
        print(pulled.notice)
    if folder.is_dir():
        if record and pulled.notice:
            return folder
        if not record or record["files"] != _contents(folder):
            raise HubError(
                f"{folder} holds work that is not on the Hub, where {name} is another by now. Give "
                f"that folder in place of {name} to go on with it, or move it away."
            )
        shutil.rmtree(folder)
    with new_folder(folder) as beside:
        for file in [*read_checksums(pulled.folder), SUMS]:
            # README.md may be gone from the Hub, and a path that leads elsewhere is no part of it.
            if file == Path(file).name and (pulled.folder / file).is_file():
                shutil.copyfile(pulled.folder / file, beside / file)
        _write_record(beside, name, pulled.commit)
    print(f"{name} (commit {pulled.commit[:7]}) is copied to {folder}")
    return folder


def _contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.name != RECORD]
    return {path.name: sha256(path) if path.is_file() else "folder" for path in sorted(files)}


def _write_record(folder, name, commit):
    write_json(folder / RECORD, {"model": name, "commit": commit, "files": _contents(folder)})


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    """--push-to-hub, --private, --revision, as train.py, convert.py and evaluate.py take them."""
    group = parser.add_argument_group("Hugging Face Hub")
    group.add_argument("--push-to-hub", metavar="USER/NAME", help="push the folder at the end")
    group.add_argument("--private", action="store_true", help="of a model that the push makes")
    group.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")


def check_push(args: argparse.Namespace, api: HfApi | None = None) -> None:
    """Before hours of work: HubError where the push at its end could not succeed."""
    if not args.push_to_hub:
        if args.private or args.revision:
            raise HubError("--private and --revision are for --push-to-hub USER/NAME.")
        return
    api = api or HfApi()
    _check_target(args.push_to_hub, args.revision or "main", api)
    try:
        with sentences(args.push_to_hub, api):
            user = api.whoami()
    except HubUnavailable as error:
        print(f"{error} The push is tried at the end.")
        return
    owner = args.push_to_hub.split("/")[0]
    if owner not in [user["name"], *(each["name"] for each in user.get("orgs", []))]:
        raise HubError(
            f"You are signed in to the Hub as {user['name']}, which may not push to {owner}/...: "
            "name a model of your own, or sign in anew with hf auth login."
        )


def _check_target(repo_id, revision, api):
    if "@" in repo_id:
        raise HubError(f"{repo_id}: name the branch to push to with --revision, not with @.")
    try:
        parse_id(f"{repo_id}@{revision}")
    except HubError:
        raise HubError(
            f"{repo_id}, branch {revision}, is no name that can be pushed to: name a model as "
            "USER/NAME, of letters, digits, and - _ . between them."
        ) from None
    if re.fullmatch("[0-9a-f]{40}", revision):
        raise HubError(f"{revision} is a commit; only a branch can be pushed to.")
    if not token_of(api):
        raise HubError("You are not signed in to the Hub: run hf auth login, or set HF_TOKEN.")


def push_if_asked(args: argparse.Namespace, folder: "str | Path") -> None:
    """Push `folder` where --push-to-hub was given. Raises HubError; the folder stays as it is."""
    if args.push_to_hub:
        try:
            push(folder, args.push_to_hub, args.private, args.revision or "main")
        except HubError as error:
            raise HubError(f"{error} The model itself is whole, in {folder}.") from None


def push(
    folder: "str | Path",
    repo_id: str,
    private: bool = False,
    revision: str = "main",
    api: HfApi | None = None,
) -> str:
    """Make the branch `revision` of USER/NAME hold this model folder; the commit's address.

    The folder is checked first, and its card written. Files of an earlier push that the folder no
    longer has are deleted in the same commit; files that people added on the Hub stay, and so does
    what they wrote into the card there, where nobody wrote into the folder's. The model and the
    branch are made where missing. Raises HubError, and ModelFolderError for the folder.
    """
    folder, api = Path(folder), api or HfApi()
    _check_target(repo_id, revision, api)
    read_config(folder)
    verify(folder, [file for file in read_checksums(folder) if file != README])
    for path in sorted(folder.iterdir()):
        hidden, figure = path.name.startswith("."), path.suffix == ".png"
        if path.is_file() and not (path.name in LAYOUT or hidden or figure):
            raise HubError(f"{path} is no part of a model folder: move it elsewhere, then push.")
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else None
    copied = record and parse_id(record["model"]) == (repo_id, revision)
    with sentences(repo_id, api):
        new_branch = _make_room(api, repo_id, private, revision)
        head = api.model_info(repo_id, revision=revision)
        there = {file.rfilename for file in head.siblings}
        sums = _read(api, repo_id, SUMS, head.sha) if SUMS in there else ""
        card = _read(api, repo_id, README, head.sha) if README in there else ""
        card = card and ModelCard(card, ignore_metadata_errors=True)
    if copied and record["commit"] != head.sha:
        raise HubError(
            f"{repo_id} on the Hub has changed since {folder} was copied from there, and a push "
            f"would undo that. To do it all the same, remove {folder / RECORD} and push again."
        )
    if ".gitignore" in there:
        raise HubError(f"{repo_id} has a .gitignore, by which the Hub leaves files out: delete it.")
    write_card(folder, repo_id)
    if card and (edited := _with_edits(ModelCard.load(folder / README), card)):
        edited.save(folder / README)
        write_card(folder, repo_id)
    write_checksums(folder)
    files = [*read_checksums(folder), SUMS]
    earlier = LAYOUT | {line.partition("  ")[2] for line in sums.splitlines()}
    stale = sorted(earlier & there - set(files))
    changes = [CommitOperationAdd(file, folder / file) for file in files]
    changes += [CommitOperationDelete(file) for file in stale]
    with sentences(repo_id, api):
        try:
            commit = api.create_commit(
                repo_id,
                changes,
                commit_message=f"Model folder {folder.name}",
                revision=revision,
                parent_commit=head.sha,
            ).oid
        except Exception as error:
            commit = _arrived(api, repo_id, revision, head.sha, (folder / SUMS).read_text())
            if commit is None:
                if new_branch and not isinstance(error, httpx2.TransportError):
                    with contextlib.suppress(Exception):
                        api.delete_branch(repo_id, branch=revision)
                raise
    if copied:
        _write_record(folder, record["model"], commit)
    url = f"{api.endpoint}/{repo_id}/commit/{commit}"
    if commit == head.sha:
        print(f"{repo_id} on the Hub holds all of {folder} already\n{url}")
    else:
        print(f"pushed {folder}: {len(files)} files, {len(stale)} earlier ones deleted\n{url}")
    return url


def _make_room(api, repo_id, private, revision) -> bool:
    """Make the model and the branch where missing; whether it made the branch."""
    try:
        there = api.model_info(repo_id, expand=["private"])
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
    else:
        if private and not there.private:
            raise HubError(
                f"{repo_id} is on the Hub already, and public. Make it private in its settings "
                "there, or push without --private."
            )
    if revision == "main":
        return False
    refs = api.list_repo_refs(repo_id)
    if revision in [ref.name for ref in refs.tags]:
        raise HubError(f"{revision} is a tag of {repo_id}; only a branch can be pushed to.")
    if revision in [ref.name for ref in refs.branches]:
        return False
    api.create_branch(repo_id, branch=revision)
    return True


def _read(api, repo_id, file, commit) -> str:
    with tempfile.TemporaryDirectory() as cache:
        path = api.hf_hub_download(repo_id, file, revision=commit, cache_dir=cache)
        return Path(path).read_text(encoding="utf-8", errors="replace")


def _with_edits(ours, theirs) -> ModelCard | None:
    """Our card with what people wrote into the Hub's, or None: where ours has text of its own."""
    before, _, rest = ours.text.partition(BEGIN)
    if before.strip() or rest.partition(END)[2].strip():
        return None
    before, _, rest = theirs.text.partition(BEGIN)
    ours.text = before + BEGIN + "\n" + END + (rest.partition(END)[2] or "\n")
    for key, value in theirs.data.to_dict().items():
        # Of these two, ours has none because the folder bears out none.
        if key not in {*ours.data.to_dict(), "base_model", "datasets"}:
            ours.data[key] = value
    return ours


def _arrived(api, repo_id, revision, before, sums) -> str | None:
    """The new commit, where it is the answer only that was lost."""
    with contextlib.suppress(Exception):
        now = api.model_info(repo_id, revision=revision, timeout=TIMEOUT).sha
        if now != before and _read(api, repo_id, SUMS, now) == sums:
            return now
    return None
