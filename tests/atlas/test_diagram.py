"""The drawing of the U-Net: right for any model, and proper SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from attnscope.atlas.diagram import unet_diagram
from attnscope.atlas.known import UNETS

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str, style: str) -> list[str]:
    """Texts of one class, in order."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [node.text or "" for node in found if style in node.get("class", "").split()]


@pytest.fixture(scope="module")
def sd1() -> str:
    return unet_diagram("sd1")


def test_all_sixteen_blocks_are_numbered(sd1):
    assert texts(sd1, "number") == [str(number) for number in range(1, 17)]


def test_units_without_attention_are_drawn_too(sd1):
    assert texts(sd1, "plain").count("ResNet") == 2 + 1 + 3  # down_blocks.3, mid_block.resnets.1, up_blocks.0


def test_scales_stand_beside_their_blocks(sd1):
    assert texts(sd1, "grid") == ["64 × 64", "32 × 32", "16 × 16", "8 × 8"]
    assert texts(sd1, "facts")[0] == "blocks 1–2, 14–16 · 8 heads of 40"
    assert texts(sd1, "facts")[-1] == "block 7 · 8 heads of 160"


def test_grids_are_height_by_width():
    assert texts(unet_diagram("sd2", size=(768, 512)), "grid")[0] == "96 × 64"


def test_four_skip_connections_and_the_legend(sd1):
    assert len(re.findall(r'class="skip"', sd1)) == 4 + 1
    assert any("77 text tokens" in text for text in texts(sd1, "label"))


def test_boxes_lie_inside_and_do_not_overlap(sd1):
    root = ElementTree.fromstring(sd1)
    boxes = [
        (float(node.get("x")), float(node.get("y")))
        for node in root.iter(f"{SVG}rect")
        if node.get("width") == "62"
    ]
    width, height = float(root.get("width")), float(root.get("height"))
    assert len(boxes) == 22
    assert len(set(boxes)) == 22
    assert all(0 < x < width - 62 and 0 < y < height - 62 for x, y in boxes)
    for x, y in boxes:
        assert not [1 for u, v in boxes if (u, v) != (x, y) and abs(u - x) < 62 and abs(v - y) < 62]


def test_a_unit_with_many_blocks_shows_their_range():
    deep = {**UNETS["sd1"], "transformer_layers_per_block": [1, 2, 3, 1]}
    assert "3–4" in texts(unet_diagram(deep), "number")


def test_a_strange_name_can_not_break_out():
    svg = unet_diagram("sd1", name="<script>&\"'")
    assert "<script" not in svg
    assert ElementTree.fromstring(svg).find(f"{SVG}title").text == "Attention blocks of <script>&\"'"
