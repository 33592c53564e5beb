"""The drawing of a model: right for any model, and proper SVG."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import attnscope
from attnscope.atlas.diagram import diagram
from attnscope.atlas.diagram.column import column
from attnscope.atlas.diagram.marks import AMONG_TEXT, CROSS, SELF, STYLE, TO_IMAGE
from attnscope.atlas.known import MODELS, UNETS
from attnscope.records import LayerId

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str, style: str) -> list[str]:
    """Texts of one class, in order."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [node.text or "" for node in found if style in node.get("class", "").split()]


@pytest.fixture(scope="module")
def sd1() -> str:
    return diagram("sd1")


def test_all_sixteen_blocks_are_numbered(sd1):
    assert texts(sd1, "number") == [str(number) for number in range(1, 17)]


def test_units_without_attention_are_drawn_too(sd1):
    assert texts(sd1, "plain").count("ResNet") == 2 + 1 + 3  # down_blocks.3, mid_block.resnets.1, up_blocks.0


def test_scales_stand_beside_their_blocks(sd1):
    assert texts(sd1, "grid") == ["64 × 64", "32 × 32", "16 × 16", "8 × 8"]
    assert texts(sd1, "facts")[0] == "blocks 1–2, 14–16 · 8 heads of 40"
    assert texts(sd1, "facts")[-1] == "block 7 · 8 heads of 160"


def test_grids_are_height_by_width():
    assert texts(diagram("sd2", size=(768, 512)), "grid")[0] == "96 × 64"


def test_four_skip_connections_and_the_legend(sd1):
    assert len(re.findall(r'class="skip"', sd1)) == 4 + 1
    assert any("77 text tokens" in text for text in texts(sd1, "label"))


def test_boxes_lie_inside_and_do_not_overlap(sd1):
    root = ElementTree.fromstring(sd1)
    boxes = [
        (float(node.get("x")), float(node.get("y")))
        for node in root.iter(f"{SVG}rect")
        if node.get("width") == "70"
    ]
    width, height = float(root.get("width")), float(root.get("height"))
    assert len(boxes) == 22
    assert len(set(boxes)) == 22
    assert all(0 < x < width - 70 and 0 < y < height - 70 for x, y in boxes)
    for x, y in boxes:
        assert not [1 for u, v in boxes if (u, v) != (x, y) and abs(u - x) < 70 and abs(v - y) < 70]


def test_a_unit_with_many_blocks_shows_their_range():
    deep = {**UNETS["sd1"], "transformer_layers_per_block": [1, 2, 3, 1]}
    assert "3–4" in texts(diagram(deep), "number")


def test_a_strange_name_can_not_break_out():
    svg = diagram("sd1", name="<script>&\"'")
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).find(f"{SVG}title").text == "Attention blocks of <script>&\"'"


@pytest.mark.parametrize("name", [*MODELS, "a name"])
def test_every_model_is_drawn_inside_its_page(name):
    root = ElementTree.fromstring(diagram("flux", name=80 * "M") if name == "a name" else diagram(name))
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter(f"{SVG}rect"):
        if node.get("x") is not None:
            left, top, wide, high = (float(node.get(side)) for side in ("x", "y", "width", "height"))
            assert 0 <= left <= left + wide <= width
            assert 0 <= top <= top + high <= height
    for node in root.iter(f"{SVG}text"):
        style = node.get("class").split()[0]
        length = 0.56 * float(SIZES[style]) * len(node.text)  # of a wide font
        left = float(node.get("x")) - (length / 2 if style in MIDDLE else 0)
        assert 0 <= left <= left + length <= width, node.text
        assert 0 < float(node.get("y")) < height


RULES = dict(re.findall(r"\.([\w-]+) \{([^}]*)\}", STYLE))
SIZES = {
    name: re.search(r"font-size: (\d+)px", rule)[1] for name, rule in RULES.items() if "font-size" in rule
}
MIDDLE = {name for name, rule in RULES.items() if "middle" in rule}


def test_flux_is_a_column_of_its_two_lists_of_blocks():
    svg = diagram("flux")
    assert texts(svg, "range") == ["1–19", "20–57"]
    assert texts(svg, "source") == ["image", "text"]
    assert texts(svg, "facts") == ["64 × 64 = 4096", "512 tokens"]
    assert "19 double blocks" in texts(svg, "label")
    assert "attn: joint, 4608 × 4608" in texts(svg, "label")


def test_blocks_with_other_attentions_are_a_group_of_their_own():
    svg = diagram("sd3.5-medium")
    assert texts(svg, "range") == ["1–13", "14–24"]
    assert texts(svg, "caption") == ["attn2", "attn", "attn"]
    assert texts(svg, "facts")[1] == "333 = clip 77 + t5 256"


def test_a_softmax_is_drawn_in_the_order_of_its_sequence():
    def colours(name):
        boxes = ElementTree.fromstring(diagram(name)).iter(f"{SVG}rect")
        return [box.get("fill") for box in boxes if box.get("stroke") == "#ffffff"]

    assert colours("flux")[:4] == [AMONG_TEXT, TO_IMAGE, CROSS, SELF]  # text first
    assert colours("sd3")[:3] == [SELF, CROSS, CROSS]  # image first, then two texts
    assert colours("pixart") == [CROSS, SELF]  # from right to left


def test_text_that_is_not_in_the_sequence_comes_to_later_groups_from_beside():
    layers = [replace(layer, heads=8) if layer.block > 9 else layer for layer in attnscope.layers("pixart")]
    svg = column("two groups", "PixArt transformer", (1024, 1024), layers)
    assert texts(svg, "range") == ["1–9", "10–28"]
    assert svg.count('class="skip"') == 1
    without = column(
        "no text first", "Lumina", (1024, 1024), [one for one in layers if one.id != LayerId(1, "cross")]
    )
    assert texts(without, "range") == ["1", "2–9", "10–28"]
    assert without.count('class="skip"') == 2
