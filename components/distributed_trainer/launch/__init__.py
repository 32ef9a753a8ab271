"""Where the workers of a training job run: one launcher a place, all behind one interface."""
