"""Values of a manifest that are something else: one error of ours, in little time and memory.

A manifest that is changed and then signed again is another trace, not a damaged one: it must open or be refused.
"""

import contextlib
import json
from pathlib import Path

import pytest
from hostile_traces import BYTES, answers, judge
from PIL import Image

from attnscope.storage.digests import json_digest
from attnscope.storage.manifest import MANIFEST, digest_of_pass

pytestmark = pytest.mark.attack


VERSION_1 = Path(__file__).parents[1] / "storage" / "version-1" / "run.trace"


HOSTILE = (
    float("nan"), float("inf"), -float("inf"), 1e39, 1e308, 10**19, 10**400, -1, 0, 1, 2, -(2**63), 0.5, 1 << 20,
    "0.5", "", "x", "a\x00b", "\ud800", "\x1b]0;owned\x07", "[/]", "[bold]x[/bold]", "\u202egpj", "x" * 200_000,
    "../../etc/passwd", "/dev/zero", True, False, None, [], {}, [[]], [1, 2], [16384, 16384], {"a": 1}, [None] * 9,
)  # fmt: skip


# Values of the manifest


def places_in(value, at=()):
    """Where every value in a JSON value is."""
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*at, key))


def inside(value, at):
    for key in at:
        value = value[key]
    return value


def change_value(random, data):
    *at, last = random.choice([place for place in places_in(data) if place])
    holder = inside(data, at)
    how = random.random()
    if how < 0.75:
        holder[last] = random.choice(HOSTILE)
    elif how < 0.85:
        del holder[last]
    elif isinstance(holder, list):
        holder.insert(last, holder[last])
    else:
        holder[random.choice(HOSTILE[15:27])] = holder[last]


def sign(data):
    """As somebody would who wants to be believed."""
    with contextlib.suppress(Exception):
        passes = [digest_of_pass(item, map(json_digest, item["calls"])) for item in data["passes"]]
        data["digest"] = json_digest(passes)


@pytest.mark.thorough
@pytest.mark.parametrize("is_signed", [False, True], ids=["damaged", "signed"])
def test_values_of_the_manifest_are_what_they_should_be(attack, copies, good, truth, is_signed):
    for _ in attack.tries(200):
        folder = copies(good)
        data = json.loads((folder / MANIFEST).read_text())
        for _ in range(attack.random.choice((1, 1, 1, 3))):
            change_value(attack.random, data)
        if is_signed:
            sign(data)
        (folder / MANIFEST).write_text(json.dumps(data))
        judge(attack, folder, truth, is_signed=is_signed)


def test_values_of_a_trace_of_version_1(attack, copies):
    """It has no digests: what is changed may be another trace, and never anything worse."""
    truth = answers(VERSION_1)
    for _ in attack.tries(100):
        folder = copies(VERSION_1)
        if attack.random.random() < 0.5:
            data = json.loads((folder / MANIFEST).read_text())
            change_value(attack.random, data)
            (folder / MANIFEST).write_text(json.dumps(data))
        else:
            path = attack.random.choice(sorted(folder.iterdir()))
            attack.random.choice(BYTES)(attack.random, path)
        judge(attack, folder, truth, is_signed=True)


def bomb(text):
    return lambda folder: (folder / MANIFEST).write_text(text)


def with_text(at, text):
    def change(folder):
        data = json.loads((folder / MANIFEST).read_text())
        *inner, last = at
        inside(data["passes"][0], inner)[last] = text
        sign(data)
        (folder / MANIFEST).write_text(json.dumps(data))

    return change


def long_text(folder):
    """As many words and tokens as may be."""
    data = json.loads((folder / MANIFEST).read_text())
    run = data["passes"][0]["run"]
    run["prompts"] = ["ab " * 10_900] * 2
    token = {"text": "ab", "role": "text"}
    run["tokens"] = [
        [{**token, "index": at, "start_char": 3 * at, "end_char": 3 * at + 2} for at in range(2048)]
    ] * 2
    sign(data)
    (folder / MANIFEST).write_text(json.dumps(data))


BOMBS = {
    "depth": bomb("[" * 5_000_000),
    "depth that ends": bomb('{"a":' * 100_000 + "1" + "}" * 100_000),
    "deep pass": bomb('{"format": "attnscope-trace", "version": 2, "passes": ' + "[" * 900 + "]" * 900 + "}"),
    "lists": bomb("[" + "[]," * 20_000_000 + "1]"),
    "names twice": bomb(
        '{"format": "attnscope-trace", "format": "attnscope-trace", "version": 2, "passes": []}'
    ),
    "digits": bomb('{"format": "attnscope-trace", "version": ' + "9" * 4000 + "}"),
    "more digits": bomb('{"format": "attnscope-trace", "version": ' + "9" * 5_000_000 + "}"),
    "20 MB prompt": with_text(("run", "prompts", 0), "x " * 10_000_000),
    "20 MB token": with_text(("run", "tokens", 0, 0, "text"), "x" * 20_000_000),
    "huge picture": with_text(("run", "image_size_hw"), [16384, 16384]),
    "large picture": with_text(("run", "image_size_hw"), [8192, 8192]),
    "long text": long_text,
    "pictures named often": with_text(("pictures",), ["picture-00.png"] * 50),
    "many pictures": with_text(("pictures",), [f"picture-{at:02d}.png" for at in range(100_000)]),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", BOMBS)
def test_small_files_never_take_gigabytes_or_minutes(attack, copies, good, truth, name):
    folder = copies(good)
    BOMBS[name](folder)
    judge(attack, folder, truth, is_signed=True)


def test_a_picture_of_many_pixels_is_refused_by_its_header(attack, copies, good, truth):
    """156 million pixels in 152 kB."""
    folder = copies(good)
    Image.new("1", (13_000, 12_000)).save(folder / "picture-00.png")
    for path in folder.glob("*picture-*.png"):
        path.write_bytes((folder / "picture-00.png").read_bytes())
    judge(attack, folder, truth)
