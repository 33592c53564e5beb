"""Who may ask: only pages of this very server. Written as plain ASGI, in front of everything.

A page of another site could otherwise read what the viewer shows: directly (cross-site requests), or by giving its
own name this machine's address (DNS rebinding), which a check of the Host header stops.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import parse_qs, quote, unquote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' blob: data:",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class Gate:
    """Refuses cross-site requests, and foreign Host headers or, where a token is set, everybody without it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = LOOPBACK,
        token: str | None = None,
        scripts: str = "'self'",
    ) -> None:
        self.app, self.hosts, self.token = app, frozenset(hosts), token
        self.policy = f"{POLICY}; script-src {scripts}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        has_begun = False

        async def with_policy(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [
                    *_kept_nowhere(message["headers"]),
                    (b"content-security-policy", self.policy.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
            await send(message)

        answer = self._refusal(scope, Headers(scope=scope)) or self.app
        try:
            await answer(scope, receive, with_policy)
        except Exception as error:
            if not has_begun:  # Starlette's own answer comes from outside of this gate, without these headers
                failure = _refuse(500, f"the viewer failed ({type(error).__name__}): its terminal says where")
                await failure(scope, receive, with_policy)
            raise

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self.token is None and _name(host) not in self.hosts:
            return _refuse(421, f"this server is not {host!r}; open the address that it printed")
        origin = headers.get("origin")
        if origin is not None and origin.split("://", 1)[-1] != host:
            return _refuse(403, f"requests from {origin!r} are refused: they come from another site")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _opens_page(
            scope, headers
        ):
            return _refuse(403, "requests from other sites are refused")
        return self._token_refusal(scope, host, headers)

    def _token_refusal(self, scope: Scope, host: str, headers: Headers) -> Response | None:
        if self.token is None:
            return None
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and hmac.compare_digest(token.encode(), self.token.encode()):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(_cookie(host), quote(self.token), httponly=True, samesite="lax")
            return answer
        kept = unquote(cookie_parser(headers.get("cookie", "")).get(_cookie(host), ""))
        if hmac.compare_digest(kept.encode(), self.token.encode()):
            return None
        return _refuse(401, "this viewer asks for its token: open the address that `attnscope view` printed")


def _kept_nowhere(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers that say how long an answer may be kept; where they do not, no browser or proxy keeps it."""
    said = list(headers)
    known = any(name.lower() == b"cache-control" for name, _ in said)
    return said if known else [*said, (b"cache-control", b"no-store")]


def _opens_page(scope: Scope, headers: Headers) -> bool:
    """A link from elsewhere may open the page itself."""
    return scope["path"] == "/" and scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"


def _cookie(host: str) -> str:
    """Browsers give a cookie to every port of a host: each server has its own."""
    return f"attnscope-token-{host.rpartition(':')[2] if ':' in host else '80'}"


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _refuse(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
