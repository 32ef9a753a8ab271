"""Size, seed and calendar of the simulated plant."""

import dataclasses

import numpy as np

HOUR = 3_600_000_000
DAY = 24 * HOUR
BEGIN = int(np.datetime64("2025-01-01T00:00:00", "us").astype(np.int64))
"""The plant's first instant, microseconds since the epoch, UTC."""

COMPONENTS = ("bearing", "cooler", "seal", "drive")
CHANNELS = ("temperature", "vibration", "pressure", "rotation")
SITES = ("north", "south", "harbour")
MODELS = ("A10", "A20", "B7", "C3")

OBSERVE_EVERY = 3 * HOUR
HORIZON = 24 * HOUR
INTERVAL = 15 * 60 * 1_000_000
"""How often a machine is read unless ``readings`` says otherwise, microseconds."""

CHUNK_ROWS = 200_000
"""About how many readings are held in memory, and lie in one file."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides every byte of a plant.

    Attributes:
      machines: how many machines; about ten share a gateway.
      days: how many days from 2025-01-01T00:00Z.
      seed: the root of every random number.
      readings: about how many readings (a machine's channels at one instant) are taken; None for
        one every 15 minutes and machine.
    """

    machines: int = 50
    days: int = 120
    seed: int = 7
    readings: int | None = None

    def __post_init__(self) -> None:
        for name, most in (("machines", 20_000), ("days", 3_650)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}: expected 1 to {most}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: expected 0 or more")
        if self.readings is None:
            return
        span = self.machines * self.days
        least, most = span * 4, span * 86_400
        if not least <= self.readings <= most:
            raise ValueError(
                f"readings is {self.readings}: {self.machines} machines over {self.days} days are "
                f"read between {least} (every 6 h) and {most} times (every second); change "
                "machines or days to go beyond"
            )

    @property
    def end(self) -> int:
        """The instant after the last, microseconds since the epoch."""
        return BEGIN + self.days * DAY

    @property
    def hours(self) -> int:
        """How many hours the plant runs."""
        return self.days * 24

    @property
    def interval(self) -> float:
        """Nominal time between two readings of a machine, microseconds."""
        if self.readings is None:
            return float(INTERVAL)
        return self.machines * self.days * DAY / self.readings

    @property
    def gateways(self) -> int:
        """How many gateways: five, or more where each would serve more than ten machines."""
        return max(5, -(-self.machines // 10))

    def machines_of(self, gateway: int) -> np.ndarray:
        """Numbers of the machines behind a gateway (both count from 1), int64, ascending."""
        return np.arange(gateway, self.machines + 1, self.gateways, dtype=np.int64)

    @property
    def chunk_hours(self) -> int:
        """How many hours of one gateway's readings make a file: at most ten days."""
        behind = -(-self.machines // self.gateways)
        rows_an_hour = behind * HOUR / self.interval
        return int(np.clip(CHUNK_ROWS / rows_an_hour, 1, 240))

    def rng(self, *place: int) -> np.random.Generator:
        """The random numbers of one place in the plant; each place has its own stream.

        So a chunk's numbers do not hang on what was generated before it.
        """
        return np.random.default_rng([self.seed, *place])
