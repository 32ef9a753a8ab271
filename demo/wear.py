"""How machines run, wear, fail and are mended: the latent state behind everything else.

Per machine i and component c, on a grid of hours::

    load      L(t)  = base_i * (1 + 0.10 sin(2 pi (t - phase_i) / 24 h)) * week(t) + a(t)
    handling  r(t)  = 1 + 0.35 exp(-experience(t) / 3 years)
    wear      dw/dt = L^2 * r * (1 + 0.02 age_i) * q(model_i, c) * G(t) / tau_c

``a`` is an AR(1) process (0.9 an hour, standard deviation 0.05), ``G`` gamma noise of mean 1 and
shape 1/2. A part fails when its wear reaches its own strength theta ~ Weibull(6, 1), drawn when
the part is fitted and seen by nobody. Besides, any part breaks without warning at a small constant
rate (SUDDEN a day). A failure stops the machine for 3 to 10 hours and renews the part.

Every PM_DAYS or so the machine is serviced, one component in turn: a part older than PM_AGE_DAYS is
replaced (two hours of standstill), a younger one only inspected.
"""

import dataclasses

import numpy as np

from demo.options import BEGIN, COMPONENTS, DAY, HOUR, MODELS, Options

TAU_DAYS = np.array([68.0, 80.0, 73.0, 87.0])
"""Days until wear reaches 1 at unit load, by component."""

MODEL_FACTOR = np.array(
    [[1.0, 1.0, 1.0, 1.0], [1.15, 0.9, 1.0, 0.95], [0.9, 1.2, 1.05, 1.0], [1.0, 0.95, 1.2, 1.15]]
)
STRENGTH_SHAPE = 6.0
SUDDEN = 0.001
PM_DAYS = 15.0
PM_AGE_DAYS = 30.0
SHIFT_HOURS = 8
OPERATORS = 6


@dataclasses.dataclass(frozen=True)
class Machines:
    """What does not change: arrays of one value a machine behind one gateway."""

    gateway: int
    machine_id: np.ndarray
    model: np.ndarray
    site: int
    age_years: np.ndarray
    base_load: np.ndarray
    phase_hours: np.ndarray


@dataclasses.dataclass(frozen=True)
class Visit:
    """One work order: times in microseconds since the epoch, ``machine`` an index into the line."""

    machine: int
    component: int
    kind: str
    opened_at: int
    closed_at: int
    replaced: bool


@dataclasses.dataclass(frozen=True)
class Line:
    """The machines behind one gateway through time: m machines, c components, h hours.

    Attributes:
      machines: the machines.
      load: float64[m, h + 1], 1 is the rated load; 0 while the machine stands.
      used: float64[m, c, h + 1], wear as a share of the part's strength, 0 to 1.
      wear: float64[m, c, h + 1].
      down: int64[d, 3], standstills: machine index, begin, end (microseconds since the epoch).
      failures: int64[f, 5]: machine index, component index, failed at, back at, sudden 0 or 1.
      visits: the work orders, by closing time.
      operator: int64[shifts], who leads each eight-hour shift.
      experience: float64[OPERATORS], years at the plant's begin.
    """

    machines: Machines
    load: np.ndarray
    used: np.ndarray
    wear: np.ndarray
    down: np.ndarray
    failures: np.ndarray
    visits: list[Visit]
    operator: np.ndarray
    experience: np.ndarray


def make_machines(options: Options, gateway: int) -> Machines:
    """Draws the machines behind a gateway."""
    rng = options.rng(gateway, 0)
    ids = options.machines_of(gateway)
    return Machines(
        gateway=gateway,
        machine_id=ids,
        model=rng.integers(0, len(MODELS), len(ids)),
        site=(gateway - 1) % 3,
        age_years=np.round(rng.uniform(0.5, 15.0, len(ids)), 2),
        base_load=rng.uniform(0.75, 1.05, len(ids)),
        phase_hours=rng.uniform(6.0, 14.0, len(ids)),
    )


def autoregressive(
    rng: np.random.Generator, shape: tuple[int, ...], keep: float, deviation: float
) -> np.ndarray:
    """Stationary AR(1) noise along the last axis: float64, mean 0, the given deviation."""
    noise = rng.standard_normal(shape) * (deviation * np.sqrt(1 - keep**2))
    noise[..., 0] = rng.standard_normal(shape[:-1]) * deviation
    for step in range(1, shape[-1]):
        noise[..., step] += keep * noise[..., step - 1]
    return noise


def _planned_load(rng: np.random.Generator, machines: Machines, hours: int) -> np.ndarray:
    grid = np.arange(hours + 1)
    # 2025-01-01 is a Wednesday: days 3 and 4 are the first weekend.
    week = np.where(np.isin((grid // 24) % 7, (3, 4)), 0.85, 1.0)
    daily = 1 + 0.10 * np.sin(2 * np.pi * (grid - machines.phase_hours[:, None]) / 24)
    noise = autoregressive(rng, (len(machines.machine_id), hours + 1), 0.9, 0.05)
    return np.clip(machines.base_load[:, None] * daily * week + noise, 0.2, 1.4)


def _strength(rng: np.random.Generator, size: tuple[int, ...], above: np.ndarray) -> np.ndarray:
    """Weibull strengths given that they exceed ``above`` (inverse of the conditional survival)."""
    return (above**STRENGTH_SHAPE + rng.exponential(size=size)) ** (1 / STRENGTH_SHAPE)


def simulate_line(options: Options, gateway: int) -> Line:
    """Runs the machines behind one gateway, hour by hour, all machines at once."""
    machines = make_machines(options, gateway)
    rng = options.rng(gateway, 1)
    m, c, hours = len(machines.machine_id), len(COMPONENTS), options.hours

    shifts = hours // SHIFT_HOURS + 1
    experience = np.round(rng.gamma(1.6, 4.0, OPERATORS), 2)
    operator = rng.integers(0, OPERATORS, shifts)
    handling = np.repeat(1 + 0.35 * np.exp(-experience[operator] / 3), SHIFT_HOURS)[: hours + 1]

    load = _planned_load(rng, machines, hours)
    ageing = (1 + 0.02 * machines.age_years)[:, None] * MODEL_FACTOR[machines.model] / TAU_DAYS / 24
    noise = rng.gamma(0.5, 2.0, (hours, m, c))
    sudden = rng.random((hours, m, c)) < SUDDEN / c / 24
    repair = np.round(rng.uniform(3.0, 10.0, (hours, m)) * 3600) * 1_000_000

    # The past: parts were fitted up to 50 days ago and have worn at the mean rate since.
    fitted_days = rng.uniform(1.0, 50.0, (m, c))
    state = fitted_days * 24 * ageing * np.mean(load**2) * 1.1
    strength = _strength(rng, (m, c), state)
    fitted = BEGIN - (fitted_days * 86_400).astype(np.int64) * 1_000_000
    visits = [
        Visit(i, j, "preventive", int(fitted[i, j]) - 2 * HOUR, int(fitted[i, j]), True)
        for i in range(m)
        for j in range(c)
    ]
    service = BEGIN + np.round(rng.uniform(0.5, PM_DAYS, m) * 86_400).astype(np.int64) * 1_000_000
    turn = rng.integers(0, c, m)

    wear = np.empty((m, c, hours + 1))
    used = np.empty((m, c, hours + 1))
    until = np.full(m, BEGIN, dtype=np.int64)
    down: list[tuple[int, int, int]] = []
    failures: list[tuple[int, int, int, int, int]] = []
    for hour in range(hours):
        now = BEGIN + hour * HOUR
        wear[..., hour], used[..., hour] = state, state / strength
        standing = until > now
        load[standing, hour] = 0.0
        step = (load[:, hour, None] ** 2) * handling[hour] * ageing * noise[hour]
        grown = state + step
        broken = ((grown >= strength) | sudden[hour]) & ~standing[:, None]
        for i, j in zip(*np.nonzero(broken), strict=True):
            if until[i] > now:
                continue
            worn = grown[i, j] >= strength[i, j]
            share = (strength[i, j] - state[i, j]) / step[i, j] if worn else rng.random()
            at = now + int(np.clip(share, 0, 0.999) * 3600) * 1_000_000
            back = at + int(repair[hour, i])
            failures.append((i, j, at, back, int(not worn)))
            visits.append(Visit(i, j, "corrective", at + HOUR // 6, back, True))
            down.append((i, at, back))
            until[i] = back
            grown[i, j] = 0.0
            strength[i, j] = _strength(rng, (), np.zeros(()))
            fitted[i, j] = back
        # A neighbour that would also have broken waits, worn through, for the machine to restart.
        state = np.minimum(grown, strength * 0.9999)
        for i in np.flatnonzero((service >= now) & (service < now + HOUR)).tolist():
            at, j = int(service[i]), int(turn[i])
            service[i] += int(rng.uniform(0.8, 1.2) * PM_DAYS * 86_400) * 1_000_000
            if until[i] > at:
                continue
            turn[i] = (j + 1) % c
            old = at - fitted[i, j] > PM_AGE_DAYS * DAY
            back = at + 2 * HOUR
            visits.append(Visit(i, j, "preventive" if old else "inspection", at, back, bool(old)))
            if old:
                down.append((i, at, back))
                until[i], fitted[i, j], state[i, j] = back, back, 0.0
                strength[i, j] = _strength(rng, (), np.zeros(()))
    wear[..., hours], used[..., hours] = state, state / strength
    return Line(
        machines=machines,
        load=load,
        used=used,
        wear=wear,
        down=np.array(down, dtype=np.int64).reshape(-1, 3),
        failures=np.array(failures, dtype=np.int64).reshape(-1, 5),
        visits=sorted(visits, key=lambda v: (v.closed_at, v.machine, v.component)),
        operator=operator,
        experience=experience,
    )
