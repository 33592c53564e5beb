"""Only this server's own pages are answered, and those who have the token."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from fastapi.testclient import TestClient

from attnscope.viewer.app import create_app

HERE = "http://127.0.0.1:8756"


@pytest.fixture
def visitor(trace):
    return TestClient(create_app([trace]), base_url=HERE)


@pytest.fixture
def guarded(trace):
    return TestClient(create_app([trace], token="s3cret"), base_url="http://192.168.1.7:8756")


@pytest.mark.parametrize("host", ["127.0.0.1:8756", "localhost:9", "[::1]:8756", "localhost"])
def test_names_of_this_machine_are_answered(visitor, host):
    assert visitor.get("/api/traces", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8756", "192.168.1.7:8756", ""])
def test_another_name_is_refused(visitor, host):
    for path in ("/", "/api/traces", "/static/app.js"):
        answer = visitor.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert "open the address that it printed" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_requests_from_other_sites_are_refused(visitor, method, headers):
    answer = getattr(visitor, method)("/api/traces/0/aggregate", headers=headers)
    assert answer.status_code == 403


def test_own_requests_are_answered_and_a_link_may_open_the_page(visitor):
    own = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert visitor.get("/api/traces", headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert visitor.get("/", headers=link).status_code == 200
    assert visitor.get("/api/traces", headers=link).status_code == 403


def test_with_a_token_nobody_is_answered_without_it(guarded):
    for path in ("/", "/api/traces", "/static/app.js", "/?token=wrong", "/api/traces?token=s3cret"):
        assert guarded.get(path).status_code == 401
    cookie = {"cookie": "attnscope-token-8756=wrong"}
    assert guarded.get("/api/traces", headers=cookie).status_code == 401


def test_the_page_takes_the_token_from_its_address_and_hides_it(guarded):
    answer = guarded.get("/?token=s3cret", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert guarded.get("/api/traces").status_code == 200  # the cookie


def test_other_cookies_of_the_host_do_not_matter(guarded):
    guarded.get("/?token=s3cret")
    own = f"attnscope-token-8756={guarded.cookies['attnscope-token-8756']}"
    guarded.cookies.clear()
    for other in ("a@b=1", 'foo={"a":1}', "attnscope-token-9=wrong"):
        assert guarded.get("/api/traces", headers={"cookie": f"{other}; {own}"}).status_code == 200
        assert guarded.get("/api/traces", headers={"cookie": other}).status_code == 401


def test_a_token_may_hold_any_characters(trace):
    visitor = TestClient(create_app([trace], token="a+b;ü c"), base_url="http://192.168.1.7:8756")
    assert visitor.get("/", params={"token": "a+b;ü c"}).status_code == 200
    assert visitor.get("/api/traces").status_code == 200


def test_the_page_may_load_and_run_only_its_own(visitor):
    page = visitor.get("/")
    policy = page.headers["content-security-policy"]
    (inline,) = re.findall(r"<script type=\"importmap\">(.*?)</script>", page.text)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.findall(r"https?://", page.text)


def test_every_file_of_the_page_is_there(visitor):
    page = visitor.get("/").text
    for path in re.findall(r"/static/[^\"?]+", page):
        answer = visitor.get(path)
        assert answer.status_code == 200
        again = visitor.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "address", ["/", "/api/traces", "/api/traces/7", "/nothing", "/api/traces/0/place", "/static/x.js"]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_answers_and_refusals_are_not_guessed_at_nor_kept_unasked(visitor, address, host):
    headers = visitor.get(address, headers={"host": host}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "default-src 'none'" in headers["content-security-policy"]
