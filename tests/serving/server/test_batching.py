import asyncio
import time
import types

import grpc
import numpy as np
import pytest

from serving.server import batching
from serving.server.batching import BatchingParameters, Queue, Scheduler
from serving.server.core import Target
from serving.server.errors import ServingError
from tests.serving.server.conftest import MODEL, running


def numbers(count):
    return np.arange(count, dtype=np.float32)


async def sizes(core, *rows):
    """The size of the batch that each of several requests at a time was run in."""
    answers = await asyncio.gather(
        *(
            core.predict(Target(MODEL, signature="size"), {"x": np.zeros((count, 2), np.float32)})
            for count in rows
        )
    )
    assert [len(answer.outputs["rows"]) for answer in answers] == list(rows)
    return [int(answer.outputs["rows"][0]) for answer in answers]


def test_requests_of_one_moment_make_one_batch(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            assert await sizes(core, 1, 2, 3) == [6, 6, 6]
            answers = await asyncio.gather(
                *(core.predict(Target(MODEL), {"x": numbers(count)}) for count in (1, 0, 3, 500, 2))
            )
            for answer, count in zip(answers, (1, 0, 3, 500, 2), strict=True):
                assert answer.outputs["y"].tolist() == (numbers(count) / 2 + 2).tolist()

    asyncio.run(run())


def test_where_many_come_a_batch_waits_for_those_due_but_never_for_those_that_stay_away(
    monkeypatch,
):
    # 2,000 at one moment, after which no time passes: many more would be due while a batch waits.
    monkeypatch.setattr(batching, "time", types.SimpleNamespace(monotonic=lambda: 5.0))

    async def run():
        ran = []

        def answer(inputs):
            ran.append(len(inputs["x"]))
            return dict(inputs)

        scheduler = Scheduler(None, 1, lambda *_: None)
        queue = Queue(scheduler, answer, MODEL, batched=True)
        await asyncio.gather(*(queue.ask({"x": numbers(1)}, None) for _ in range(2000)))
        ran.clear()
        first = asyncio.create_task(queue.ask({"x": numbers(1)}, None))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(queue.ask({"x": numbers(1)}, None) for _ in range(2)))
        assert ran == [3]
        scheduler.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_bad_request_does_not_take_its_neighbours_along(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            requests = [np.array([value], np.float32) for value in (1, 1e7, 3)]
            answers = await asyncio.gather(
                *(core.predict(Target(MODEL), {"x": x}) for x in requests), return_exceptions=True
            )
            assert [type(answer).__name__ for answer in answers] == [
                "Answer",
                "ServingError",
                "Answer",
            ]

    asyncio.run(run())


def test_outputs_without_a_batch_are_not_mixed(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            target = Target(MODEL, signature="total")
            answers = await asyncio.gather(
                *(core.predict(target, {"x": numbers(count)}) for count in (2, 3))
            )
            assert [float(answer.outputs["sum"]) for answer in answers] == [1.0, 3.0]

    asyncio.run(run())


def test_batches_are_padded_to_the_allowed_sizes(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        batching = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8))
        async with running(tmp_path, batching=batching) as core:
            assert await sizes(core, 3) == [4]
            assert await sizes(core, 2, 3) == [8, 8]
            with pytest.raises(ServingError, match="Task size 9 is larger than maximum input"):
                await sizes(core, 9)

    asyncio.run(run())


def test_large_requests_are_split(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        batching = BatchingParameters(
            max_batch_size=20, enable_large_batch_splitting=True, max_execution_batch_size=8
        )
        async with running(tmp_path, batching=batching) as core:
            assert await sizes(core, 20) == [8]
            answer = await core.predict(Target(MODEL), {"x": numbers(20)})
            assert answer.outputs["y"].tolist() == (numbers(20) / 2 + 2).tolist()

    asyncio.run(run())


def test_a_batch_waits_for_more_as_long_as_it_is_told(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        batching = BatchingParameters(max_batch_size=4, batch_timeout_micros=2_000_000)
        async with running(tmp_path, batching=batching) as core:
            begin = time.monotonic()
            late = asyncio.create_task(sizes(core, 1))
            await asyncio.sleep(0.05)
            assert await sizes(core, 1) == [2]
            assert await late == [2]
            assert time.monotonic() - begin > 1.9

    asyncio.run(run())


def test_a_batch_that_is_full_waits_for_nothing(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        batching = BatchingParameters(max_batch_size=4, batch_timeout_micros=600_000_000)
        async with running(tmp_path, batching=batching) as core:
            assert await asyncio.wait_for(sizes(core, 2, 2), 60) == [4, 4]

    asyncio.run(run())


def test_a_full_queue_refuses(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        batching = BatchingParameters(max_batch_size=1, max_enqueued_batches=2, num_batch_threads=1)
        async with running(tmp_path, batching=batching) as core:
            tasks = []
            for _ in range(3):
                request = core.predict(Target(MODEL), {"x": numbers(1)})
                tasks.append(asyncio.create_task(request))
                await asyncio.sleep(0.01)
            with pytest.raises(ServingError) as refused:
                await core.predict(Target(MODEL), {"x": numbers(1)})
            assert refused.value.code == grpc.StatusCode.UNAVAILABLE
            assert refused.value.message.startswith(
                "The batch scheduling queue to which this task was submitted is full"
            )
            gate.set()
            assert [answer.version for answer in await asyncio.gather(*tasks)] == [1, 1, 1]

    asyncio.run(run())


def test_deadlines(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        async with running(tmp_path, threads=1) as core:
            slow = asyncio.create_task(core.predict(Target(MODEL), {"x": numbers(1)}))
            await asyncio.sleep(0.05)
            for left in (0.05, -1.0):
                with pytest.raises(ServingError) as raised:
                    await core.predict(
                        Target(MODEL), {"x": numbers(1)}, deadline=time.monotonic() + left
                    )
                assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
            assert not slow.done()
            gate.set()
            assert (await slow).version == 1
            answer = await core.predict(
                Target(MODEL), {"x": numbers(1)}, deadline=time.monotonic() + 60
            )
            assert answer.version == 1

    asyncio.run(run())


def test_a_client_that_leaves_takes_no_room(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        batching = BatchingParameters(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
        async with running(tmp_path, batching=batching) as core:
            first = asyncio.create_task(core.predict(Target(MODEL), {"x": numbers(1)}))
            await asyncio.sleep(0.02)
            left = asyncio.create_task(core.predict(Target(MODEL), {"x": numbers(1)}))
            await asyncio.sleep(0.02)
            left.cancel()
            await asyncio.sleep(0.01)
            comes = asyncio.create_task(core.predict(Target(MODEL), {"x": numbers(1)}))
            await asyncio.sleep(0.01)
            gate.set()
            assert (await comes).version == 1
            await first

    asyncio.run(run())


def test_strict_batching_wants_a_batch(save, tmp_path):
    async def run():
        batches = Scheduler(BatchingParameters(), 1, lambda *_: None)
        from serving.server.batching import Queue

        queue = Queue(batches, dict, MODEL, batched=True)
        with pytest.raises(ServingError, match="at least one dimension"):
            await queue.ask({"x": np.array(1.0)}, None)
        with pytest.raises(ServingError, match="equal 0th-dimension size"):
            await queue.ask({"x": numbers(1), "z": numbers(2)}, None)
        batches.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size is 0: expected 1 or more"),
        ({"allowed_batch_sizes": (4, 2)}, "must be monotonically increasing"),
        ({"allowed_batch_sizes": (2, 4)}, "last entry was 4; expected 1000"),
        (
            {
                "max_batch_size": 8,
                "enable_large_batch_splitting": True,
                "max_execution_batch_size": 9,
            },
            "expected no more than max_batch_size, 8",
        ),
    ],
)
def test_rules(values, message):
    with pytest.raises(ValueError, match=message):
        BatchingParameters(**values)
