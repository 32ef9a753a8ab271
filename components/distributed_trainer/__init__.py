"""Trainer: one process, or many workers behind one launcher, from the same ``run_fn``."""
