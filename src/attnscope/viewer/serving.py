"""Show traces on this machine: in the browser until interrupted, or in a notebook, which goes on beside it."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import uvicorn
from fastapi import FastAPI

from attnscope.errors import ParameterError
from attnscope.trace.trace import Trace
from attnscope.viewer import notebook
from attnscope.viewer.addresses import network_addresses
from attnscope.viewer.app import create_app
from attnscope.viewer.listening import Server, listen

HEIGHT_PX = 760
"""Of the page in a notebook: a picture of 512 px with all that stands around it."""
HERE = ("127.0.0.1", "localhost", "::1")
SITE = re.compile(r"https?://(?:\*\.)?[\w.-]+(?::\d{1,5})?", re.ASCII)
"""As the content security policy takes it; the star is any name below."""
CLOSES_WITHIN = 10.0  # seconds; uvicorn gives clients two


class Viewer:
    """A running viewer.

    Args:
        app: What answers.
        listening: Where.
        address: Where a browser finds it, with the token if there is one.
    """

    address: str
    port: int

    def __init__(self, app: object, listening: socket.socket, address: str) -> None:
        self.address, self.port = address, listening.getsockname()[1]
        self._listening, self._started = listening, threading.Event()
        settings = {"log_level": "warning", "timeout_graceful_shutdown": 2, "server_header": False}
        self._server = Server(uvicorn.Config(app, **settings), self._answers)  # type: ignore[arg-type]
        self._ready: Callable[[str], None] = lambda address: None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<viewer at {self.address}>"

    def close(self) -> None:
        """End it and give its port free; what it shows stays on the screen, and can't ask any more."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(CLOSES_WITHIN)

    def run(self, ready: Callable[[str], None]) -> None:
        """Answer until interrupted.

        Args:
            ready: Called with the address once it answers.
        """
        self._ready = ready
        with (
            self._listening,
            suppress(KeyboardInterrupt),
        ):  # uvicorn raises it again once everything is closed
            self._server.run(sockets=[self._listening])

    def run_beside(self, ready: Callable[[str], None]) -> None:
        """Answer in a thread of its own; returns once it does.

        Args:
            ready: As for `run`.
        """
        self._thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self._thread.start()
        while not self._started.wait(0.05):
            if not self._thread.is_alive():
                raise RuntimeError("the viewer's server ended before it answered; its log says why")

    def _answers(self) -> None:
        self._started.set()
        self._ready(self.address)


def serve(
    *traces: Trace | str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | bool | None = None,
    address: str | None = None,
    framed_by: Sequence[str] = (),
    open_browser: bool = True,
    height: int = HEIGHT_PX,
    ready: Callable[[str], None] | None = None,
) -> Viewer:
    """Show traces in the browser until interrupted; in a notebook below the cell, and the notebook goes on.

    Args:
        traces: One, or several to compare; folders or traces in memory.
        host: An address of this machine. One that others can reach asks for a token; 0.0.0.0 is all of them.
        port: The first free one from 8756 by default.
        token: What a browser must give. Default: a new one where others may reach the viewer, and in notebooks. False:
            none, where something else decides who may look.
        address: Under which a proxy shows it, as in "https://hub.example.org/user/me/proxy/{port}/"; {port} is filled
            in. Whether the proxy leaves its path before a request's or takes it away does not matter.
        framed_by: Sites whose pages may frame the viewer, as in "https://huggingface.co". A notebook needs none.
        open_browser: Whether to open the page, in the browser or below the cell.
        height: Of the page below a cell, in CSS pixels.
        ready: Called with the address once the server answers. Default: it is printed, and so are those under which
            other machines find it; in a notebook it stands below the page.

    Returns:
        The viewer, with `.address` and `.close()`. Outside of notebooks it has ended by then.

    Raises:
        ParameterError: There is no trace or no host, the address is none, or the port can't be had.
        TraceFormatError: A folder is no trace.

    Cost: the manifest and the headers of each trace; what is looked at is computed when it is.
    """
    if not traces:
        raise ParameterError("no trace to view; expected at least one")
    return serve_app(
        partial(create_app, traces),
        host=host,
        port=port,
        token=token,
        address=address,
        framed_by=framed_by,
        open_browser=open_browser,
        height=height,
        ready=ready,
    )


def serve_app(
    create: Callable[..., FastAPI],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | bool | None = None,
    address: str | None = None,
    framed_by: Sequence[str] = (),
    open_browser: bool = True,
    height: int = HEIGHT_PX,
    ready: Callable[[str], None] | None = None,
) -> Viewer:
    """Show an application as `serve` shows traces; the other arguments are its own.

    Args:
        create: Makes the application of token, address, frame_key and framed_by, as `create_app` takes them.
        host: See `serve`.
        port: See `serve`.
        token: See `serve`.
        address: See `serve`.
        framed_by: See `serve`.
        open_browser: See `serve`.
        height: See `serve`.
        ready: See `serve`.

    Returns:
        What is running.

    Raises:
        ParameterError: There is no host, the address is none, or the port can't be had.
    """
    if not host.strip("[] "):
        raise ParameterError(
            f"host is {host!r}; expected an address of this machine, such as 127.0.0.1 (0.0.0.0 is all of them)"
        )
    host, in_kernel = host.strip("[]"), notebook.is_here()
    if token is False and host not in HERE and address is None:
        raise ParameterError(
            f"without a token the viewer answers only to names that it knows: with host={host!r} give the "
            "address, or let it have a token"
        )
    secret = _token(token, is_needed=host not in HERE or address is not None or in_kernel)
    check_address(address)
    check_sites(framed_by)
    frame_key = secrets.token_hex(16) if in_kernel and open_browser else None
    listening = listen(host, port)
    try:
        public = _public(address, host, listening.getsockname()[1])
        own = address and public
        app = create(token=secret, address=own, frame_key=frame_key, framed_by=framed_by)
        viewer = Viewer(app, listening, public + ("?" + urlencode({"token": secret}) if secret else ""))
    except BaseException:
        listening.close()
        raise
    if in_kernel:
        viewer.run_beside(ready or (lambda address: None))
        if frame_key is not None:
            notebook.show(viewer.port, frame_key, public=own, tab=viewer.address, height=height)
    elif _has_loop():
        viewer.run_beside(_and_open(ready or _printing(host), open_browser))
    else:
        viewer.run(_and_open(ready or _printing(host), open_browser))
    return viewer


def _token(token: str | bool | None, *, is_needed: bool) -> str | None:
    if token is False:
        return None
    if token is True or (token is None and is_needed):
        return secrets.token_urlsafe(16)
    if token is not None and not token.strip():
        raise ParameterError("the token is empty; name one, or leave it out for a new one")
    return token


def check_address(address: str | None) -> None:
    """Refuse what is no address of a proxy.

    Args:
        address: What was given, if anything.

    Raises:
        ParameterError: It is none.
    """
    if address is None:
        return
    try:
        parts = urlsplit(address.replace("{port}", "8756"))
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or parts.query or parts.fragment or parts.username is not None:
        raise ParameterError(
            f"address is {address!r}; expected the address where a proxy shows the viewer, without ? and #, as in "
            "https://hub.example.org/user/me/proxy/{port}/"
        )


def check_sites(sites: Sequence[str]) -> None:
    """Refuse what is no site.

    Args:
        sites: What was given.

    Raises:
        ParameterError: One of them is none.
    """
    for site in sites:
        if not SITE.fullmatch(site):
            raise ParameterError(
                f"{site!r} may not frame the viewer; expected a site without a path, as in https://huggingface.co"
            )


def _public(address: str | None, host: str, port: int) -> str:
    """Where a browser finds it, with a slash at the end."""
    if address is None:
        return f"http://{_shown(host)}:{port}/"
    parts = urlsplit(address.replace("{port}", str(port)))
    return parts._replace(path=quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~") + "/").geturl()


def _shown(host: str) -> str:
    """The host as an address that this machine's browser reaches."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _has_loop() -> bool:
    """Whether an event loop runs in this thread, which would not let another one run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _printing(host: str) -> Callable[[str], None]:
    def tell(address: str) -> None:
        for each in (*network_addresses(address, host), address):
            sys.stdout.write(f"{each}\n")
        sys.stdout.flush()

    return tell


def _and_open(ready: Callable[[str], None], open_browser: bool) -> Callable[[str], None]:
    def tell(address: str) -> None:
        ready(address)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    return tell
