"""A small reverse proxy, real enough: it shows a server below a path of its own, as notebook servers and nginx do."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}


class _Handler(BaseHTTPRequestHandler):
    """What a class made by `_handler` fills in: target, prefix, keeps_prefix, keeps_host, tells, pages."""

    protocol_version = "HTTP/1.1"

    def _pass_on(self):
        path = self.path
        if page := self.pages.get(path):
            self._answer(200, [("Content-Type", "text/html; charset=utf-8")], page.encode())
            return
        if not path.startswith(f"{self.prefix}/"):
            self._answer(404, [], b"not here")
            return
        if not self.keeps_prefix:
            path = path[len(self.prefix) :]
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        if self.tells:
            headers |= {"X-Forwarded-Host": self.headers["Host"], "X-Forwarded-For": "198.51.100.4"}
            headers |= {"X-Forwarded-Prefix": self.prefix, "X-Forwarded-Proto": "http"}
        if not self.keeps_host:
            headers["Host"] = self.target
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self.target, timeout=30)
        try:
            connection.request(self.command, path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = do_HEAD = _pass_on

    def _answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def proxied(target: str, prefix: str, *, keeps_prefix=False, keeps_host=True, tells=True, pages=()):
    """The address below a proxy of what answers at `target`.

    keeps_prefix: passes its path on. keeps_host: passes the browser's Host on. tells: sets X-Forwarded-*. pages: of the
    proxy's own, by path.
    """
    settings = {"keeps_prefix": keeps_prefix, "keeps_host": keeps_host, "tells": tells, "pages": dict(pages)}
    settings |= {"target": urlsplit(target).netloc, "prefix": prefix}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), settings))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}{prefix}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
