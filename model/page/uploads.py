"""The folder that keeps visitors' pictures, for less than an hour.

folder = own_folder(parent)     a new one for this process and this user alone
keep_swept(folder)              deletes each file in it within the hour
"""

import atexit
import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from model.folder import UserError

# A folder of ours has this beginning and this file, which a running page touches every EVERY.
PREFIX, SIGN = "lesion-page-", ".running"
ROOM = 1_000_000  # bytes that must be free at the start

# Seconds. Every EVERY, files older than KEEP are deleted, so none is kept for an hour.
EVERY, KEEP = 300, 3000

log = logging.getLogger(__name__)


def own_folder(parent: "str | Path | None" = None) -> Path:
    """A new folder in `parent` (default: the system's temporary folder), of mode 0700 and with a
    name that nobody can guess. It is removed when the process exits.

    Raises UserError if `parent` cannot be made or written to, or if its disk is full.
    """
    try:
        parent = Path(parent or tempfile.gettempdir()).absolute()
        if not parent.exists():
            parent.mkdir(parents=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM))
    except OSError as error:
        raise UserError(
            f"Pictures cannot be kept in {parent or 'the temporary folder'}: {error.strerror}. Set "
            "GRADIO_TEMP_DIR to a folder that you can write to, on a disk with some room."
        ) from None
    return folder


def sweep(folder: "str | Path", keep: float = KEEP) -> None:
    """Delete the files in `folder` that are older than `keep` seconds, and empty folders.

    Files may come and go meanwhile. What cannot be deleted is logged, without its name, which may
    be a patient's.
    """

    def report(error: OSError) -> None:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            log.error("A file in %s cannot be deleted: %s", folder, error.strerror)

    before = time.time() - keep
    for place, folders, files in os.walk(folder, topdown=False, onerror=report):
        for path in [Path(place, name) for name in files + folders]:
            try:
                if path.lstat().st_ctime < before:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                report(error)


def remove_abandoned(folder: Path, keep: float = KEEP) -> None:
    """Remove the folders that killed pages of the same user left beside `folder`: those whose SIGN
    was not touched for `keep` seconds."""
    for name in os.listdir(folder.parent):
        other = folder.parent / name
        try:
            if (
                name.startswith(PREFIX)
                and other.lstat().st_uid == folder.lstat().st_uid
                and (other / SIGN).lstat().st_mtime < time.time() - keep
            ):
                shutil.rmtree(other)
        except OSError:  # not a folder of ours, or another page removes it too
            continue


def look_after(folder: Path) -> None:
    """Sweep `folder`, one of `own_folder`, sign that its page runs, and remove abandoned ones.

    Raises nothing: an error is logged, and the next round may succeed.
    """
    try:
        sweep(folder)
        (folder / SIGN).touch()
        remove_abandoned(folder)
    except Exception as error:
        log.error("Sweeping %s failed and will be tried again: %s", folder, error)


def keep_swept(folder: Path) -> None:
    """Look after `folder` every EVERY seconds, in a thread of its own.

    Gradio's `delete_cache` misses files that came through MCP and those of a killed process.
    """

    def work():
        while True:
            look_after(folder)
            time.sleep(EVERY)

    threading.Thread(target=work, daemon=True, name="sweep").start()
