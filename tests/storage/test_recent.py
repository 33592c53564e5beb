"""What was asked for last is kept within its bytes, and made again when it has gone."""

import pickle

from attnscope.storage.recent import Recent


def test_what_was_asked_for_last_is_kept_within_its_bytes():
    recent = Recent(100, len)
    for number in range(20):
        assert recent.get(number, lambda: b"x" * 30) == b"x" * 30
    assert recent.bytes == 90
    assert recent.get(19, lambda: b"other") == b"x" * 30
    assert recent.get(0, lambda: b"made again") == b"made again"


def test_what_is_too_large_is_kept_only_where_the_newest_is():
    for keeps_newest, expected in ((False, b"second"), (True, b"first")):
        recent = Recent(3, len, keeps_newest=keeps_newest)
        assert recent.get("large", lambda: b"first") == b"first"
        assert recent.get("large", lambda: b"second") == expected


def test_a_copy_keeps_nothing_and_has_the_same_limits():
    recent = Recent(3, len, keeps_newest=True)
    recent.get("large", lambda: b"first")
    copy = pickle.loads(pickle.dumps(recent))
    assert copy.get("large", lambda: b"second") == b"second"
    assert copy.get("large", lambda: b"third") == b"second"
