"""Ports of 127.0.0.1 for the servers of the tests."""

import random
import socket
from pathlib import Path
from typing import Self

PORTS = range(12_000, 32_000)


def quiet_ports(lowest: int, highest: int) -> list[int]:
    """Those that the kernel does not give to outgoing connections, which get one of `lowest` to `highest`; on a machine
    that leaves next to none of them, all."""
    quiet = [port for port in PORTS if not lowest <= port <= highest]
    return quiet if len(quiet) >= 1_000 else [*PORTS]


QUIET = quiet_ports(*map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()))


class ClaimedPort:
    """A port for one server and for nobody else on this machine, whether the server runs or not, until it is closed.

    Two sockets hold it. Who claims a port binds its twin of UDP first, which only one can. That of TCP never listens:
    the kernel gives its port to no stranger who asks for any, and a server, which sets SO_REUSEADDR, can still have it.
    """

    number: int

    def __init__(self) -> None:
        while True:
            self._twin, self._holder = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.number = random.choice(QUIET)
            try:
                for held in (self._twin, self._holder):
                    held.bind(("127.0.0.1", self.number))
                return
            except OSError:
                self.close()

    def close(self) -> None:
        self._twin.close()
        self._holder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
