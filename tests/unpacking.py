"""Read the server's binary maps in Python, as maps.js does in the browser."""

from __future__ import annotations

import json

import numpy as np


def unpack(body: bytes) -> list[tuple[dict, np.ndarray]]:
    length = int.from_bytes(body[:4], "little")
    head, at, found = json.loads(body[4 : 4 + length]), 4 + length, []
    for entry in head:
        size = entry["height"] * entry["width"]
        shares = np.frombuffer(body, "<f2", size, at).astype(np.float64)
        at += 2 * size
        found.append((entry, shares.reshape(entry["height"], entry["width"]) * entry["maximum"]))
    assert at == len(body)
    return found
