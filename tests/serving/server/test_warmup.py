import asyncio

import numpy as np
import pytest

from serving.server.errors import ServingError
from serving.server.servable import Servable
from serving.server.tensor_protos import to_proto
from serving.server.warmup import FILE, warm_up
from tests.serving.server.conftest import running, states, until


def record(x=1.0, signature="", name="x"):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "any"
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(to_proto(np.array([x], np.float32)))
    return log.SerializeToString()


def write(version, *records):
    import tensorflow as tf

    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in records:
            writer.write(each)
    return path


def test_requests_are_run(save, tmp_path):
    version = save(tmp_path, 1)
    servable = Servable(str(version))
    assert warm_up(servable) == 0
    write(version, *[record(), record(2.0, "total")] * 3)
    assert warm_up(servable) == 6
    servable.close()


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([b"\xff\xff"], "Failed to parse warmup record"),
        ([b""], "Unsupported log_type for warmup"),
        ([record(signature="nil")], 'Serving signature key "nil" not found'),
        ([record(name="z")], "input tensor alias not found"),
        ([record(1e7)], "too large"),
        ([record()] * 1001, "exceeds the maximum"),
    ],
)
def test_a_bad_file_fails_the_load(save, tmp_path, records, message):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path, max_load_retries=0) as core:
            staged = save(tmp_path / "elsewhere", 2)
            write(staged, *records)
            staged.rename(tmp_path / "2")
            await until(lambda: states(core).get(2) == "END")
            (status,) = core.status("half", 2)
            assert message in status.status.error_message
            assert states(core)[1] == "AVAILABLE"

    asyncio.run(run())


def test_a_damaged_file(save, tmp_path):
    version = save(tmp_path, 1)
    path = write(version, record())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    servable = Servable(str(version))
    with pytest.raises(ServingError, match="a record's checksum is wrong"):
        warm_up(servable)
    servable.close()
