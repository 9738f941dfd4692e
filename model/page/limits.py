"""How many calls run at once on the page.

with Room(seats=3, waiting=40): ...     waits for a seat, or raises Busy at once
"""

import threading

INTERPRETERS = 2  # one thread each
SEATS = 3  # concurrent calls: one more, so that a picture is decoded while two are classified
WAITING = 40  # calls that may queue
BATCHES = 2  # concurrent batches
THREADS = 64  # Gradio's: enough for all calls that run or wait, and to refuse others at once


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
