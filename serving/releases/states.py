"""The states of a version and the moves between them, as functions from record to record.

::

    staged ──► available ──► canary 1 % ──► 10 % ──► 50 % ──► stable ──► retired
       └───────────┴──────────────┴── worse, silent, too slow ────┴──► quarantined

- staged: pushed, whole, not loaded by the server.
- available: the server is to load it; nobody is sent to it.
- canary: it gets a share of the traffic.
- stable: it gets the rest. There is exactly one from the first push on.
- retired: it was stable, or a newer one became stable first.
- quarantined: it was rolled back. Only a person brings it back, by its number and with a reason.
- found: somebody else put the folder there. It serves only if a person promotes it.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from serving.releases.record import Record, ReleaseError, Status, event

STAGED, AVAILABLE, CANARY = "staged", "available", "canary"
STABLE, RETIRED, QUARANTINED, FOUND = "stable", "retired", "quarantined", "found"
STATES = (STAGED, AVAILABLE, CANARY, STABLE, RETIRED, QUARANTINED, FOUND)

Event = Mapping[str, Any]


def check(record: Record) -> None:
    """Refuses a record that contradicts itself, as one may that was edited by hand.

    Raises:
      ValueError: naming the version and the rule.
    """
    for number, status in record.versions.items():
        if status.state not in STATES:
            raise ValueError(
                f"version {number} is {status.state!r}: expected one of {', '.join(STATES)}"
            )
        low, high = (1, 99) if status.state == CANARY else (0, 0)
        if type(status.percent) is not int or not low <= status.percent <= high:
            raise ValueError(
                f"version {number}, {status.state}, has {status.percent!r} % of the traffic: "
                f"expected {low} to {high}"
            )
    newest = max(record.versions, default=0)
    if newest >= record.next:
        raise ValueError(f"next is {record.next}, but there is a version {newest}: expected more")
    stable = [number for number, status in record.versions.items() if status.state == STABLE]
    if stable != ([] if record.stable is None else [record.stable]):
        raise ValueError(f"stable is {record.stable}, but the state of {stable} is stable")
    tried = [n for n, status in record.versions.items() if status.state in (AVAILABLE, CANARY)]
    if len(tried) > 1:
        raise ValueError(f"versions {tried} are on trial: expected one at most")


def candidate(record: Record) -> int | None:
    """The version that is on trial: available or canary. There is at most one."""
    for number, status in record.versions.items():
        if status.state in (AVAILABLE, CANARY):
            return number
    return None


def waiting(record: Record) -> int | None:
    """The version to try next: the newest that is staged."""
    staged = [n for n, status in record.versions.items() if status.state == STAGED]
    return max(staged, default=None)


def open_trials(record: Record) -> list[int]:
    """The versions on trial and those that wait for it."""
    trials = (STAGED, AVAILABLE, CANARY)
    return [number for number, status in record.versions.items() if status.state in trials]


def take_in(record: Record, number: int, entry: Event) -> Record:
    """Takes in a new version: stable at once, or staged if the event is ``stage``."""
    if entry["what"] == "stage" and record.stable is not None:
        return _move(_counted(record, number), number, STAGED, entry)
    return make_stable(record, number, entry)


def find(record: Record, number: int) -> Record:
    """Takes note of a folder that somebody else put there."""
    entry = event("found", number, "put there by somebody else")
    return _move(_counted(record, number), number, FOUND, entry)


def offer(record: Record, number: int, entry: Event) -> Record:
    """Staged → available: the server is to load the version."""
    _expect(record, number, STAGED)
    if record.stable is None:
        raise ReleaseError(f"version {number} cannot be on trial: no version is stable yet")
    tried = candidate(record)
    if tried is not None:
        raise ReleaseError(f"version {number} cannot be on trial: version {tried} is")
    return _move(record, number, AVAILABLE, entry)


def shift(record: Record, number: int, percent: int, entry: Event) -> Record:
    """Available → canary, or a canary to a larger share."""
    _expect(record, number, AVAILABLE, CANARY)
    now = record.status(number).percent
    if not now < percent < 100:
        raise ReleaseError(
            f"version {number} has {now} % of the traffic: expected more, and less than 100, "
            f"not {percent}"
        )
    return _move(record, number, CANARY, entry, percent)


def settle(record: Record, number: int, entry: Event) -> Record:
    """Canary → stable."""
    _expect(record, number, CANARY)
    return make_stable(record, number, entry)


def make_stable(record: Record, number: int, entry: Event) -> Record:
    """Makes a version stable, whatever it was; the trial of another one is over.

    A version on trial goes back to staged, to be compared with the new stable one; those that are
    staged and older than the new stable one are retired.
    """
    old = record.stable
    versions = dict(record.versions)
    at = entry["at"]
    if old is not None:
        versions[old] = Status(RETIRED, at)
    for other, status in versions.items():
        if other == number or status.state not in (STAGED, AVAILABLE, CANARY):
            continue
        if other < number:
            versions[other] = Status(RETIRED, at, why=f"version {number} came before it")
        elif status.state != STAGED:
            versions[other] = Status(STAGED, at, why=f"version {number} became stable meanwhile")
    before = [n for n in record.before if n not in (number, old)]
    if old is not None and old != number:
        before.append(old)
    record = dataclasses.replace(
        _counted(record, number), stable=number, before=tuple(before), versions=versions
    )
    return _move(record, number, STABLE, entry)


def promote(record: Record, number: int, entry: Event) -> Record:
    """A person makes a version stable, a quarantined one too if there is a reason."""
    if record.stable == number:
        return record
    status = record.status(number)
    if status.state == QUARANTINED and not entry["why"].strip():
        raise ReleaseError(
            f"version {number} is quarantined because {status.why}. "
            "Only a person brings it back: say why"
        )
    return make_stable(record, number, entry)


def reject(record: Record, number: int, entry: Event, fingerprint: str = "") -> Record:
    """Takes a version's traffic away and quarantines it.

    Args:
      record: the record.
      number: the version on trial, a staged one, or the stable one: then the one before serves.
      entry: the event.
      fingerprint: of the version's content, if known.

    Raises:
      ReleaseError: if the version is none of these, or nothing is there to roll back to.
    """
    _expect(record, number, STAGED, AVAILABLE, CANARY, STABLE)
    came_from = record.status(number)
    if number == record.stable:
        if not record.before:
            raise ReleaseError(
                f"no version served before {number}: there is nothing to roll back to"
            )
        back = record.before[-1]
        history = record.history
        record = make_stable(record, back, {**entry, "version": back})
        record = dataclasses.replace(record, history=history)
        entry = {**entry, "back_to": back}
    versions = {**record.versions, number: came_from}
    before = tuple(n for n in record.before if n != number)
    record = dataclasses.replace(record, versions=versions, before=before)
    return _move(record, number, QUARANTINED, entry, fingerprint=fingerprint)


def to_roll_back(record: Record) -> int:
    """What a rollback without a number takes back: the version on trial, else the stable one.

    Raises:
      ReleaseError: if nothing serves.
    """
    tried = candidate(record)
    number = record.stable if tried is None else tried
    if number is None:
        raise ReleaseError("nothing serves: there is nothing to roll back")
    return number


def forget(record: Record, numbers: Collection[int], entries: Collection[Event]) -> Record:
    """Takes out versions whose folders are gone; what is quarantined stays known."""
    versions = {
        number: status
        for number, status in record.versions.items()
        if number not in numbers or status.state == QUARANTINED or number == record.stable
    }
    before = tuple(number for number in record.before if number not in numbers)
    history = (*record.history, *entries)
    return dataclasses.replace(record, versions=versions, before=before, history=history)


def mend(record: Record, there: Collection[int]) -> Record:
    """Forgets the versions whose folders somebody removed.

    Args:
      record: the record.
      there: the versions whose folders are there.
    """
    gone = [
        number
        for number, status in record.versions.items()
        if number not in there and status.state != QUARANTINED and number != record.stable
    ]
    if not gone:
        return record
    return forget(record, gone, [event("lost", n, "its folder is gone") for n in gone])


def _move(
    record: Record,
    number: int,
    state: str,
    entry: Event,
    percent: int = 0,
    fingerprint: str = "",
) -> Record:
    was = record.versions.get(number)
    told = {**entry, "from": was.state if was else None, "to": state}
    if percent:
        told["percent"] = percent
    status = Status(state, entry["at"], percent, entry["why"], fingerprint)
    return dataclasses.replace(
        record,
        versions={**record.versions, number: status},
        history=(*record.history, told),
    )


def _counted(record: Record, number: int) -> Record:
    return dataclasses.replace(record, next=max(record.next, number + 1))


def _expect(record: Record, number: int, *states: str) -> None:
    status = record.status(number)
    if status.state not in states:
        why = f" because {status.why}" if status.state == QUARANTINED and status.why else ""
        raise ReleaseError(
            f"version {number} is {status.state}{why}: expected {' or '.join(states)}"
        )
