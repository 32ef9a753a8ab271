"""The verb ``ui``: a local page about all runs and versions, from which versions are moved.

::

    command.py     the verb: what it listens on
    app.py         the pages together, behind guard.py: this machine's user alone
    run_pages.py, version_pages.py
                   the pages and their forms; site.py is what they stand in
    runs.py        runs, as their records tell
    facts.py       what a run's artifacts tell
    comparison.py  two runs side by side
    versions.py    versions, as the release record tells
    moves.py       what may be done with a version, and what would come of it
    orders.py      what was asked for, done once
    rollout.py     the verb ``rollout`` in a process of its own

It reads what runs leave on the disk at every request and keeps nothing of its own. What it changes
it changes by ``serving.releases``, as the verbs do.
"""

from pipeline.ui.command import command

__all__ = ["command"]
