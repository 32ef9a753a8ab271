"""ServingGate: a candidate is served for real, asked and put under load before it may be pushed."""
