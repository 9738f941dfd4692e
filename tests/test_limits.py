import threading
import time

import pytest

from model.page.limits import Busy, Room


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_seats_work_some_wait_and_the_rest_are_refused_at_once():
    room, leave, inside, ended = Room(seats=2, waiting=3), threading.Event(), [], []

    def call():
        try:
            with room:
                inside.append(1)
                leave.wait(10)
                ended.append("served")
        except Busy:
            ended.append("refused")

    threads = [threading.Thread(target=call) for _ in range(9)]
    for thread in threads:
        thread.start()
    until(lambda: len(ended) == 4)  # while the two that hold the seats are still inside
    assert ended == ["refused"] * 4 and len(inside) == 2
    leave.set()
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == ["refused"] * 4 + ["served"] * 5


def test_an_error_leaves_its_place_to_the_next():
    room = Room(seats=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            with room:
                1 / 0
    with room:
        pass
