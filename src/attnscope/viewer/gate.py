"""Who may ask: only pages of this very server. Written as plain ASGI, in front of everything.

A page of another site could otherwise read what the viewer shows: directly (cross-site requests), or by giving its
own name this machine's address (DNS rebinding), which a check of the host's name stops. What a proxy before the viewer
changes of a request, and what is believed of what it says, stands in docs/security.md.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
FRAME = "/frame"
"""Before the secret of a page that others may frame."""
NOBODY = "'none'"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' blob: data:",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


class Gate:
    """Refuses cross-site requests, and foreign hosts' names or, where a token is set, everybody without it.

    address: under which a proxy shows the viewer. frame_key: a secret in the path, FRAME/KEY/, in the token's place:
    for a page in a frame of another site, where browsers keep no cookies. That page anybody may frame, all others only
    those of the sites in framed_by.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = LOOPBACK,
        token: str | None = None,
        address: str | None = None,
        frame_key: str | None = None,
        framed_by: Iterable[str] = (),
        scripts: str = "'self'",
    ) -> None:
        self.app, self.token, self.frame_key = app, token, frame_key
        public = urlsplit(address or "")
        self.public_host, self.prefix = _host_of(public), unquote(public.path).rstrip("/")
        self.is_secure = public.scheme == "https"
        self.hosts = frozenset(hosts) | {_name(self.public_host)} - {""}
        self.policy = f"{POLICY}; script-src {scripts}"
        self.ancestors = f"frame-ancestors {' '.join(framed_by) or NOBODY}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks it, and nothing below would ask who comes
            await send({"type": "websocket.close"})
            return

        mount = scope.get("root_path", "").rstrip("/")
        path, is_framed = self._inside(_below(scope["path"], mount))
        inner = {**scope, "path": mount + path}
        policy = self.policy if is_framed else f"{self.policy}; {self.ancestors}"
        has_begun = False

        async def with_policy(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [
                    *_kept_nowhere(message["headers"]),
                    (b"content-security-policy", policy.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
            await send(message)

        answer = self._answer(scope, path, is_framed) or self.app
        try:
            await answer(inner, receive, with_policy)
        except Exception as error:
            if not has_begun:  # Starlette's own answer comes from outside of this gate, without these headers
                failure = _refuse(500, f"the viewer failed ({type(error).__name__}): its terminal says where")
                await failure(inner, receive, with_policy)
            raise

    def _inside(self, path: str) -> tuple[str, bool]:
        """The path without what a proxy keeps before it and without the frame's secret; whether that was there."""
        path, secret = _below(path, self.prefix), f"{FRAME}/{self.frame_key}"
        start, rest = path[: len(secret)], path[len(secret) :]
        is_framed = self.frame_key is not None and _same(start, secret) and rest[:1] in ("", "/")
        return (rest, True) if is_framed else (path, False)

    def _answer(self, scope: Scope, path: str, is_framed: bool) -> Response | None:
        """What is said in the app's place, if anything."""
        headers = Headers(scope=scope)
        names = _names(headers)
        if self.token is None and (foreign := [name for name in names if _name(name) not in self.hosts]):
            return _refuse(
                421,
                f"this server is not {foreign[0]!r}; open the address that it printed, or name the one under which a "
                "proxy shows it (--address)",
            )
        if self._is_of_another_site(scope, path, headers, names):
            told = headers.get("origin")
            return _refuse(
                403,
                "requests from other sites are refused"
                if told is None
                else f"requests from {told!r} are refused: they come from another site; if that is the proxy that "
                "shows this viewer, name its address (--address)",
            )
        if not path:  # the page's own addresses are relative: its own ends in a slash
            return _moved(f"./{quote(scope['path'].rpartition('/')[2])}/", _pairs(scope))
        return None if is_framed else self._token_refusal(scope, path, headers)

    def _is_of_another_site(self, scope: Scope, path: str, headers: Headers, names: list[str]) -> bool:
        """Sec-Fetch-Site says what the browser compared itself, whatever proxies made of Host; no page can forge it.
        It is sent over https and to this machine only."""
        site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
        if site == "same-origin":
            return False
        own = {*names, self.public_host}
        if origin is not None and origin.partition("://")[2].lower() not in own - {""}:
            return True
        is_link = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        return site != "none" and not (
            is_link and path in ("", "/")
        )  # one from elsewhere may open the page itself

    def _token_refusal(self, scope: Scope, path: str, headers: Headers) -> Response | None:
        if self.token is None:
            return None
        name, pairs = _cookie(headers.get("host", "")), _pairs(scope)
        given = next((value for key, value in pairs if key == "token"), "")
        if path == "/" and _same(given, self.token):
            answer = _moved("./", [(key, value) for key, value in pairs if key != "token"])
            # no path: browsers keep it for the folder that they asked, which a proxy may call something else
            answer.set_cookie(
                name,
                quote(self.token, safe=""),
                path=None,
                httponly=True,
                samesite="lax",
                secure=self._is_https(scope),
            )
            return answer
        if any(_same(kept, self.token) for kept in _cookies(headers, name)):
            return None
        return _refuse(
            401, "this viewer asks for its token: open the address that it printed when it started"
        )

    def _is_https(self, scope: Scope) -> bool:
        return self.is_secure or scope["scheme"] == "https"  # uvicorn asks proxies of this machine


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _below(path: str, folder: str) -> str:
    """The path without a folder before it, if that is there."""
    return path[len(folder) :] if path == folder or path.startswith(f"{folder}/") else path


def _names(headers: Headers) -> list[str]:
    """The hosts that were asked for: here, and where proxies tell it, by the browser."""
    told = ",".join(headers.getlist("x-forwarded-host")).split(",")
    told += re.findall(r'host="?([^",;\s]*)', ",".join(headers.getlist("forwarded")), re.IGNORECASE)
    return [headers.get("host", "").lower(), *(name.strip().lower() for name in told if name.strip())]


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _moved(to: str, pairs: list[tuple[str, str]]) -> RedirectResponse:
    return RedirectResponse(f"{to}?{urlencode(pairs)}" if pairs else to, 303)


def _cookies(headers: Headers, name: str) -> list[str]:
    """All of a name: browsers send those of the folders above, too."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [unquote(value) for key, _, value in pairs if key == name]


def _cookie(host: str) -> str:
    """Browsers give a cookie to every port of a host: each server has its own."""
    port = host.removeprefix(_name(host)).removeprefix(":")
    return f"attnscope-token-{port or 80}"


def _host_of(address: SplitResult) -> str:
    """As browsers say it: without the usual port."""
    usual = {"http": ":80", "https": ":443"}.get(address.scheme, "")
    return address.netloc.lower().removesuffix(usual)


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isascii() and port.isdigit() else host


def _kept_nowhere(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers that say how long an answer may be kept; where they do not, no browser or proxy keeps it."""
    said = list(headers)
    known = any(name.lower() == b"cache-control" for name, _ in said)
    return said if known else [*said, (b"cache-control", b"no-store")]


def _refuse(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
