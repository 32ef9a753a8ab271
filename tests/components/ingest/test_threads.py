"""Work in threads: order, errors, and how far ahead of its use it runs."""

import threading

import pyarrow as pa
import pytest

from components.ingest.threads import map_ahead


@pytest.fixture(params=[1, 2, 4])
def cores(request, monkeypatch):
    monkeypatch.setattr(pa, "cpu_count", lambda: request.param)
    return request.param


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_the_order_of_items(cores, count):
    assert list(map_ahead(lambda item: item * item, range(count))) == [i * i for i in range(count)]


@pytest.mark.parametrize("cores", [2], indirect=True)
def test_as_many_items_as_cores_are_worked_on_at_once(cores):
    # Two that wait for each other end only if they run side by side.
    meeting = threading.Barrier(2, timeout=60)
    assert sorted(map_ahead(lambda item: meeting.wait() >= 0, range(4))) == [True] * 4


@pytest.mark.parametrize("cores", [1], indirect=True)
def test_on_one_core_no_thread_is_started(cores):
    threads = set(map_ahead(lambda item: threading.get_ident(), range(3)))
    assert threads == {threading.get_ident()}


def test_for_one_item_no_thread_is_started(cores):
    assert list(map_ahead(lambda item: threading.get_ident(), "1")) == [threading.get_ident()]


def test_items_are_taken_in_the_callers_thread_and_no_further_than_needed(cores):
    taken = []

    def items():
        for item in range(1000):
            taken.append(threading.get_ident())
            yield item

    results = map_ahead(str, items())
    assert next(results) == "0"
    assert set(taken) == {threading.get_ident()}
    assert len(taken) <= cores + 2
    results.close()
    assert len(taken) <= cores + 2


def test_an_error_of_the_function_comes_at_its_items_turn(cores):
    results = map_ahead(lambda item: 10 // (5 - item), range(20))
    assert [next(results) for _ in range(5)] == [2, 2, 3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_raised(cores):
    def items():
        yield from range(6)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(map_ahead(str, items()))
