"""Pictures that were sent do not stay: whatever is older than KEEP seconds is deleted.

Gradio's own `delete_cache` knows only the files that came through the page, not those that came
through MCP, nor those of a process that was killed. This goes by the folder.
"""

import threading
import time
from pathlib import Path

# Every 5 minutes what is older than 50 goes, so nothing outlives the hour.
EVERY, KEEP = 300, 3000


def sweep(folder: "str | Path", keep: float = KEEP) -> None:
    """Delete the files below `folder` that came there more than `keep` seconds ago, and folders
    left empty."""
    before = time.time() - keep
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        try:
            if path.lstat().st_ctime < before:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # a folder that is not empty, or what someone else has just deleted
            continue


def keep_swept(folder: "str | Path") -> None:
    """Make `folder`, for this user alone, and sweep it now and every EVERY seconds."""
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def work():
        while True:
            sweep(folder)
            time.sleep(EVERY)

    threading.Thread(target=work, daemon=True, name="sweep").start()
