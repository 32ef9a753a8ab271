"""The releases of one model: what programs and verbs read and change."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.folders import content_fingerprint
from serving.releases import states, versions
from serving.releases.record import Record, ReleaseError, Status, event, revision
from serving.releases.store import RECORD, Change, Hook, Store
from serving.releases.traffic import Traffic
from serving.releases.versions import NONE, Push, Version

AT_ONCE, CANARY = "at_once", "canary"


class Releases:
    """The versions of one model. Reading takes no lock; changes take turns.

    Args:
      folder: ``<directory>/<model>``; made by the first push.
      hooks: told of every change after it was written, in order.
    """

    def __init__(self, folder: str | Path, hooks: Sequence[Hook] = ()) -> None:
        self.folder = Path(folder)
        self._store = Store(self.folder, hooks)

    def versions(self) -> list[Version]:
        """All versions that are there, the oldest first."""
        return [self._version(number) for number in versions.numbers(self.folder)]

    def stable(self) -> Version | None:
        """The version that serves, or None.

        Raises:
          ReleaseError: if the record is unreadable or names a version that is gone.
        """
        number = self._store.read().stable
        if number is None:
            return None
        if not self._store.there(number):
            raise ReleaseError(
                f"{self.folder / RECORD} says that version {number} serves, but its folder is "
                "gone. Promote another version, or remove the record to begin anew"
            )
        return self._version(number)

    def before(self) -> Version | None:
        """The version to roll back to: the last one that served before the stable one."""
        number = self._store.before(self._store.read())
        return None if number is None else self._version(number)

    def history(self) -> list[dict[str, Any]]:
        """What happened, the oldest first: at, by, what, version, why, from, to, numbers."""
        return [dict(entry) for entry in self._store.read().history]

    def state(self) -> str:
        """What serves, as a short text that changes whenever that changes."""
        version = self.stable()
        return NONE if version is None else f"{version.number}-{version.fingerprint[:16]}"

    def statuses(self) -> dict[int, Status]:
        """What each version is; quarantined ones also after they were pruned."""
        record = self._store.read()
        known = {*versions.numbers(self.folder), *record.versions}
        return {number: record.status(number) for number in sorted(known)}

    def trial(self) -> tuple[int, Status] | None:
        """The version on trial, available or canary; else the one to try next; else None."""
        record = self._store.read()
        number = states.candidate(record)
        if number is None and record.stable is not None:
            number = states.waiting(record)
        return None if number is None else (number, record.status(number))

    def traffic(self) -> Traffic | None:
        """How requests that name no version are split; None if nothing serves.

        Raises:
          ReleaseError: if the record is unreadable.
        """
        return self._store.traffic(self._store.read())

    def served(self) -> list[int]:
        """The versions that a server holds loaded: stable, on trial, and the one to roll back to.

        Returns:
          Those of them whose folders are there, rising.

        Raises:
          ReleaseError: if the record is unreadable.
        """
        record = self._store.read()
        named = {record.stable, states.candidate(record), self._store.before(record)}
        return sorted(n for n in named if n is not None and self._store.there(n))

    def push(
        self,
        model: str | Path,
        release: Mapping[str, Any],
        keep: int,
        why: str,
        by: str = "",
        statistics: str | Path | None = None,
        schema: str | Path | None = None,
        rollout: str = AT_ONCE,
    ) -> Push:
        """Makes a model the next version, stable at once or staged for a trial.

        A model that is a version already stays that one, and what serves does not change: a
        version that was rolled back must not come back by itself.

        Args:
          model: a SavedModel's folder.
          release: what is to be kept about it; ``version``, ``fingerprint`` and ``created`` are
            added.
          keep: how many of the newest versions stay; those that serve, are on trial or wait for
            it, and the one to roll back to always do.
          why: a reason for the history.
          by: who pushes; the user's login name by default.
          statistics: a folder of statistics to keep with it.
          schema: a schema file to keep with it.
          rollout: ``at_once``, or ``canary``: the version is staged. The first version of all is
            stable at once: there is nothing to compare it with.

        Raises:
          ReleaseError: if ``model`` is no SavedModel or the record is unreadable.
          ValueError: if ``rollout`` or ``keep`` is none of these.
        """
        model = Path(model)
        if rollout not in (AT_ONCE, CANARY):
            raise ValueError(f"rollout is {rollout!r}: expected {AT_ONCE} or {CANARY}")
        if not (model / "saved_model.pb").is_file():
            raise ReleaseError(f"{model} is not a SavedModel: it holds no saved_model.pb")
        content = content_fingerprint(model)
        # A lock of its own for the slow part: a rollback never waits for a copy.
        with self._store.locked(".push"):
            versions.sweep(self.folder)
            with self._store.changing() as change:
                known = self._holder(change.record, content)
            if known is None:
                staged = versions.stage_copy(self.folder, model, statistics, schema)
            with self._store.changing() as change:
                number = change.record.next if known is None else known
                if known is None:
                    stages = rollout == CANARY and change.record.stable is not None
                    entry = event("stage" if stages else "push", number, why, by)
                    text = {**release, "version": number, "fingerprint": content}
                    text |= {"created": entry["at"], "event": entry}
                    versions.admit(staged, number, text)
                    change.write(states.take_in(change.record, number, entry))
                gone = self._prune(change, keep)
            versions.sweep(self.folder)
        record = change.record
        status = record.status(number)
        return Push(number, known is None, record.stable, gone, status.state, status.why)

    def promote(self, number: int, why: str, by: str = "", seen: str = "") -> None:
        """Makes a version the one that serves, for a person; ends the trial of another one.

        Args:
          number: the version.
          why: a reason for the history.
          by: who does it; the user's login name by default.
          seen: the revision of the record that it was decided on; "" for any.

        Raises:
          ReleaseError: if there is no such version, it is quarantined and no reason is given, or
            the record is another one by now.
        """

        def move(record: Record) -> Record:
            there = versions.numbers(self.folder)
            if number not in there:
                listed = ", ".join(map(str, there)) or "none"
                raise ReleaseError(f"no version {number} in {self.folder}: there are {listed}")
            return states.promote(record, number, event("promote", number, why, by))

        self._change(move, seen)

    def rollback(
        self,
        why: str,
        by: str = "",
        number: int | None = None,
        numbers: Mapping[str, Any] | None = None,
        trial_only: bool = False,
        seen: str = "",
    ) -> int:
        """Takes a version's traffic away and quarantines it.

        Args:
          why: a reason for the history.
          by: who does it; the user's login name by default.
          number: the version; by default the one on trial, else the stable one, which the one
            that served before it replaces.
          numbers: the measurements behind it.
          trial_only: refuses to touch the stable version.
          seen: as for ``promote``.

        Returns:
          The version that it quarantined.

        Raises:
          ReleaseError: if that version has no traffic to lose, or there is none to go back to.
        """
        taken: list[int] = []

        def move(record: Record) -> Record:
            bad = states.to_roll_back(record) if number is None else number
            taken.append(bad)
            entry = event("rollback", bad, why, by, numbers)
            if trial_only and bad == record.stable:
                raise ReleaseError(f"version {bad} is stable by now")
            return states.reject(record, bad, entry, self._version(bad).fingerprint)

        self._change(move, seen)
        return taken[0]

    def advance(
        self,
        number: int,
        percent: int,
        why: str,
        by: str,
        numbers: Mapping[str, Any],
        seen: str = "",
    ) -> None:
        """Moves a version on trial to its next step.

        Args:
          number: the version.
          percent: 0 makes a staged one available, 1 to 99 a canary, 100 stable.
          why: a reason for the history.
          by: who does it.
          numbers: the measurements behind it.
          seen: as for ``promote``.

        Raises:
          ReleaseError: if its state is another by now; the record is as it was.
        """

        def move(record: Record) -> Record:
            if percent == 0:
                return states.offer(record, number, event("available", number, why, by, numbers))
            if percent == 100:
                return states.settle(record, number, event("stable", number, why, by, numbers))
            entry = event("canary", number, why, by, numbers)
            return states.shift(record, number, percent, entry)

        self._change(move, seen)

    def prune(self, keep: int) -> tuple[int, ...]:
        """Removes old versions; see ``push`` for which stay.

        Returns:
          The versions that it removed.
        """
        with self._store.locked(".push"):
            with self._store.changing() as change:
                gone = self._prune(change, keep)
            versions.sweep(self.folder)
        return gone

    def _change(self, move: Callable[[Record], Record], seen: str) -> None:
        with self._store.changing() as change:
            if seen and seen != revision(change.record):
                raise ReleaseError(
                    f"{self.folder / RECORD} changed since it was looked at: look again, then "
                    "decide"
                )
            change.write(move(change.record))

    def _prune(self, change: Change, keep: int) -> tuple[int, ...]:
        record, there = change.record, versions.numbers(self.folder)
        before = self._store.before(record)
        gone = versions.prunable(there, record.stable, before, keep, states.open_trials(record))
        if gone:
            for number in gone:
                versions.retire(self.folder, number)
            entries = [event("prune", number, f"keeps {keep}") for number in gone]
            change.write(states.forget(record, gone, entries))
        return gone

    def _holder(self, record: Record, content: str) -> int | None:
        for version in self.versions():
            if version.fingerprint == content:
                return version.number
        for number, status in record.versions.items():
            if status.fingerprint == content:
                return number
        return None

    def _version(self, number: int) -> Version:
        return versions.read_version(self.folder, number)


def fingerprint(folder: str | Path) -> str:
    """What serves, as a short text for cache keys; see ``Releases.state``."""
    return Releases(folder).state()
