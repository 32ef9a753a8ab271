"""The release record's mirror in MLflow: for people and programs that look there.

The record is the truth. ``mirror`` makes a registered model equal to it: one model version for
each release, with its metrics and where it comes from, the alias ``champion`` on the stable one and
``challenger`` on the one on trial. It runs in a process of its own (``python -m
serving.registry``), in an environment of its own, after each transition: MLflow takes seconds to
import and may be down, and no rollback waits for either.
"""
