"""`attnscope layers`: every format says the same, and it is what the seed says."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from PIL import Image

from attnscope.atlas.diagram import diagram

FIRST = {
    "block": 1,
    "kind": "self",
    "path": "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
    "stage": "down",
    "grid": [64, 64],
    "heads": 8,
    "head_dim": 40,
    "query": [16, 4096, 40],
    "key": [16, 4096, 40],
    "value": [16, 4096, 40],
    "probability": [16, 4096, 4096],
}


def test_json_is_a_list_of_all_layers(run):
    code, out, err = run("layers", "sd1", "--json")
    rows = json.loads(out)
    assert (code, err, len(rows)) == (0, "", 32)
    assert {name: rows[0][name] for name in FIRST} == FIRST
    assert [(row["block"], row["kind"]) for row in rows] == [
        (block, kind) for block in range(1, 17) for kind in ("self", "cross")
    ]


def test_the_tables_show_the_seeds_numbers(run):
    _, out, _ = run("layers", "sd1")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "64x64 1, 2, 14, 15, 16" in lines
    assert "8x8 7" in lines
    assert any(
        line.startswith("7 (16, 64, 160) (16, 64, 160) (16, 64, 160) (16, 64, 64) mid") for line in lines
    )
    assert any(
        line.startswith("16 (16, 4096, 40) (16, 77, 40) (16, 77, 40) (16, 4096, 77) up") for line in lines
    )
    assert "Cross-attention latent features text embedding text embedding" in lines
    assert "Q and K 142 MB, P 2.93 GB" in out


def test_size_batch_guidance_and_kind(run):
    options = ["--size", "768x512", "--batch", "3", "--no-guidance", "--kind", "cross", "--json"]
    rows = json.loads(run("layers", "sd2", *options)[1])
    assert len(rows) == 16
    assert (rows[0]["grid"], rows[0]["query"], rows[0]["key"]) == ([96, 64], [15, 6144, 64], [15, 77, 64])


def test_the_model_may_be_an_option(run):
    assert run("layers", "--model", "sd2", "--json")[1] == run("layers", "sd2", "--json")[1]


def test_markdown_holds_the_rows_of_the_seed(run):
    _, out, _ = run("layers", "sd1", "--markdown")
    assert "| 7 | (16, 64, 160) | (16, 77, 160) | (16, 77, 160) | (16, 64, 77) |" in out
    assert "| 32x32 | 3, 4, 11, 12, 13 |" in out


def test_csv_has_one_row_a_layer(run):
    rows = list(csv.DictReader(io.StringIO(run("layers", "sd1", "--csv")[1])))
    assert len(rows) == 32
    assert (rows[1]["key"], rows[1]["probability"]) == ("16x77x40", "16x4096x77")


def test_the_diagram_is_written_once(run, tmp_path):
    file = tmp_path / "new" / "unet.svg"
    assert run("layers", "sd1", "--diagram", file) == (0, "", f"wrote {file}\n")
    assert ElementTree.parse(file).getroot().tag.endswith("svg")
    code, _, err = run("layers", "sd1", "--diagram", file)
    assert code == 1
    assert "exists already" in err
    assert "--force" in err
    assert run("layers", "sd1", "--diagram", file, "--force")[0] == 0


def test_the_diagram_may_be_a_picture(run, tmp_path):
    for name in ("sd1", "flux"):
        file = tmp_path / f"{name}.png"
        assert run("layers", name, "--diagram", file) == (0, "", f"wrote {file}\n")
        drawing = ElementTree.fromstring(diagram(name))
        with Image.open(file) as picture:
            assert picture.size == tuple(2 * int(drawing.get(side)) for side in ("width", "height"))
            for mark in drawing.iter(
                "{http://www.w3.org/2000/svg}rect"
            ):  # each box has its colour in its corner
                if (mark.get("stroke"), mark.get("rx")) == ("#ffffff", "3"):
                    x, y = (2 * round(float(mark.get(side))) + 12 for side in ("x", "y"))
                    assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((x, y))) == mark.get("fill")


def lines_of(run, *arguments):
    return [" ".join(line.split()) for line in run("layers", *arguments)[1].splitlines()]


def test_joint_attention_is_shown_as_what_it_is(run):
    lines = lines_of(run, "flux")
    assert lines[0] == "flux: Flux transformer, 57 blocks with 57 attention layers"
    assert lines[1] == "1024x1024 pixels (its native size), latent 128x128 (height x width)"
    assert "Joint attention text embedding, latent features text embedding, latent features" in " ".join(
        lines
    )
    assert any(line.startswith("1-19 (24, 4608, 128) (24, 4608, 128)") for line in lines)
    assert "1-57 image->text 4096 512 kind='cross'" in lines
    assert "One step in float16: Q and K 3.23 GB, P 58.1 GB." in lines


def test_equal_blocks_share_a_row_unless_shapes_are_asked_for(run):
    rows = [line for line in lines_of(run, "sdxl", "--kind", "self") if line.endswith("MB") and "(" in line]
    assert len(rows) == 11  # residual units with attention
    rows = [
        line
        for line in lines_of(run, "sdxl", "--kind", "self", "--shapes")
        if line.endswith("MB") and "(" in line
    ]
    assert len(rows) == 70


def test_a_kind_of_a_joint_attention_is_its_part_and_keeps_all_of_it(run):
    rows = json.loads(run("layers", "sd3", "--kind", "cross", "--json")[1])
    assert {(row["kind"], *row["query"], *row["key"]) for row in rows} == {
        ("cross", 48, 4096, 64, 48, 333, 64)
    }
    assert {row["view"]["relation"] for row in rows} == {"image->text"}
    assert {row["bytes_query_key"] for row in rows} == {2 * 48 * 4429 * 64 * 2}
    assert "Q and K 1.31 GB, all of the joint layers, P" in run("layers", "sd3", "--kind", "cross")[1]


def test_a_kind_that_a_model_lacks_is_refused(run):
    code, _, err = run("layers", "flux", "--kind", "self2")
    assert code == 1
    assert "flux (Flux transformer) has no attention layers of kind 'self2', only of joint" in err


def test_frames_of_a_video_are_asked_for(run, tmp_path):
    rows = json.loads(run("layers", "cogvideox-2b", "--frames", "3", "--json")[1])
    assert {(row["frames"], row["query"][1]) for row in rows} == {(3, 226 + 3 * 30 * 45)}
    assert ", 3 frames of it" in lines_of(run, "cogvideox-2b", "--frames", "3")[1]
    few, many = (
        json.loads(run("layers", "cogvideox-2b", *more, "--steps", "2", "--json")[1])["policies"][0][
            "run_bytes"
        ]
        for more in (["--frames", "3"], [])
    )
    assert few < many
    file = tmp_path / "video.svg"
    assert run("layers", "cogvideox-2b", "--frames", "3", "--diagram", file)[0] == 0
    assert "3 × 30 × 45 = 4050" in file.read_text("utf-8")


def test_two_calls_for_guidance_are_told(run):
    assert (
        "One step (2 calls of the model) in float16: Q and K 6.46 GB"
        in run("layers", "flux", "--guidance")[1]
    )


@pytest.mark.parametrize("width", [60, 80])
def test_tables_fit_the_screen(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("sd1", "sd3.5-medium", "flux", "pixart"):
        lines = run("layers", name, "--steps", "20")[1].splitlines()
        assert max(map(len, lines)) <= width
        assert not any("…" in line for line in lines)


WRONG = {
    "two formats": (["--json", "--csv"], "exclude one another"),
    "size without sense": (["--size", "big"], "expected HEIGHTxWIDTH"),
    "size off the grid": (["--size", "500"], "expected a multiple of 8"),
    "no batch": (["--batch", "0"], "batch=0: expected a whole number of 1 or more"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_exit_code_2(run, options, message):
    code, out, err = run("layers", "sd1", *options)
    assert (code, out) == (2, "")
    assert message in err


def test_a_place_that_can_not_be_written(run):
    code, _, err = run("layers", "sd1", "--diagram", "/proc/nowhere/unet.svg")
    assert code == 1
    assert err.startswith("attnscope: can't write /proc/nowhere/unet.svg")


def test_steps_say_what_a_run_takes(run):
    _, text, _ = run("layers", "sd1", "--steps", "50")
    assert "What 50 steps take" in text
    assert "7.12 GB" in text
    found = json.loads(run("layers", "sd1", "--steps", "50", "--json")[1])
    assert len(found["layers"]) == 32
    assert found["policies"][0]["run_bytes"] == 50 * found["policies"][0]["step_bytes"]
    assert "### What 50 steps take" in run("layers", "sd1", "--steps", "50", "--markdown")[1]
