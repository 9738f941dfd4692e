"""The page's limits: how many calls run at once, and how long the files of a call stay.

with Room(seats=3, waiting=40): ...     waits for a seat, or raises Busy at once
keep_swept(folder)                      deletes the folder's files within the hour
"""

import threading
import time
from pathlib import Path

# Interpreters, of one thread each; calls that run at once, one more than that, so that a picture is
# decoded while the others are classified; calls that wait for those; batches that run at once.
INTERPRETERS, SEATS, WAITING, BATCHES = 2, 3, 40, 2
# Gradio's threads: enough for all calls inside, and some to refuse others at once.
THREADS = 64

# Seconds. Every EVERY, files older than KEEP are deleted, so none outlives the hour.
EVERY, KEEP = 300, 3000


class Busy(RuntimeError):
    """All seats and all places to wait are taken; nothing was done."""


class Room:
    """Lets `seats` calls run at once and `waiting` more wait, each in a thread of its own.

    Seats bound the memory that pictures take; places to wait bound how long a call can last. Any
    further call is refused at once instead of being left waiting.
    """

    def __init__(self, seats: int, waiting: int):
        self._inside = threading.Semaphore(seats + waiting)
        self._seats = threading.Semaphore(seats)

    def __enter__(self):
        if not self._inside.acquire(blocking=False):
            raise Busy
        self._seats.acquire()
        return self

    def __exit__(self, *_):
        self._seats.release()
        self._inside.release()


def sweep(folder: "str | Path", keep: float = KEEP) -> None:
    """Delete the files in `folder` that are older than `keep` seconds, and empty folders."""
    before = time.time() - keep
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        try:
            if path.lstat().st_ctime < before:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # a folder that is not empty, or a file that is already gone
            continue


def keep_swept(folder: "str | Path") -> None:
    """Make `folder`, private to this user, and sweep it now and every EVERY seconds.

    Gradio's `delete_cache` misses files that came through MCP and those of a killed process.
    """
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def work():
        while True:
            sweep(folder)
            time.sleep(EVERY)

    threading.Thread(target=work, daemon=True, name="sweep").start()
