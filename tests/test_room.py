import threading
import time

import pytest

from model.page.limits import Busy, Room, one_arena


def inside(room, leave: threading.Event, seen: list, count: int) -> list[threading.Thread]:
    def work():
        with room:
            seen.append(1)
            leave.wait(10)
            seen.pop()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_seats_work_some_wait_and_the_rest_are_refused_at_once():
    room, leave, seen = Room(seats=2, waiting=3), threading.Event(), []
    threads = inside(room, leave, seen, 5)
    until(lambda: len(seen) == 2 and room._inside._value == 0)
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(Busy):
            with room:
                raise AssertionError("nobody may get in")
        assert time.monotonic() - start < 0.5
    assert len(seen) == 2
    leave.set()
    for thread in threads:
        thread.join(10)
    with room:
        pass


def test_an_error_leaves_its_place_to_the_next():
    room = Room(seats=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            with room:
                1 / 0
    with room:
        pass


def test_another_c_library_is_no_error(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    one_arena()
