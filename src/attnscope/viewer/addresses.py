"""Addresses of this machine under which others reach it."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

EVERYWHERE = ("0.0.0.0", "::")
"""What listens on all of a machine's addresses: those of IPv4, or all."""
_IS_UP = 1
_FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of nobody (RFC 5737, RFC 3849)."""


def network_addresses(address: str, host: str) -> list[str]:
    """The address of a server with each of this machine's own in place of its host, the usual one first.

    Args:
        address: Where this machine's own browser finds the server.
        host: What it listens on.

    Returns:
        Those of IPv4 for 0.0.0.0, all for ::, none for anything else.
    """
    if host not in EVERYWHERE:
        return []
    parts = urlsplit(address)
    families = (socket.AF_INET,) if host == EVERYWHERE[0] else (socket.AF_INET, socket.AF_INET6)
    return [_with_host(parts, own) for family in families for own in _own(family)]


def _with_host(parts: SplitResult, host: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{shown}:{parts.port}").geturl()


def _own(family: socket.AddressFamily) -> list[str]:
    """This machine's addresses of a family that others may reach, the one that it speaks to others with first."""
    found = dict.fromkeys([*_outward(family), *_of_interfaces(family), *_of_name(family)])
    return [text for text in found if _is_reachable(text)]


def _is_reachable(text: str) -> bool:
    own = ipaddress.ip_address(text)
    return not (own.is_loopback or own.is_link_local or own.is_unspecified or own.is_multicast)


def _outward(family: socket.AddressFamily) -> Iterator[str]:
    """Nothing is sent: connecting a datagram socket only chooses its own address."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((_FAR[family], 9))
        yield asking.getsockname()[0]


def _of_name(family: socket.AddressFamily) -> Iterator[str]:
    with suppress(OSError):
        for *_, own in socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM):
            yield str(own[0]).partition("%")[0]


class _Interface(ctypes.Structure):
    """The beginning of the C library's `struct ifaddrs`, the same on Linux, macOS and the BSDs."""


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def _of_interfaces(family: socket.AddressFamily) -> Iterator[str]:
    """Addresses of interfaces that are up; none where the C library can't be asked, as on Windows."""
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        first = ctypes.POINTER(_Interface)()
        if library.getifaddrs(ctypes.byref(first)):
            return
        try:
            yield from _listed(first, family)
        finally:
            library.freeifaddrs(first)


def _listed(interface: ctypes._Pointer[_Interface], family: socket.AddressFamily) -> Iterator[str]:
    """sockaddr begins with its family, two bytes, or one behind its length; then a port, for IPv6 four bytes more."""
    has_length = sys.platform == "darwin" or "bsd" in sys.platform
    begin, count = (4, 4) if family == socket.AF_INET else (8, 16)
    while interface:
        current = interface.contents
        if current.address and current.flags & _IS_UP:
            head = ctypes.string_at(current.address, 2)
            if (head[1] if has_length else int.from_bytes(head, sys.byteorder)) == family:
                yield socket.inet_ntop(family, ctypes.string_at(current.address, begin + count)[begin:])
        interface = current.next
