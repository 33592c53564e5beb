"""The page below a cell. A stand-in for IPython, and its real kernel where ipykernel is installed."""

from __future__ import annotations

import asyncio
import html
import json
import re
import socket
import sys
import types
import urllib.request

import pytest

from attnscope.viewer import notebook
from attnscope.viewer.serving import serve

SECONDS_FOR_A_KERNEL = 120


class Notebook:
    """What IPython is for the viewer: a shell with a kernel, and a place for what is shown."""

    def __init__(self, monkeypatch):
        self.shown = []
        ipython, of_display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
        of_display.HTML, of_display.display = str, self.shown.append
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", of_display)


@pytest.fixture
def cell(monkeypatch):
    return Notebook(monkeypatch)


def source_of(markup: str) -> str:
    return html.unescape(re.search(r'<iframe [^>]*src="([^"]+)"', markup)[1])


def status(address: str) -> int:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status


def test_the_page_is_shown_below_the_cell_and_a_viewer_comes_back(cell, trace):
    viewer = serve(trace, height=500)
    try:
        (shown,) = cell.shown
        source = source_of(shown)
        assert source.startswith(f"http://127.0.0.1:{viewer.port}/frame/")
        assert "height: 500px" in shown
        assert status(source) == 200
        assert status(f"{source}api/traces") == 200
        assert html.escape(viewer.address) in shown
        assert viewer.address.startswith(f"http://127.0.0.1:{viewer.port}/?token=")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opener.open(viewer.address).status == 200
        assert repr(viewer) == f"<viewer at {viewer.address}>"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            status(f"http://127.0.0.1:{viewer.port}/api/traces")
    finally:
        viewer.close()
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", viewer.port)) != 0
        viewer.close()  # once more does nothing


def test_each_cell_has_its_own_viewer_and_secret(cell, trace):
    viewers = [serve(trace), serve(trace)]
    try:
        first, second = map(source_of, cell.shown)
        assert viewers[0].port != viewers[1].port
        key = first.split("/frame/")[1]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            status(f"http://127.0.0.1:{viewers[1].port}/frame/{key}")
        assert status(second) == 200
    finally:
        for viewer in viewers:
            viewer.close()


def test_behind_a_proxy_that_is_named_the_frame_is_there(cell, trace):
    viewer = serve(trace, address="https://hub.example.org/user/me/proxy/{port}")
    try:
        start = f"https://hub.example.org/user/me/proxy/{viewer.port}/"
        assert source_of(cell.shown[0]).startswith(f"{start}frame/")
        assert viewer.address.startswith(f"{start}?token=")
        assert "<script>" not in cell.shown[0]  # nothing has to be found out
    finally:
        viewer.close()


def test_nothing_is_shown_where_nobody_asked_for_it(cell, trace):
    viewer = serve(trace, open_browser=False)
    try:
        assert cell.shown == []
        with pytest.raises(urllib.error.HTTPError, match="401"):
            status(f"http://127.0.0.1:{viewer.port}/frame/None/")
    finally:
        viewer.close()


def test_colab_shows_the_port_itself(cell, trace, monkeypatch):
    asked = []
    google, colab, output = (types.ModuleType(f"google{name}") for name in ("", ".colab", ".colab.output"))
    google.__path__, colab.__path__ = [], []
    output.serve_kernel_port_as_iframe = lambda *given, **named: asked.append((given, named))
    google.colab, colab.output = colab, output
    for module in (google, colab, output):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    viewer = serve(trace, height=600)
    try:
        (((port,), named),) = asked
        assert (port, named["height"], cell.shown) == (viewer.port, "600", [])
        assert status(f"http://127.0.0.1:{port}{named['path']}") == 200
        # as Colab's proxy asks
        request = urllib.request.Request(f"http://127.0.0.1:{port}{named['path']}api/traces")
        request.add_header("Host", f"abc-{port}-colab.googleusercontent.com")
        assert status(request) == 200
    finally:
        viewer.close()


def test_addresses_are_text_in_the_markup():
    hostile = 'https://x/"><script>alert(1)</script>/'
    for public in (hostile, None):
        shown = notebook.markup(1, "frame/k/", public=public, tab=hostile, height=1)
        assert "<script>alert" not in shown


def test_an_event_loop_of_another_kind_gets_a_viewer_too(trace):
    async def program():
        addresses = []
        viewer = serve(trace, open_browser=False, ready=addresses.append)
        assert addresses == [viewer.address]
        answer = await asyncio.to_thread(status, viewer.address)
        viewer.close()
        return answer

    assert asyncio.run(program()) == 200


CODE = """
import attnscope.viewer
viewer = attnscope.viewer.serve({folder!r})
print(viewer.port)
viewer
"""


@pytest.mark.slow
def test_a_real_kernel_shows_the_page(trace, tmp_path):
    pytest.importorskip("ipykernel", reason='needs ipykernel: pip install "attnscope[dev]"')
    from jupyter_client.manager import start_new_kernel

    folder = trace.save(tmp_path / "run.trace")
    manager, client = start_new_kernel(startup_timeout=SECONDS_FOR_A_KERNEL)
    try:
        said = []
        answer = client.execute_interactive(
            CODE.format(folder=str(folder)), timeout=SECONDS_FOR_A_KERNEL, output_hook=said.append
        )
        assert answer["content"]["status"] == "ok", json.dumps(answer["content"], default=str)
        by_kind = {message["msg_type"]: message["content"] for message in said}
        source = source_of(by_kind["display_data"]["data"]["text/html"])
        assert status(source) == 200
        assert json.load(urllib.request.urlopen(f"{source}api/traces"))["traces"][0]["name"] == "run.trace"
        assert by_kind["execute_result"]["data"]["text/plain"].startswith("<viewer at http://127.0.0.1:")
        client.execute_interactive("viewer.close()", timeout=SECONDS_FOR_A_KERNEL)
        with pytest.raises(urllib.error.URLError):
            status(source)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
