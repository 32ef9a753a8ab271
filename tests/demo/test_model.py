"""The simulated machines: what wear does, and that its label is rare and can be learned."""

import numpy as np
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from demo.options import BEGIN, DAY, HOUR, Options
from demo.signals import channel_levels, episode_of, make_errors, standing
from demo.wear import simulate_line

LABEL = """
SELECT avg(CASE WHEN EXISTS (
    SELECT 1 FROM failures f WHERE f.machine_id = o.machine_id
      AND f.failed_at > o.observed_at AND f.failed_at <= o.horizon_at) THEN 1.0 ELSE 0.0 END)
FROM observations o
"""


@pytest.fixture(scope="module")
def lines():
    options = Options()
    return options, [simulate_line(options, g) for g in range(1, options.gateways + 1)]


def test_the_label_is_rare(plant, lines):
    engine = sa.create_engine(plant.summary.database)
    with engine.connect() as connection:
        rate = connection.execute(sa.text(LABEL)).scalar()
        ahead = (
            "SELECT count(*) FROM observations WHERE horizon_at != strftime(:f, observed_at, :h)"
        )
        values = {"f": "%Y-%m-%d %H:%M:%S.000000", "h": "+24 hours"}
        assert connection.execute(sa.text(ahead), values).scalar() == 0
    engine.dispose()
    assert 0.005 < rate < 0.06
    options, built = lines
    failures = sum(len(line.failures) for line in built)
    assert 0.015 < failures / options.machines / options.days < 0.05


def test_wear_grows_until_a_part_is_renewed(lines):
    _, built = lines
    line = built[0]
    assert line.used.min() >= 0
    assert line.used.max() <= 1
    renewed = np.diff(line.used, axis=2) < -1e-9
    new = line.used[..., 1:][renewed]
    assert np.all(new == 0)
    replacements = sum(v.replaced and v.closed_at > BEGIN + 2 * HOUR for v in line.visits)
    assert abs(int(renewed.sum()) - replacements) <= 2


def test_worn_parts_fail_worn_through_and_sudden_ones_any_time(lines):
    _, built = lines
    worn, sudden = [], []
    for line in built:
        for machine, component, failed, _, chance in line.failures:
            used = line.used[machine, component, (failed - BEGIN) // HOUR]
            (sudden if chance else worn).append(used)
    assert len(sudden) < 0.2 * len(worn)
    assert min(worn) > 0.9
    assert min(sudden) < 0.8


def test_a_machine_stands_while_it_is_mended(lines):
    options, built = lines
    for line in built:
        machine, _, failed, back, _ = line.failures.T
        assert np.all(standing(line, machine, failed))
        assert np.all(standing(line, machine, back - 1))
        assert not np.any(standing(line, machine, failed - 1))
        errors = make_errors(options, line)
        running = errors.severity < 4
        assert not np.any(standing(line, errors.machine[running], errors.raised_at[running]))


def test_symptoms_show_before_a_failure(lines):
    """Levels over the last six hours before a wear failure, against the machine's usual ones."""
    options, built = lines
    moved: dict[int, list[float]] = {0: [], 1: [], 2: [], 3: []}
    shows = {0: (1, 1), 1: (0, 1), 2: (2, -1), 3: (3, -1)}
    for line in built:
        levels = channel_levels(options, line)
        for machine, component, failed, _, chance in line.failures:
            hour = int((failed - BEGIN) // HOUR)
            if chance or hour < 6:
                continue
            channel, sign = shows[component]
            own = levels[machine, channel]
            spread = np.std(own[line.load[machine, : len(own)] > 0])
            change = np.mean(own[hour - 6 : hour]) - np.median(own)
            moved[component].append(sign * change / spread)
    for component, changes in moved.items():
        assert len(changes) > 5
        assert np.mean(changes) > 1.0, component


def test_errors_come_more_often_before_failures(lines):
    options, built = lines
    before, seen = 0, 0
    for line in built:
        errors = make_errors(options, line)
        for machine, _, failed, _, chance in line.failures:
            if not chance:
                age = failed - errors.raised_at[errors.machine == machine]
                before += int(np.sum((age > 0) & (age <= DAY)))
                seen += 1
    total = sum(len(make_errors(options, line).code) for line in built)
    usual = total / options.machines / options.days
    assert before / seen > 3 * usual


def test_episodes_against_a_plain_search():
    rng = np.random.default_rng(0)
    episodes = np.array(
        [
            [m, BEGIN + k * 10 * HOUR, BEGIN + k * 10 * HOUR + 4 * HOUR]
            for m in (0, 2)
            for k in range(5)
        ]
    )[rng.permutation(10)]
    machine = rng.integers(0, 3, 500)
    time = BEGIN + rng.integers(0, 60 * HOUR, 500)
    plain = [
        next((row for row, (e, b, s) in enumerate(episodes) if e == m and b <= t < s), -1)
        for m, t in zip(machine, time, strict=True)
    ]
    np.testing.assert_array_equal(episode_of(episodes, machine, time), plain)
    assert np.all(episode_of(episodes[:0], machine, time) == -1)


def test_truth_holds_states_and_clean_readings(plant):
    states = plant.truth("states")
    assert states.num_rows == 12 * (14 * 24 + 1)
    assert pc.max(states["bearing"]).as_py() <= 1.0
    readings = plant.truth("readings")
    assert readings.num_rows == plant.summary.readings
    assert pc.max(readings["temperature"]).as_py() < 150
