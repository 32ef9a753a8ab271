"""A server that speaks TensorFlow Serving's APIs on one machine: an emulator of it."""
