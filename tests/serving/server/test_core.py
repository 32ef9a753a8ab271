import asyncio
import gc
import weakref

import grpc
import numpy as np
import pytest

from serving.releases.traffic import Traffic
from serving.server.core import Target
from serving.server.errors import ServingError
from tests.serving.server.conftest import MODEL, config, running, states, until

X = np.array([1.0, 2.0], np.float32)


async def ask(core, version=None, label=None, x=X, **options):
    return await core.predict(Target(MODEL, version, label), {"x": x}, **options)


def test_answers(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            answer = await ask(core)
            assert answer.outputs["y"].tolist() == [2.5, 3.0]
            assert (answer.model, answer.version, answer.signature) == (MODEL, 1, "serving_default")
            answer = await ask(core, output_filter=["double"])
            assert list(answer.outputs) == ["double"]
            total = await core.predict(Target(MODEL, signature="total"), {"x": X})
            assert total.outputs["sum"].tolist() == 3.0
            text = np.array([b"a\0", b""], object)
            echo = await core.predict(Target(MODEL, signature="echo"), {"text": text})
            assert echo.outputs["text"].tolist() == [b"a\0", b""]

    asyncio.run(run())


BAD = {
    "model": (Target("nil"), {"x": X}, "NOT_FOUND", "Servable not found for request: Latest(nil)"),
    "version": (
        Target(MODEL, 9),
        {"x": X},
        "NOT_FOUND",
        "Servable not found for request: Specific(half, 9)",
    ),
    "label": (
        Target(MODEL, label="nil"),
        {"x": X},
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: nil",
    ),
    "signature": (
        Target(MODEL, signature="nil"),
        {"x": X},
        "FAILED_PRECONDITION",
        'Serving signature key "nil" not found.',
    ),
    "missing": (Target(MODEL), {}, "INVALID_ARGUMENT", "Missing but required: {x}."),
    "alias": (
        Target(MODEL),
        {"z": X},
        "INVALID_ARGUMENT",
        "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
    ),
    "dtype": (
        Target(MODEL),
        {"x": X.astype(np.int64)},
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but int64 is provided",
    ),
    "shape": (Target(MODEL), {"x": X[None]}, "INVALID_ARGUMENT", "shape [1,2] for input x"),
    "model's own": (Target(MODEL), {"x": X * 1e7}, "INVALID_ARGUMENT", "too large"),
}


def test_refuses(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            for name, (target, inputs, code, message) in BAD.items():
                with pytest.raises(ServingError) as raised:
                    await core.predict(target, inputs)
                assert raised.value.code == grpc.StatusCode[code], name
                assert message in raised.value.message, name
            with pytest.raises(ServingError, match="output tensor alias not found"):
                await ask(core, output_filter=["nil"])

    asyncio.run(run())


def test_versions_are_swapped_under_load_without_a_failed_call(save, tmp_path):
    async def run():
        save(tmp_path, 1, 2.0)
        seen = set()
        done = False

        async def client(core):
            while not done:
                answer = await ask(core)
                assert answer.outputs["y"][0] == 0.5 + answer.version + 1
                seen.add(answer.version)

        async with running(tmp_path) as core:
            clients = [asyncio.create_task(client(core)) for _ in range(8)]
            for version in (2, 3):
                save(tmp_path, version, version + 1.0)
                await until(lambda v=version: states(core).get(v) == "AVAILABLE")
                await until(lambda v=version: states(core)[v - 1] == "END")
            done = True
            await asyncio.gather(*clients)
        assert seen == {1, 2, 3}

    asyncio.run(run())


def test_a_broken_candidate_disturbs_nothing_and_is_retried(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path, max_load_retries=2) as core:
            (tmp_path / "2").mkdir()
            await until(lambda: states(core).get(2) == "END")
            assert states(core) == {1: "AVAILABLE", 2: "END"}
            (status,) = core.status(MODEL, 2)
            assert status.status.error_code == grpc.StatusCode.NOT_FOUND.value[0]
            assert "Could not find SavedModel" in status.status.error_message
            assert (await ask(core)).version == 1
            whole = save(tmp_path / "elsewhere", 2)
            (tmp_path / "2").rmdir()
            whole.rename(tmp_path / "2")
            await until(lambda: states(core) == {1: "END", 2: "AVAILABLE"})
            assert not core.status(MODEL, 2)[0].status.error_message

    asyncio.run(run())


def test_waiting_for_a_broken_model_tells_its_error(tmp_path):
    async def run():
        (tmp_path / "1").mkdir()
        async with running(tmp_path, wait=False, max_load_retries=1) as core:
            with pytest.raises(ServingError, match="Could not find SavedModel"):
                await core.wait_until_available(MODEL, 20)

    asyncio.run(run())


def test_unloading_waits_for_requests_under_way(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        async with running(tmp_path) as core:
            slow = asyncio.create_task(ask(core))
            await asyncio.sleep(0.05)
            save(tmp_path, 2, 3.0)
            await until(lambda: states(core).get(2) == "AVAILABLE")
            assert (await ask(core)).version == 2
            assert states(core)[1] == "UNLOADING"
            gate.set()
            assert (await slow).version == 1
            await until(lambda: states(core)[1] == "END")

    asyncio.run(run())


def test_an_unloaded_version_is_freed(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            await ask(core)
            version = core._catalog.model(MODEL).versions.all[1]
            servable = weakref.ref(version.servable)
            graph = weakref.ref(version.servable._session.graph)
            save(tmp_path, 2, 3.0)
            await until(lambda: states(core).get(1) == "END")
            await until(lambda: gc.collect() >= 0 and servable() is graph() is None)

    asyncio.run(run())


def test_labels_and_reload(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        save(tmp_path, 2, 3.0)
        policy = "model_version_policy { all {} } "
        label = 'version_labels {{ key: "stable" value: {} }}'
        async with running(tmp_path, policy + label.format(1)) as core:
            await until(lambda: states(core) == {1: "AVAILABLE", 2: "AVAILABLE"})
            assert (await ask(core, label="stable")).version == 1
            assert (await ask(core)).version == 2
            await core.reload(config(tmp_path, policy + label.format(2)))
            assert (await ask(core, label="stable")).version == 2
            with pytest.raises(ServingError, match="not currently available") as raised:
                await core.reload(config(tmp_path, policy + label.format(7)))
            assert raised.value.code == grpc.StatusCode.FAILED_PRECONDITION
            assert (await ask(core, label="stable")).version == 2
            with pytest.raises(ServingError, match="absolute path"):
                await core.reload(config("relative"))
            await core.reload(config(tmp_path, name="other"))
            with pytest.raises(ServingError, match="Servable not found"):
                await ask(core)
            await core.wait_until_available("other", 20)

    asyncio.run(run())


def test_traffic_splits_labels_follow_and_the_way_back_stays_loaded(save, tmp_path):
    async def run():
        for version in (1, 2, 3):
            save(tmp_path, version, float(version + 1))
        now = [Traffic(1)]
        options = {"traffic": lambda name: now[0], "served": lambda name: [1, 2]}
        async with running(tmp_path, **options) as core:
            await until(lambda: states(core) == {1: "AVAILABLE", 2: "AVAILABLE"})
            assert {(await ask(core)).version for _ in range(20)} == {1}
            now[0] = Traffic(1, 2, 50)
            seen = set()
            while 2 not in seen:
                seen.add((await ask(core)).version)
            assert {(await ask(core)).version for _ in range(60)} == {1, 2}
            assert (await ask(core, label="canary")).version == 2
            now[0] = Traffic(3)
            await asyncio.sleep(0.03)
            assert (await ask(core, label="stable")).version in (1, 3)
            await until(lambda: states(core).get(3) == "AVAILABLE")
            while (await ask(core)).version != 3:
                await asyncio.sleep(0.01)
            assert {(await ask(core)).version for _ in range(20)} == {3}
            assert states(core)[1] == "AVAILABLE"

    asyncio.run(run())


def test_what_cannot_be_read_changes_nothing(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        broken = [False]

        def traffic(name):
            if broken[0]:
                raise OSError("half a record")
            return Traffic(1)

        async with running(tmp_path, traffic=traffic, served=lambda name: [1]) as core:
            broken[0] = True
            save(tmp_path, 2, 3.0)
            await asyncio.sleep(0.2)
            assert (await ask(core)).version == 1
            away = tmp_path.with_name("away")
            tmp_path.rename(away)
            await asyncio.sleep(0.1)
            assert (await ask(core)).version == 1
            away.rename(tmp_path)

    asyncio.run(run())


def test_drain_waits_and_refuses(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        async with running(tmp_path) as core:
            slow = asyncio.create_task(ask(core))
            await asyncio.sleep(0.02)
            drained = asyncio.create_task(core.drain(60))
            await asyncio.sleep(0.1)
            assert not drained.done()
            gate.set()
            await drained
            assert slow.done()
            with pytest.raises(ServingError) as raised:
                await ask(core)
            assert raised.value.code == grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())


def test_the_event_loop_is_never_blocked(save, tmp_path, gate):
    async def run():
        save(tmp_path, 1, held=True)
        async with running(tmp_path) as core:
            slow = asyncio.create_task(ask(core))
            for _ in range(20):
                await asyncio.sleep(0.005)
            assert not slow.done()
            # Only the loop, going on, lets the call end.
            gate.set()
            assert (await slow).version == 1

    asyncio.run(run())
