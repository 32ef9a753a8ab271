"""What holds for all tests."""

import signal

import hypothesis

# A shell has what it starts in the background ignore Ctrl-C, and so would the programs that tests
# start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no limit of time: what fails is what was changed. New ones
# are looked for with `--hypothesis-profile=default`.
hypothesis.settings.load_profile("ci")
