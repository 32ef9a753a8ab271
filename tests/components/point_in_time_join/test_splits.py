import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.entities import encode_entities, entity_values, stable_hash
from components.ingest.split import DataWindow, EntitySplit, TimeSplit
from components.point_in_time_join.splits import assign_splits

WINDOW = DataWindow(as_of=100, train_begin=10, train_end=60, eval_begin=70, eval_end=90)
BY_TIME = TimeSplit(by="time", train="50us", eval="20us")


def test_time_split_leaves_the_embargo_and_the_unsettled_out():
    times = np.array([9, 10, 59, 60, 69, 70, 89, 90, 99, 100, 101])
    side, dropped = assign_splits(times, pa.nulls(len(times)), BY_TIME, WINDOW)
    assert side.tolist() == [-1, 0, 0, -1, -1, 1, 1, -1, -1, -1, -1]
    assert dropped == {
        "before the window": 1,
        "embargo": 2,
        "label not settled": 2,
        "not before as-of": 2,
    }


def entity_split(salt="", share=0.25):
    return EntitySplit(by="entity", window="80us", eval=share, salt=salt)


def test_an_entity_goes_to_one_side_with_all_it_has():
    entities = entity_values(pa.array(np.arange(4000).repeat(3)), "s", "e")
    window = DataWindow(as_of=100, train_begin=10, train_end=90, eval_begin=10, eval_end=90)
    times = np.tile([10, 50, 90], 4000)
    side, dropped = assign_splits(times, entities, entity_split(), window)
    by_entity = side.reshape(4000, 3)
    assert (by_entity[:, 0] == by_entity[:, 1]).all()
    assert (by_entity[:, 2] == -1).all()
    assert dropped == {"label not settled": 4000}
    assert np.mean(by_entity[:, 0]) == pytest.approx(0.25, abs=0.02)
    other, _ = assign_splits(times, entities, entity_split(salt="again"), window)
    assert 0.2 < np.mean(other[::3] != side[::3]) < 0.5
    more, _ = assign_splits(times, entities, entity_split(share=0.5), window)
    assert (more[::3] >= side[::3]).all(), "a greater share holds the same entities out, and more"


def test_a_hash_is_the_same_in_every_process_and_for_text_and_numbers():
    entities = entity_values(pa.array([7, 8, None, 7]), "s", "e")
    hashes = stable_hash(entities, "salt")
    assert hashes[0] == hashes[3] != hashes[1]
    assert hashes[2] == 0
    assert stable_hash(entity_values(pa.array(["7"]), "s", "e"), "salt")[0] == hashes[0]
    assert stable_hash(entities, "other")[0] != hashes[0]
    code = (
        "import pyarrow as pa; from components.ingest.entities import *; "
        "print(stable_hash(pa.array([7]), 'salt')[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == hashes[0] == 13522510197926584600


def test_codes_are_shared_and_in_the_entities_order():
    columns = [pa.array([30, None, 10]), pa.array([20, 30]), pa.nulls(2), pa.array([], pa.int64())]
    codes, count = encode_entities(columns)
    assert [c.tolist() for c in codes] == [[2, -1, 0], [1, 2], [-1, -1], []]
    assert count == 3
