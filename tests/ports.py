"""Ports for servers that cannot choose one themselves."""

import random
import socket

# Below what any usual system hands out by itself (Linux from 32768, others from 49152): neither a
# client's connection nor another server's port 0 takes one between its choice and its use.
_PORTS = range(20_000, 32_768)
_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of this machine that nothing listens on, and that no other test is given.

    Kept by a UDP socket on the same number for as long as this process runs: the tests of other
    processes see it, and a TCP server does not mind.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket() as probe:
            try:
                mark.bind(("127.0.0.1", port))
                probe.bind(("", port))
            except OSError:
                mark.close()
                continue
        _kept.append(mark)
        return port
