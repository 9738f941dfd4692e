"""Push a model folder to the Hugging Face Hub in one commit, and work in a copy of one from there.

    python train.py --output runs/NAME --push-to-hub USER/NAME
    python convert.py runs/NAME --push-to-hub USER/NAME
    python evaluate.py USER/NAME --push-to-hub USER/NAME

`convert.py` and `evaluate.py` copy a model on the Hub to runs/USER--NAME and work there. A push
succeeds as a whole or changes nothing, except that a new model page may be left empty.
"""

import argparse
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    ModelCardData,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from model.folder import (
    CONFIG,
    FINGERPRINTS,
    METRICS,
    SHIFT_FILES,
    SPLIT,
    SUMS,
    TFLITE,
    VARIANTS,
    WEIGHTS,
    new_folder,
    read_checksums,
    read_config,
    read_json,
    read_metrics,
    sha256,
    verify,
    write_checksums,
    write_json,
)
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

# Other files are refused, so that no private file is published by mistake.
LAYOUT = {CONFIG, WEIGHTS, TFLITE, METRICS, SPLIT, FINGERPRINTS, SUMS, README}
LAYOUT |= {"history.csv", "report.md", *VARIANTS.values(), *SHIFT_FILES}
RECORD = ".hub.json"  # in a working copy: the commit it was made from, and the files it then held


def working_copy(name: str, api: HfApi | None = None, cache: "str | Path | None" = None) -> Path:
    """A model folder to work in: a local one as it is; one on the Hub copied to runs/USER--NAME.

    The copy (runs/USER--NAME@REVISION for a revision) is updated when the Hub has a newer commit
    and the copy is unchanged. Raises HubError if both have changed.
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
                f"{folder} holds work that is not on the Hub, and {name} has changed there. Name "
                "that folder instead to continue with it, or move it away."
            )
        shutil.rmtree(folder)
    with new_folder(folder) as beside:
        for file in [*read_checksums(pulled.folder), SUMS]:
            # README.md may have been deleted on the Hub; a path that leads elsewhere is left out.
            if file == Path(file).name and (pulled.folder / file).is_file():
                shutil.copyfile(pulled.folder / file, beside / file)
        _write_record(beside, name, pulled.commit)
    print(f"copied {name} (commit {pulled.commit[:7]}) to {folder}")
    return folder


def _contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.name != RECORD]
    return {path.name: sha256(path) if path.is_file() else "folder" for path in sorted(files)}


def _write_record(folder, name, commit):
    write_json(folder / RECORD, {"model": name, "commit": commit, "files": _contents(folder)})


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --push-to-hub, --private and --revision, for convert.py and evaluate.py."""
    group = parser.add_argument_group("Hugging Face Hub")
    group.add_argument("--push-to-hub", metavar="USER/NAME", help="push the folder at the end")
    group.add_argument("--private", action="store_true", help="make a new model private")
    group.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")


def check_push(args: argparse.Namespace, api: HfApi | None = None) -> None:
    """Raise HubError, before hours of work, if the push at the end could not succeed."""
    if not args.push_to_hub:
        if args.private or args.revision:
            raise HubError("--private and --revision go with --push-to-hub USER/NAME.")
        return
    api = api or HfApi()
    _check_target(args.push_to_hub, args.revision or "main", api)
    try:
        with sentences(args.push_to_hub, api):
            user = api.whoami()
    except HubUnavailable as error:
        print(f"{error} The push will be tried at the end.")
        return
    owner = args.push_to_hub.split("/")[0]
    if owner not in [user["name"], *(each["name"] for each in user.get("orgs", []))]:
        raise HubError(
            f"You are signed in to the Hub as {user['name']}, who may not push to {owner}/...: "
            "name a model of your own, or sign in again with: hf auth login"
        )
    if getattr(args, "licence", None):  # of train.py
        _check_licence(args.licence)


def _check_licence(licence):
    card = ModelCard(f"---\n{ModelCardData(license=licence).to_yaml()}\n---\n")
    try:
        card.validate()
    except (httpx2.TransportError, HfHubHTTPError, OfflineModeIsEnabled):
        pass  # the push will tell
    except ValueError:
        raise HubError(
            f"--licence {licence}: the Hub does not know this licence. Name one of "
            "https://huggingface.co/docs/hub/repositories-licenses, or other."
        ) from None


def _check_target(repo_id, revision, api):
    if "@" in repo_id:
        raise HubError(
            f"{repo_id}: name the branch to push to with --revision (train.py: --set "
            "revision=BRANCH), not with @."
        )
    try:
        parse_id(f"{repo_id}@{revision}")
    except HubError:
        raise HubError(
            f"{repo_id}, branch {revision}, is not a name that can be pushed to: name a model as "
            "USER/NAME, of letters and digits with - _ . between them."
        ) from None
    if re.fullmatch("[0-9a-f]{40}", revision):
        raise HubError(f"{revision} is a commit; only a branch can be pushed to.")
    if not token_of(api):
        raise HubError("You are not signed in to the Hub: run hf auth login, or set HF_TOKEN.")


def push_if_asked(args: argparse.Namespace, folder: "str | Path") -> None:
    """Push `folder` if --push-to-hub was given. Raises HubError; the folder itself is complete."""
    if args.push_to_hub:
        try:
            push(folder, args.push_to_hub, args.private, args.revision or "main")
        except HubError as error:
            raise HubError(f"{error} The model itself is complete, in {folder}.") from None


def push(
    folder: "str | Path",
    repo_id: str,
    private: bool = False,
    revision: str = "main",
    api: HfApi | None = None,
) -> str:
    """Make the branch `revision` of USER/NAME hold this model folder; returns the commit's address.

    Checks the folder and writes its card. Files of an earlier push that the folder no longer has
    are deleted in the same commit; files that people added on the Hub stay. Their edits of the card
    there stay too, unless the folder's card has edits of its own. The model and the branch are made
    if they are missing. Raises HubError, and ModelFolderError for an incomplete folder.
    """
    from model.hub.card import write_card  # and Jinja, which parsing arguments does without

    folder, api = Path(folder), api or HfApi()
    _check_target(repo_id, revision, api)
    read_config(folder)
    verify(folder, [file for file in read_checksums(folder) if file != README])
    for path in sorted(folder.iterdir()):
        hidden, figure = path.name.startswith("."), path.suffix == ".png"
        if path.is_file() and not (path.name in LAYOUT or hidden or figure):
            raise HubError(f"{path} is not part of a model folder: move it elsewhere, then push.")
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
            f"would undo that. To push anyway, remove {folder / RECORD} and push again."
        )
    if ".gitignore" in there:
        raise HubError(f"{repo_id} has a .gitignore, which makes the Hub drop files: delete it.")
    write_card(folder, repo_id, _converted_from(folder, record, repo_id, card))
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
        print(f"{repo_id} on the Hub already holds all of {folder}\n{url}")
    else:
        print(f"pushed {folder}: {len(files)} files, {len(stale)} earlier ones deleted\n{url}")
    return url


def _converted_from(folder, record, repo_id, card) -> str | None:
    """The other model on the Hub that convert.py quantised in this working copy; card: of the model
    that the copy goes to, as it is on the Hub."""
    if not record or not (folder / TFLITE).is_file():
        return None
    source = parse_id(record["model"])[0]
    quantize = (read_metrics(folder).get("conversion") or {}).get("quantize", "none")
    anew = sha256(folder / TFLITE) != record["files"].get(TFLITE)
    said = card and (card.data.base_model, card.data.get("base_model_relation"))
    anew = anew or said == (source, "quantized")  # by an earlier push of this copy
    return source if anew and quantize != "none" and source != repo_id else None


def _make_room(api, repo_id, private, revision) -> bool:
    """Make the model and the branch if they are missing. Returns whether it made the branch."""
    try:
        there = api.model_info(repo_id, expand=["private"])
    except GatedRepoError:
        raise
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
    else:
        if private and not there.private:
            raise HubError(
                f"{repo_id} exists on the Hub and is public. Make it private in its settings "
                "there, or push without --private (train.py: private=true)."
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
    """Our card with the edits made on the Hub; None if ours has edits of its own."""
    from model.hub.card import BEGIN, END

    before, _, rest = ours.text.partition(BEGIN)
    if before.strip() or rest.partition(END)[2].strip():
        return None
    before, _, rest = theirs.text.partition(BEGIN)
    ours.text = before + BEGIN + "\n" + END + (rest.partition(END)[2] or "\n")
    for key, value in theirs.data.to_dict().items():
        # If ours lacks one of these three, it is because the folder gives no reason for one.
        if key not in {*ours.data.to_dict(), "base_model", "base_model_relation", "datasets"}:
            ours.data[key] = value
    return ours


def _arrived(api, repo_id, revision, before, sums) -> str | None:
    """The new commit, if it was made and only the answer was lost."""
    with contextlib.suppress(Exception):
        now = api.model_info(repo_id, revision=revision, timeout=TIMEOUT).sha
        if now != before and _read(api, repo_id, SUMS, now) == sums:
            return now
    return None
