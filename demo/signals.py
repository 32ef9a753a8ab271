"""What wear shows: channel levels, error events, and the readings before any fault.

With u = wear / strength, a component's symptom is ``s = max(0, (u - ONSET) / (1 - ONSET))^2``: none
until 85 % of a part's life, 1 when it fails. Each channel's level on the grid of hours is ::

    temperature  degC  52 + 14 L + 5 sin(2 pi (t - 9 h) / 24 h) + 9 s_cooler  + 4 s_bearing + x_1
    vibration    mm/s  3.0 + 0.9 L                              + 2.2 s_bearing + 0.7 s_drive + x_2
    pressure     bar   96 + 9 L                                 - 10 s_seal                   + x_3
    rotation     rpm   410 + 60 L                               - 30 s_drive   - 6 s_bearing  + x_4

plus a constant of each machine; x is AR(1) noise (0.97 an hour, deviation WANDER), and a reading
adds white noise (deviation NOISE). Error codes come as Poisson events: each of a component's at
``0.02 + 1.1 s`` a day, two nuisance codes at 0.05 a day whatever the wear, and one at every
failure.
"""

import dataclasses

import numpy as np

from demo.options import BEGIN, HOUR, Options
from demo.wear import Line, autoregressive

ONSET = 0.85
LEVEL = np.array([52.0, 3.0, 96.0, 410.0])
LOAD = np.array([14.0, 0.9, 9.0, 60.0])
SPREAD = np.array([2.5, 0.25, 2.0, 8.0])
WANDER = np.array([2.0, 0.36, 2.1, 6.0])
NOISE = np.array([2.0, 0.45, 2.5, 7.0])
DECIMALS = (2, 3, 2, 1)
SYMPTOM = np.array(
    [
        [4.0, 9.0, 0.0, 0.0],
        [2.2, 0.0, 0.0, 0.7],
        [0.0, 0.0, -10.0, 0.0],
        [-6.0, 0.0, 0.0, -30.0],
    ]
)
"""What a full symptom adds, [channel, component]."""

CODES = ("VIB-HIGH", "TEMP-HIGH", "PRES-LOW", "SPEED-DEV", "COMM-LOSS", "PLC-WARN")
SEVERITY = np.array([3, 3, 3, 2, 1, 1])
NUISANCE_A_DAY = 0.05
BASE_A_DAY = 0.02
SYMPTOM_A_DAY = 1.1


@dataclasses.dataclass(frozen=True)
class Errors:
    """Error events of a line, by time: one array entry an event, times in microseconds."""

    machine: np.ndarray
    code: np.ndarray
    severity: np.ndarray
    raised_at: np.ndarray
    recorded_at: np.ndarray


def symptoms(line: Line) -> np.ndarray:
    """How strongly each component shows its wear: float64[m, c, h + 1], 0 to 1."""
    return np.clip((line.used - ONSET) / (1 - ONSET), 0, 1) ** 2


def channel_levels(options: Options, line: Line) -> np.ndarray:
    """The channels' levels on the grid of hours: float64[m, channel, h + 1]."""
    rng = options.rng(line.machines.gateway, 2)
    m = len(line.machines.machine_id)
    hours = np.arange(options.hours + 1)
    wander = autoregressive(rng, (m, 4, options.hours + 1), 0.97, 1.0) * WANDER[:, None]
    own = rng.standard_normal((m, 4)) * SPREAD
    levels = (LEVEL + own)[..., None] + LOAD[:, None] * line.load[:, None, :] + wander
    levels += np.einsum("kc,mch->mkh", SYMPTOM, symptoms(line))
    levels[:, 0] += 5.0 * np.sin(2 * np.pi * (hours - 9) / 24)
    return levels


def read_levels(
    levels: np.ndarray, machine: np.ndarray, time: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """The clean readings: levels between the hours, plus white noise, rounded.

    Args:
      levels: as made by channel_levels.
      machine: int64[n], indices into the line.
      time: int64[n], microseconds since the epoch.
      rng: of the white noise; None leaves it out.

    Returns:
      float64[n, channel].
    """
    hour, rest = np.divmod(time - BEGIN, HOUR)
    share = (rest / HOUR)[:, None]
    values = levels[machine, :, hour] * (1 - share) + levels[machine, :, hour + 1] * share
    if rng is not None:
        values += rng.standard_normal(values.shape) * NOISE
    for channel, decimals in enumerate(DECIMALS):
        values[:, channel] = np.round(values[:, channel], decimals)
    return values


def standing(line: Line, machine: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Whether a machine stands for repair or service at each time: bool[n]."""
    return within(line.down, machine, time)


def within(episodes: np.ndarray, machine: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Whether each time lies in [begin, end) of an episode of its machine: bool[n].

    Args:
      episodes: int64[e, 3]: machine index, begin, end; those of one machine don't overlap.
      machine: int64[n].
      time: int64[n], within thirty years of the plant's begin.
    """
    return episode_of(episodes, machine, time) >= 0


def episode_of(episodes: np.ndarray, machine: np.ndarray, time: np.ndarray) -> np.ndarray:
    """As ``within``, but gives the episode's row, or -1."""
    if len(episodes) == 0:
        return np.full(len(time), -1)
    # One sorted axis for all machines: each has thirty years of it.
    years = 30 * 365 * 24 * HOUR
    key = episodes[:, 0] * years + (episodes[:, 1] - BEGIN)
    order = np.argsort(key, kind="stable")
    place = np.searchsorted(key[order], machine * years + (time - BEGIN), side="right") - 1
    row = order[np.maximum(place, 0)]
    inside = (place >= 0) & (episodes[row, 0] == machine) & (time < episodes[row, 2])
    return np.where(inside, row, -1)


def make_errors(options: Options, line: Line) -> Errors:
    """Draws the error events of a line, ordered by time."""
    rng = options.rng(line.machines.gateway, 3)
    m, hours = len(line.machines.machine_id), options.hours
    rates = np.full((m, 6, hours), NUISANCE_A_DAY)
    rates[:, :4] = BASE_A_DAY + SYMPTOM_A_DAY * symptoms(line)[..., :hours]
    machine, code, hour = np.nonzero(rng.random(rates.shape) < rates / 24)
    raised = BEGIN + hour * HOUR + rng.integers(0, 3_600_000, len(hour)) * 1000
    awake = ~standing(line, machine, raised)
    machine = np.concatenate([machine[awake], line.failures[:, 0]])
    code = np.concatenate([code[awake], line.failures[:, 1]])
    raised = np.concatenate([raised[awake], line.failures[:, 2]])
    severity = SEVERITY[code]
    severity[len(severity) - len(line.failures) :] = 4
    order = np.lexsort((code, machine, raised))
    machine, code, severity, raised = machine[order], code[order], severity[order], raised[order]
    delay = np.where(
        rng.random(len(raised)) < 0.12,
        rng.integers(10 * 60_000, 12 * 3_600_000, len(raised)),
        rng.integers(50, 2_000, len(raised)),
    )
    return Errors(machine, code, severity, raised, raised + delay * 1000)
