"""Long work of the viewer's server, begun and waited for."""

from __future__ import annotations

import time


def waited(client, address: str, seconds: float = 60) -> dict:
    """The last state of the work at an address."""
    client.post(address).raise_for_status()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = client.get(address).json()
        if state["state"] != "running":
            return state
        time.sleep(0.02)
    raise AssertionError(f"{address} does not end")
