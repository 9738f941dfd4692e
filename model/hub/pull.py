"""Pull model folders from the Hugging Face Hub: names, errors, downloads. push.py pushes.

    from model.hub.pull import find
    find("USER/NAME@REVISION").folder      a branch, tag or commit; or a local folder as it is

Pulls go into the Hub client's own cache (HF_HOME), one snapshot for each commit. The cache's
pointer of a branch (refs/BRANCH) moves to a commit only when its files match their SHA256SUMS. So
the pointer always names the last good copy, which serves while the Hub cannot be reached or sends
damaged files.

The client finds the token itself: in HF_TOKEN, or where `hf auth login` keeps it.
"""

import contextlib
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id

from model.folder import (
    CONFIG,
    FINGERPRINTS,
    METRICS,
    NO_ROOM,
    SPLIT,
    SUMS,
    TFLITE,
    WEIGHTS,
    ModelFolderError,
    no_folder,
    read_checksums,
    replacing,
    sha256,
)

README = "README.md"
PAGE = (CONFIG, TFLITE, METRICS)  # what a classifier reads; metrics.json if there is one
# What train.py --weights pulls; PAGE in place of WEIGHTS if there are no Keras weights.
START = (CONFIG, WEIGHTS, SPLIT, FINGERPRINTS)
OPTIONAL = (METRICS, SPLIT, FINGERPRINTS, README)  # pulled if the folder has them
TIMEOUT = 5  # seconds for an answer: a page with a cached copy should not wait long


class HubError(ModelFolderError):
    """Something that the Hub refused. The message says what, and what to do about it."""


class HubUnavailable(HubError):
    """A failure that may pass or can be repaired; until then a cached copy serves."""


@dataclass(frozen=True)
class Pulled:
    """A model folder on disk, its commit on the Hub (None for a local folder), and a notice for the
    user (for example that the Hub could not be reached) or ""."""

    folder: Path
    commit: str | None = None
    notice: str = ""


def parse_id(name: str) -> tuple[str, str]:
    """(USER/NAME, REVISION or "main") of USER/NAME or USER/NAME@REVISION. Raises HubError."""
    repo_id, at, revision = str(name).partition("@")
    fine = not at or re.fullmatch(r"\w[\w./+-]*", revision) and ".." not in revision
    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        fine = False
    if not fine or repo_id.count("/") != 1:
        raise HubError(
            f"There is no folder {name}, and that is no valid Hub id either. Use USER/NAME or "
            "USER/NAME@REVISION (branch, tag or commit)."
        )
    return repo_id, revision or "main"


# --- errors


@contextlib.contextmanager
def sentences(name: str, api: HfApi):
    """Turn the client's many kinds of errors into HubError and HubUnavailable."""
    try:
        yield
    except ModelFolderError:
        raise
    except Exception as error:
        # Errors of uploads and name look-ups come wrapped around their cause.
        while error.__cause__ is not None and not isinstance(error, httpx2.HTTPError):
            error = error.__cause__
        raise _explain(error, name, api) from None


def _explain(error: Exception, name: str, api: HfApi) -> HubError:
    repo_id, revision = parse_id(name)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError):
        return HubError(
            f"{repo_id} is gated: ask for access at {api.endpoint}/{repo_id}, then sign in with: "
            "hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{repo_id} on the Hub has no branch, tag or commit {revision}.")
    if isinstance(error, EntryNotFoundError) and status:
        return HubError(f"{name} on the Hub is not a model folder: it has no {SUMS}.")
    if isinstance(error, RepositoryNotFoundError):
        folder = no_folder(name)
        return HubError(
            f"{folder}There is no model {repo_id} on the Hub"
            f"{'' if folder else ', and no local folder of that name'}. Check the "
            "spelling. A private model needs a token that may read it: hf auth login"
        )
    if status == 401:
        return HubError(
            "The Hub refuses your token: it is wrong or no longer valid. Sign in again with "
            "hf auth login, or correct or remove HF_TOKEN."
        )
    if status == 403:
        return HubError(
            f"Your token has no permission to do this with {repo_id}. Check that {repo_id} is "
            "yours and that the token has write access, then sign in with: hf auth login"
        )
    if status == 412:
        return HubError(
            f"Someone else pushed to {repo_id} at the same time; nothing of yours was changed "
            "there. Look at that commit, then push again."
        )
    if status in (408, 429) or status >= 500:
        return HubUnavailable(f"The Hub is not available at the moment (it answers {status}).")
    if isinstance(error, OfflineModeIsEnabled):
        return HubUnavailable("The Hub was not asked, because HF_HUB_OFFLINE is set.")
    if isinstance(error, httpx2.TransportError):
        return HubUnavailable(f"The Hub cannot be reached ({type(error).__name__}).")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return HubUnavailable(
            f"There is no room on the disk for {name}: clear some, or set HF_HOME to another disk."
        )
    if isinstance(error, OSError) and error.strerror:
        return HubUnavailable(f"{error.strerror}: {error.filename or constants.HF_HUB_CACHE}.")
    message = " ".join(str(getattr(error, "server_message", None) or error).split())[:300]
    if token := token_of(api):
        message = message.replace(token, "<token>")
    if status:
        return HubError(f"The Hub refuses this for {repo_id}, with {status}: {message}")
    # For example the login page of a hotel's network in place of the Hub's answer.
    return HubUnavailable(f"The Hub's answer cannot be used ({type(error).__name__}: {message}).")


def token_of(api: HfApi) -> str | None:
    """The token that the client would send, or None."""
    return get_token() if api.token in (None, True) else api.token or None


# --- pull


def find(name: "str | Path", files: "tuple[str, ...] | None" = PAGE) -> Pulled:
    """The model folder `name`: a local folder, or else a model pulled from the Hub."""
    return Pulled(Path(name)) if os.path.isdir(name) else pull(str(name), files)


def pull(
    name: str,
    files: "tuple[str, ...] | None" = PAGE,
    api: HfApi | None = None,
    cache: "str | Path | None" = None,
) -> Pulled:
    """Pull `files` of USER/NAME[@REVISION], or the whole folder for None, into the client's cache.

    Every file is checked against SHA256SUMS, except README.md, which people edit on the Hub. If the
    Hub cannot be reached, the disk is full, or a download is damaged twice, the last good copy is
    returned with a notice. Raises HubUnavailable if there is no such copy, and HubError if the
    Hub has no such model or refuses it.
    """
    repo_id, revision = parse_id(name)
    api, cache = api or HfApi(), Path(cache or constants.HF_HUB_CACHE)
    store = cache / repo_folder_name(repo_id=repo_id, repo_type="model")
    pointer = store / "refs" / revision
    known = revision if re.fullmatch("[0-9a-f]{40}", revision) else None
    if known and not _faulty(store / "snapshots" / known, files):
        return Pulled(store / "snapshots" / known, known)  # a commit never changes
    try:
        with sentences(name, api):
            info = api.model_info(repo_id, revision=revision, expand=["sha"], timeout=TIMEOUT)
            folder = store / "snapshots" / info.sha
            if _faulty(folder, files):
                _download(api, repo_id, folder, files, cache)
    except HubUnavailable as error:
        known = known or (pointer.read_text().strip() if pointer.is_file() else "none")
        folder = store / "snapshots" / known
        if _faulty(folder, files):
            raise HubUnavailable(
                f"{no_folder(name)}{error} There is no cached copy of {name} to fall back on. Try "
                "again later, or give the path of a local model folder."
            ) from None
        notice = f"This is the cached copy of {repo_id}, commit {known[:7]}."
        return Pulled(folder, known, f"{error} {notice}")
    with contextlib.suppress(OSError):  # a read-only cache serves too
        if not pointer.is_file() or pointer.read_text() != info.sha:
            pointer.parent.mkdir(parents=True, exist_ok=True)
            with replacing(pointer) as beside:
                beside.write_text(info.sha)
    return Pulled(folder, info.sha)


def _download(api, repo_id, folder, files, cache):
    options = {"revision": folder.name, "cache_dir": cache, "etag_timeout": TIMEOUT}
    altered = True
    for _ in range(2):  # the client compares sizes only, so altered bytes are downloaded again
        if altered:
            api.hf_hub_download(repo_id, SUMS, **options)
            with contextlib.suppress(ValueError):
                wanted = _wanted(read_checksums(folder), files)
                api.snapshot_download(repo_id, allow_patterns=wanted, **options)
            faulty = _faulty(folder, files)
            altered = [file for file in faulty if _evict(folder / file)]
    if faulty:
        at, file = f"{repo_id} on the Hub, commit {folder.name[:7]},", faulty[0]
        if not altered and f"  {file}\n" not in (folder / SUMS).read_text():
            hint = f"; python convert.py {repo_id} --push-to-hub {repo_id} makes it"
            raise HubUnavailable(f"{at} has no {file}{hint if file == TFLITE else ''}.")
        raise HubUnavailable(f"{at} is damaged: {file} does not match its checksum.")


def _as_named(path: Path) -> bool:
    """Whether a file's contents have the hash by which the cache names them: SHA-256 for a large
    file, git's hash for any other. True for a file that is not a link into the cache."""
    name = Path(os.readlink(path)).name if path.is_symlink() else ""
    if len(name) == 64:
        return sha256(path) == name
    data = path.read_bytes()
    return len(name) != 40 or hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == name


def _evict(path: Path) -> bool:
    """Remove a file, and what it links to in the cache, unless that has the hash that names it.
    A new download would not help then. Returns whether the file was removed."""
    if not path.exists() or path.is_symlink() and _as_named(path):
        return False
    blob = path.parent / os.readlink(path) if path.is_symlink() else path
    for each in (blob.resolve(), blob, path):
        each.unlink(missing_ok=True)
    return True


def _wanted(sums: dict[str, str], files) -> list[str]:
    if files is None:
        return [file for file in sums if file == Path(file).name]
    if WEIGHTS in files and WEIGHTS not in sums and TFLITE in sums:
        files = (*PAGE, *(file for file in files if file != WEIGHTS))
    return [file for file in dict.fromkeys(files) if file not in OPTIONAL or file in sums]


def _faulty(folder: Path, files) -> list[str]:
    """The files to download (again), so that `files` are complete and match their checksums."""
    try:
        sums = read_checksums(folder)
    except (OSError, ValueError):
        return [SUMS]
    faulty = [file for file in _wanted(sums, files) if not _fine(folder / file, sums.get(file))]
    return faulty and [*faulty, SUMS]


def _fine(path: Path, digest: str | None) -> bool:
    if path.name == README:
        return not path.is_file() or _as_named(path)
    return path.is_file() and sha256(path) == digest
