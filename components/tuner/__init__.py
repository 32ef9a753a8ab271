"""Tuner: finds hyperparameters on a part of the train split, in processes of its own."""
