"""Behind a proxy, below a path: addresses are relative, and who is refused otherwise is refused there, too."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.websockets import WebSocketDisconnect

from attnscope.viewer.app import create_app
from viewer.browser import serving
from viewer.proxying import proxied

PREFIX = "/user/me/proxy/8756"
HUB = "https://hub.example.org/user/me/proxy/8756/"
TOKEN = "s3cret/ü"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Visitor:
    """A client that keeps cookies by their paths, as browsers do."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def ask(self, path="", method="GET", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(urljoin(self.address, path), headers=named, method=method)
        try:
            with self._opener.open(request, timeout=20) as answer:
                return answer.status, answer.url, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.url, error.read()


@pytest.fixture(params=["path taken away", "path kept"])
def keeps_prefix(request):
    return request.param == "path kept"


@pytest.mark.parametrize("keeps_host", [True, False], ids=["Host kept", "Host rewritten"])
@pytest.mark.parametrize("tells", [True, False], ids=["tells", "tells nothing"])
def test_all_of_the_page_is_below_the_proxys_path(trace, keeps_prefix, keeps_host, tells):
    settings = {"keeps_prefix": keeps_prefix, "keeps_host": keeps_host, "tells": tells}
    public = f"http://localhost{PREFIX}/"
    with serving(trace, token=TOKEN, address=public) as own, proxied(own, PREFIX, **settings) as address:
        visitor = Visitor(address)
        assert visitor.ask()[0] == 401
        status, at, page = visitor.ask("?token=s3cret/%C3%BC&lang=ja")
        assert (status, at) == (200, f"{address}?lang=ja")  # the token is not in it
        files = re.findall(r"\"(\./static/[^\"]+)\"", page.decode())
        assert len(files) > 20
        for file in {*files, "api/traces", "api/traces/0/picture", "api/traces/0/words?token=1&format=npz"}:
            assert visitor.ask(file)[0] == 200, file
        own_page = {"Origin": address.removesuffix(f"{PREFIX}/"), "Sec_Fetch_Site": "same-origin"}
        assert visitor.ask("api/traces/0/aggregate", "POST", **own_page)[0] == 200


def test_one_who_forges_what_proxies_tell_gets_no_further(trace):
    public = f"http://localhost{PREFIX}/"
    with serving(trace, token=TOKEN, address=public) as own, proxied(own, PREFIX) as address:
        visitor = Visitor(address)
        visitor.ask("?token=s3cret/%C3%BC")
        evil = "https://evil.example"
        for headers in (
            {"Origin": evil},
            {"Origin": evil, "Sec_Fetch_Site": "cross-site"},
            {"Origin": evil, "X_Forwarded_Prefix": "/evil"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ):
            for method in ("GET", "POST", "DELETE"):
                assert visitor.ask("api/traces/0/aggregate", method, **headers)[0] == 403, headers


def test_without_an_address_or_a_token_a_proxys_visitors_are_refused(trace):
    client = TestClient(create_app([trace]), base_url="http://127.0.0.1:8756")
    for told in (
        {"x-forwarded-host": "hub.example.org"},
        {"x-forwarded-host": "localhost, hub.example.org"},
        {"forwarded": 'for=192.0.2.1;host="hub.example.org";proto=https'},
        {"forwarded": "host=hub.example.org:8756"},
    ):
        answer = client.get("/api/traces", headers=told)
        assert answer.status_code == 421
        assert "this server is not 'hub.example.org" in answer.json()["error"]
        assert "--address" in answer.json()["error"]
    for told in ({"x-forwarded-host": "localhost:8888"}, {"forwarded": "for=192.0.2.1;proto=http"}):
        assert client.get("/api/traces", headers=told).status_code == 200


@pytest.fixture
def hub(trace):
    """Behind a proxy that decides by itself who may look."""
    return TestClient(create_app([trace], address=HUB), base_url="http://127.0.0.1:8756")


@pytest.mark.parametrize(
    "host", ["hub.example.org", "HUB.example.org", "hub.example.org:443", "127.0.0.1:8756"]
)
def test_the_address_is_a_name_under_which_the_viewer_may_be_asked(hub, host):
    assert hub.get("/api/traces", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "hub.example.org.evil.example", "evil-hub.example.org", ""])
def test_other_names_are_refused_behind_a_proxy(hub, host):
    assert hub.get("/api/traces", headers={"host": host}).status_code == 421


def test_a_page_of_the_address_may_post_where_the_browser_says_nothing_of_sites(hub):
    asked = "/api/traces/0/aggregate"
    assert hub.post(asked, headers={"origin": "https://hub.example.org"}).status_code == 200
    answer = hub.post(asked, headers={"origin": "https://hub.example.org:8443"})
    assert answer.status_code == 403
    assert "name its address (--address)" in answer.json()["error"]


def test_the_folder_without_its_slash_leads_to_the_page(hub):
    answer = hub.get(f"{PREFIX}?lang=ja", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./8756/?lang=ja")
    page = hub.get(f"{PREFIX}?lang=ja")
    assert page.status_code == 200
    assert urlsplit(str(page.url)).path == f"{PREFIX}/"


@pytest.mark.parametrize("path", [f"{PREFIX}8/api/traces", "/user/me/api/traces", f"{PREFIX}//"])
def test_what_only_looks_like_the_folder_is_not_it(hub, path):
    assert hub.get(path).status_code == 404


def test_an_app_may_be_mounted_in_another(trace):
    inner = create_app([trace], token=TOKEN)
    client = TestClient(Starlette(routes=[Mount("/attn", inner)]), base_url="http://192.168.1.7")
    assert client.get("/attn/").status_code == 401
    answer = client.get("/attn/", params={"token": TOKEN}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    assert client.get("/attn/", params={"token": TOKEN}).status_code == 200
    assert client.get("/attn/api/traces").status_code == 200


def test_the_cookie_belongs_to_the_folder_and_to_https_where_that_is_spoken(trace):
    for address, is_secure in ((HUB, True), (HUB.replace("https", "http"), False), (None, False)):
        client = TestClient(create_app([trace], token=TOKEN, address=address), base_url="http://192.168.1.7")
        cookie = client.get("/", params={"token": TOKEN}, follow_redirects=False).headers["set-cookie"]
        assert "path" not in cookie.lower()  # then it is that of the page, wherever the browser sees it
        assert "HttpOnly" in cookie
        assert ("Secure" in cookie) == is_secure


def test_a_viewer_below_another_ones_folder_has_its_own_cookie(trace):
    client = TestClient(create_app([trace], token=TOKEN), base_url="http://192.168.1.7")
    own = client.get("/", params={"token": TOKEN}, follow_redirects=False).headers["set-cookie"].split(";")[0]
    other = f"{own.partition('=')[0]}=of-the-folder-above"
    client.cookies.clear()
    for both in (f"{own}; {other}", f"{other}; {own}"):
        assert client.get("/api/traces", headers={"cookie": both}).status_code == 200
    assert client.get("/api/traces", headers={"cookie": other}).status_code == 401


@pytest.mark.parametrize("host", ["[2001:db8::7]", "hub.example.org:a;b", "x y"])
def test_odd_names_with_the_token_are_no_failure(trace, host):
    client = TestClient(create_app([trace], token=TOKEN), base_url="http://192.168.1.7")
    answer = client.get("/", params={"token": TOKEN}, headers={"host": host}, follow_redirects=False)
    assert answer.status_code == 303
    assert "attnscope-token-80=" in answer.headers["set-cookie"]


def test_no_answer_leads_to_the_name_that_was_asked(trace):
    client = TestClient(create_app([trace], token=TOKEN), base_url="http://192.168.1.7")
    client.get("/", params={"token": TOKEN})
    for path in ("/api/traces/", "/%2Fevil.example/", "/static"):
        answer = client.get(path, headers={"host": "evil.example"}, follow_redirects=False)
        assert answer.status_code == 404
        assert "location" not in answer.headers


def test_web_sockets_are_refused(trace):
    app = create_app([trace])

    async def echo(socket):
        await socket.accept()

    app.add_api_websocket_route("/api/live", echo)
    client = TestClient(app, base_url="http://127.0.0.1")
    with pytest.raises(WebSocketDisconnect):
        with client.websocket_connect("/api/live"):
            pass


KEY = "0123456789abcdef" * 2
FROM_A_NOTEBOOK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}


@pytest.fixture
def framed(trace):
    return TestClient(create_app([trace], token=TOKEN, frame_key=KEY), base_url="http://127.0.0.1:8756")


def test_the_framed_page_needs_no_cookie_and_all_of_it_is_below_its_secret(framed):
    page = framed.get(f"/frame/{KEY}/", headers=FROM_A_NOTEBOOK)
    assert page.status_code == 200
    assert "frame-ancestors" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for file in {*re.findall(r"\"\./(static/[^\"]+)\"", page.text), "api/traces"}:
        answer = framed.get(f"/frame/{KEY}/{file}", headers={"sec-fetch-site": "same-origin"})
        assert answer.status_code == 200
    assert "set-cookie" not in page.headers


def test_all_other_pages_are_framed_by_nobody(framed):
    framed.get("/", params={"token": TOKEN})
    answer = framed.get("/", headers=FROM_A_NOTEBOOK)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_sites_that_are_named_may_frame_the_page(trace):
    sites = ("https://huggingface.co", "https://*.example.org:8443")
    client = TestClient(create_app([trace], framed_by=sites), base_url="http://127.0.0.1:8756")
    policy = client.get("/", headers=FROM_A_NOTEBOOK).headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors https://huggingface.co https://*.example.org:8443")


@pytest.mark.parametrize(
    "path",
    [
        f"/frame/{KEY[:-1]}0/api/traces",
        f"/frame/{KEY}x/api/traces",
        f"/frame/{KEY.upper()}/api/traces",
        "/frame//api/traces",
        "/frame/None/api/traces",
        "/frame/api/traces",
        f"/frame/{KEY[:-1]}",
    ],
)
def test_a_wrong_secret_opens_nothing(framed, trace, path):
    assert framed.get(path).status_code == 401
    without = TestClient(create_app([trace], token=TOKEN), base_url="http://127.0.0.1:8756")
    assert without.get(path).status_code == 401
    assert without.get(f"/frame/{KEY}/api/traces").status_code == 401


def test_other_sites_can_not_ask_below_the_secret_either(framed):
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {**FROM_A_NOTEBOOK, "origin": "null"},
    ):
        for path in ("api/traces", "api/traces/0/picture", ""):
            assert framed.get(f"/frame/{KEY}/{path}", headers=headers).status_code == 403
    assert framed.get(f"/frame/{KEY}/api/traces", headers=FROM_A_NOTEBOOK).status_code == 403


def test_the_framed_folder_without_its_slash_leads_to_the_page(framed):
    answer = framed.get(f"/frame/{KEY}", headers=FROM_A_NOTEBOOK, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"./{KEY}/")


def test_the_same_answer_has_the_same_mark_with_and_without_the_secret(framed):
    framed.get("/", params={"token": TOKEN})
    asked = "api/traces/0/place?top=0.5&left=0.5"
    plain, inside = (framed.get(f"{start}/{asked}") for start in ("", f"/frame/{KEY}"))
    assert plain.headers["etag"] == inside.headers["etag"]
    assert json.loads(plain.content[4:][: int.from_bytes(plain.content[:4], "little")])
