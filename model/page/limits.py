"""Who may work at once: some calls do, some more wait their turn, the rest are refused.

`with Room(seats=2, waiting=30):` waits for a seat, or raises Busy at once.
"""

import contextlib
import ctypes
import threading

M_ARENA_MAX = -8  # of glibc's malloc.h


class Busy(RuntimeError):
    """As many calls are inside and waiting as there is room for; nothing was done."""


class Room:
    """`seats` calls work at a time and `waiting` more wait for a seat, in threads of their own.

    Seats bound the memory of the calls' pictures, and `waiting` how long a call can take: whoever
    comes past it is told so in a moment rather than left waiting.
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


def one_arena() -> None:
    """Let glibc's threads share one pool of memory. With a pool for each, as it comes, a page that
    many threads have worked for keeps some 70 MB that none of them uses."""
    with contextlib.suppress(AttributeError, OSError):  # another C library has no such pools
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
