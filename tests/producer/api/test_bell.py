"""Waking tasks without waiting for Redis."""

from __future__ import annotations

import threading

from kombu.exceptions import OperationalError

from producer.api.bell import Bell


def test_rings_during_a_ring_become_one_more_and_none_is_lost() -> None:
    inside, go_on = threading.Event(), threading.Event()
    sent: list[str] = []

    def send(task: str, **_: object) -> None:
        sent.append(task)
        inside.set()
        assert go_on.wait(5)

    bell = Bell(send, spacing=0.0)
    bell.ring("a", "q")
    assert inside.wait(5)
    for _ in range(100):
        bell.ring("a", "q")
    go_on.set()
    bell.close()
    assert sent == ["a", "a"]


def test_a_task_that_hangs_holds_up_no_other_and_not_the_end() -> None:
    stuck, sent = threading.Event(), threading.Event()

    def send(task: str, **_: object) -> None:
        if task == "slow":
            stuck.wait(10)
        else:
            sent.set()

    bell = Bell(send, spacing=0.0)
    bell.ring("slow", "q")
    bell.ring("fast", "q")
    assert sent.wait(5)
    bell.close(patience=0.01)
    assert not stuck.is_set()
    stuck.set()
    bell.close()


def test_a_ring_that_fails_is_forgotten_and_the_next_is_tried() -> None:
    tried: list[str] = []

    def send(task: str, **options: object) -> None:
        tried.append(f"{task} {options['queue']}")
        raise OperationalError("no Redis")

    bell = Bell(send, spacing=0.0)
    for _ in range(2):
        bell.ring("a", "q")
        bell.close()
    assert tried == ["a q"] * 2
