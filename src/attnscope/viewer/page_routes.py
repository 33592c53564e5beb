"""The page at /, its files at /static/NAME."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException, Request, Response

from attnscope.viewer import page


def add_routes(app: FastAPI) -> None:
    """The page at /, its files at /static/NAME.

    Args:
        app: The server.
    """
    links = [f'<link rel="stylesheet" href="{page.address(name)}">' for name in page.style_names()]
    document = page.html(page.address, "\n".join(links))

    @app.get("/", include_in_schema=False)
    def _page() -> Response:
        return Response(
            document, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"}
        )

    @app.get("/static/{name:path}", include_in_schema=False)
    def _file(name: str, request: Request) -> Response:
        content = page.static_files().get(name)
        kind = page.TYPES.get("." + name.rsplit(".", 1)[-1])
        if content is None or kind is None:
            raise HTTPException(404, f"{name}: the viewer's page has no such file")
        headers = {"etag": f'"{page.digest(name)}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)
