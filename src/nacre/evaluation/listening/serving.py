"""A listening test on a port of this machine, for browsers on the local network."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ...errors import InputError
from .app import create_app
from .plan import read_links

EVERYWHERE = ("0.0.0.0", "::", "")
_MOST = 256  # connections at a time


@dataclass(frozen=True)
class Links:
    """What to send to whom."""

    invitation: str  # to people who shall listen
    owner: str  # to nobody


def serve(folder: Path, host: str, port: int, told: Callable[[Links], None]) -> None:
    """Run the test until it is stopped; `told` hears the links when the port is open."""
    app = create_app(folder)
    tokens = read_links(folder)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()  # links name an address of the fourth version
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"port {port} of {host} cannot be used: {error.strerror}; choose another with --port"
        ) from error
    with listener:
        address = address_of(host, listener.getsockname()[1])
        told(Links(f"{address}/join/{tokens['invitation']}", f"{address}/owner/{tokens['owner']}"))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # paths hold tokens
            server_header=False,
            limit_concurrency=_MOST,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[listener])


def address_of(host: str, port: int) -> str:
    """Where others reach a port of this machine."""
    return f"http://{_shown(host)}:{port}"


def _shown(host: str) -> str:
    if host not in EVERYWHERE:
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: nothing is sent, only a way is looked for
            return str(probe.getsockname()[0])
        except OSError:
            return "localhost"
