import asyncio
import re

import numpy as np

from serving.server.answer_values import AnswerValues
from serving.server.core import Target
from tests.serving.server.conftest import MODEL, running

_LINE = re.compile(
    r'serving_answer_values_total\{model_name="m",version="1",output="(\w+)",class="(\d*)",'
    r'bin="([-.e+\d]+)"\} (\d+)'
)


def counted(values: AnswerValues) -> dict[tuple[str, str], dict[float, int]]:
    lines: list[str] = []
    values.write(lines)
    found: dict[tuple[str, str], dict[float, int]] = {}
    for line in lines[2:]:
        output, column, edge, count = _LINE.fullmatch(line).groups()
        found.setdefault((output, column), {})[float(edge)] = int(count)
    return found


def test_each_value_lies_under_its_bins_edge():
    drawn = np.random.default_rng(1).lognormal(0, 3, 2000)
    values = AnswerValues()
    for value in drawn:
        values.add("m", 1, {"y": np.array([value])})
    bins = counted(values)["y", ""]
    edges = np.array(sorted(bins))
    assert sum(bins.values()) == 2000
    assert (np.diff(np.log2(edges)) > 0.12).all()
    for edge in edges[1:]:
        share = np.mean((drawn > edge / 2**0.125 * 1.0005) & (drawn <= edge * 0.9995))
        assert abs(share - bins[edge] / 2000) < 0.002
    assert bins[edges[0]] == np.sum(drawn <= 1 / 128)


def test_signs_zeros_and_what_is_no_number():
    values = AnswerValues()
    for value in (-3.0, 3.0, 0.0, -0.001, np.nan, np.inf, 1e300):
        values.add("m", 1, {"y": np.array([value], np.float64)})
    assert counted(values)["y", ""] == {-3.084: 1, 3.084: 1, 0.007812: 2, 1.1e12: 1}


def test_one_row_an_answer_and_its_first_classes():
    values = AnswerValues()
    for _ in range(600):
        values.add(
            "m",
            1,
            {
                "scores": np.tile(np.arange(12, dtype=np.float32), (4, 1)),
                "chosen": np.array([[3]] * 4),
                "text": np.array([b"a"] * 4, object),
                "flag": np.ones(4, bool),
                "image": np.ones((4, 2, 2), np.float32),
                "none": np.ones((0, 1), np.float32),
            },
        )
    found = counted(values)
    assert set(found) == {("chosen", ""), *(("scores", str(column)) for column in range(10))}
    assert all(sum(bins.values()) == 600 for bins in found.values())
    assert found["scores", "8"] == {8.0: 600}


def test_what_a_client_chose_is_not_counted(save, tmp_path):
    async def run():
        save(tmp_path, 1)
        async with running(tmp_path) as core:
            inputs = {"x": np.array([2.0], np.float32)}
            for target in (Target(MODEL), Target(MODEL, version=1), core.pin(Target(MODEL))):
                await core.predict(target, inputs)
            return core.metrics.exposition().decode()

    text = asyncio.run(run())
    assert 'model_name="half",version="1",output="y",class="",bin="3.084"} 2' in text
