"""The page's limits: how many calls run at once, and how long the files of a call are kept.

with Room(seats=3, waiting=40): ...     waits for a seat, or raises Busy at once
keep_swept(folder)                      deletes each file of the folder within an hour
"""

import threading
import time
from pathlib import Path

INTERPRETERS = 2  # one thread each
SEATS = 3  # concurrent calls: one more, so that a picture is decoded while two are classified
WAITING = 40  # calls that may queue
BATCHES = 2  # concurrent batches
THREADS = 64  # Gradio's: enough for all calls that run or wait, and to refuse others at once

# Seconds. Every EVERY, files older than KEEP are deleted, so none is kept for an hour.
EVERY, KEEP = 300, 3000


class Busy(RuntimeError):
    """All seats are taken and the queue is full; nothing was done."""


class Room:
    """Lets `seats` calls run at once and `waiting` more queue, each in its own thread.

    The seats limit the memory that pictures take, and the length of the queue limits how long a
    call waits. Any further call is refused at once.
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
    """Make `folder`, private to this user, and sweep it now and then every EVERY seconds.

    Gradio's `delete_cache` misses files that came through MCP and those of a killed process.
    """
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def work():
        while True:
            sweep(folder)
            time.sleep(EVERY)

    threading.Thread(target=work, daemon=True, name="sweep").start()
