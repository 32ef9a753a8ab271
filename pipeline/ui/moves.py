"""What a person may do with a version, and what would come of it.

What is allowed is asked of ``serving.releases.states``, by trying the move on the record as it is:
the same functions make it.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator
from typing import Final, Literal

from serving.releases import AVAILABLE, CANARY, STAGED, ReleaseError, Releases, states
from serving.releases.record import Record, event
from serving.rollout.plan import Plan

Name = Literal["promote", "advance", "rollback", "rollout"]
ROLLOUT: Final = "rollout"
_AT_ONCE = 100


@dataclasses.dataclass(frozen=True)
class Move:
    """Something that may be done.

    Attributes:
      name: ``promote`` makes a version stable at once, ``advance`` takes a trial's next step,
        ``rollback`` takes a version's traffic away; ROLLOUT lets its metrics decide, which the verb
        of that name does in a process of its own.
      version: which one.
      text: what a button says.
      after: the record after it; the times in it are not those that will stand there.
      percent: the share of the traffic that ``advance`` leads to.
    """

    name: Name
    version: int
    text: str
    after: Record
    percent: int = 0

    @property
    def also(self) -> list[str]:
        """What else there is to know before it is done."""
        if self.name == ROLLOUT:
            return [
                "Nothing is changed at once. A rollout gives it more and more of the traffic while "
                "its metrics keep to serving.canary, and takes it back if they do not.",
                "It goes on when this page is closed, and ends with the program that shows it.",
            ]
        if self.name == "rollback":
            return [
                "The servers take its traffic away as soon as they read the record.",
                "The same model stays quarantined if it is pushed again: only a person who "
                "promotes it brings it back.",
            ]
        if self.percent:
            return ["The server must have loaded it; nobody asks whether it has."]
        if self.name == "advance":
            return ["The server loads it beside the stable one; nobody is sent to it."]
        return ["The servers follow as soon as they have loaded it."]

    @property
    def done(self) -> str:
        """What is to be said once it is done."""
        if self.name == ROLLOUT:
            return f"A rollout of version {self.version} has begun."
        if self.name == "promote":
            return f"Version {self.version} is stable."
        if self.name == "rollback":
            return (
                f"Version {self.version} is rolled back and quarantined. "
                f"Version {self.after.stable} serves."
            )
        if self.percent:
            return f"Version {self.version} gets {self.percent} % of the requests."
        return f"Version {self.version} is available: the server is to load it."

    def make(self, releases: Releases, why: str, by: str, seen: str) -> None:
        """Does it.

        Args:
          releases: the model's.
          why: a reason for the history.
          by: who does it.
          seen: the revision of the record that it was decided on.

        Raises:
          ReleaseError: if it is not allowed, or the record is another one by now.
        """
        if self.name == "promote":
            releases.promote(self.version, why, by, seen)
        elif self.name == "rollback":
            releases.rollback(why, by, self.version, seen=seen)
        else:
            releases.advance(self.version, self.percent, why, by, {}, seen)


def allowed(record: Record, number: int, there: Collection[int], plan: Plan) -> list[Move]:
    """What may be done with a version.

    Args:
      record: the release record.
      number: the version.
      there: the versions whose folders are there.
      plan: what a trial's steps are.
    """
    return [*_tried(record, number, plan)] if number in there else []


def _tried(record: Record, number: int, plan: Plan) -> Iterator[Move]:
    status = record.status(number)
    share = {
        STAGED: 0,
        AVAILABLE: plan.steps[0].percent,
        CANARY: plan.following(status.percent),
    }.get(status.state, _AT_ONCE)
    entry = event("tried", number, "tried")
    if number == (states.candidate(record) or states.waiting(record)):
        yield Move(ROLLOUT, number, "Let its metrics decide", record)
    # Refused where another one is on trial.
    with contextlib.suppress(ReleaseError):
        if share == 0:
            yield Move("advance", number, "Have it loaded", states.offer(record, number, entry))
        elif share < _AT_ONCE:
            after = states.shift(record, number, share, entry)
            yield Move("advance", number, f"Give it {share} %", after, share)
    if number != record.stable:
        yield Move("promote", number, "Make it stable", states.promote(record, number, entry))
    # Refused where it has no traffic, or nothing is there to go back to.
    with contextlib.suppress(ReleaseError):
        yield Move("rollback", number, "Roll back", states.reject(record, number, entry))
