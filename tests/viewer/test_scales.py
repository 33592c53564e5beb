"""The scale that all words share, as the server answers it."""

from __future__ import annotations

import numpy as np
import pytest

from attnscope.places import View, block_words_maxima, head_words_maxima, words_maximum


def test_the_scales_are_those_of_python(client, trace):
    one = client.get("/api/traces/0/tops?block=2&head=1&step=0").json()
    assert one == {"numbers": [2], "maxima": [pytest.approx(words_maximum(trace, View(2, 1, 0)))]}
    assert client.get("/api/traces/0/tops").json()["numbers"] == [None]
    blocks = client.get("/api/traces/0/tops?each=block&step=2").json()
    expected = dict(block_words_maxima(trace, View(step=2)))
    assert blocks["numbers"] == list(expected)
    np.testing.assert_allclose(blocks["maxima"], list(expected.values()))
    heads = client.get("/api/traces/0/tops?each=head&block=1").json()
    np.testing.assert_allclose(heads["maxima"], list(dict(head_words_maxima(trace, View(1))).values()))


def test_a_scale_is_kept_by_the_browser(client):
    first = client.get("/api/traces/0/tops")
    assert (
        client.get("/api/traces/0/tops", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    )


@pytest.mark.parametrize(
    ("question", "status", "said"),
    [
        ("each=head", 400, "choose block="),
        ("each=all", 422, "each"),
        ("block=9", 404, "block"),
        ("step=9", 404, "step"),
        ("branch=left", 404, "left"),
        ("image=7", 404, "image"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(client, question, status, said):
    answer = client.get(f"/api/traces/0/tops?{question}")
    assert answer.status_code == status
    assert said in answer.json()["error"]
