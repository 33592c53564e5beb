"""A report: one page with everything in it, safe whatever a prompt holds, and plain about what is missing."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

import attnscope
from attnscope.errors import OutputError, ParameterError, SelectionError, TraceFormatError
from attnscope.records import LayerId
from attnscope.reporting import report as making
from attnscope.reporting.markup import text
from attnscope.testing import made_trace, tiny_transformer
from attnscope.trace.step_rows import PartialMeanWarning

VOID = {"meta", "img", "rect", "polyline", "path"}


class Page(HTMLParser):
    """A page's elements, its text, and whether every element is closed in order."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())


def with_picture(**made):
    trace = made_trace(**made)
    trace.run.pictures = [Image.new("RGB", (48, 32), "teal")] * trace.images
    return trace


@pytest.fixture(scope="module")
def made():
    return attnscope.report(with_picture(steps=3))


def test_the_page_has_words_segments_statistics_and_gaps(made):
    page = Page(made.html())
    assert page.text.startswith("red cat · attnscope")
    for heading in ("Words", "Segments", "Statistics", "What is not here"):
        assert heading in page.text
    verdict = made.words["cat"].verdict
    assert verdict.says in page.text
    assert all(reason in page.text for reason in verdict.reasons)
    assert "How far places look" in page.text
    assert "Shown is the guidance branch 'cond'; the trace holds 'uncond', too." in page.text


def test_numbers_on_the_page_are_those_of_the_library(made):
    page, layer = Page(made.html()), made.statistics[1, "self"]
    titles = [value for name, value in page.attributes if name == "title"]
    for head in range(3):
        assert f"block 1, head {head}: {layer.distance[:, head].mean():.3f}" in titles
        assert f"block 1, head {head}: {layer.entropy_share[:, head].mean():.3f}" in titles
    assert f"{made.words['cat'].landing.share:.1%}".replace("%", " %") in page.text
    told = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert told["statistics"] == attnscope.statistics(with_picture(steps=3)).to_dict()
    assert told["words"]["words"][1]["word"] == "cat"
    assert told["segments"]["segments"]
    assert told["gaps"] == list(made.gaps)


def test_nothing_is_loaded_and_nothing_runs(made):
    markup = made.html()
    page = Page(markup)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert name != "style"
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith("data:image/webp;base64,")
    assert "url(" not in markup
    assert "@import" not in markup
    style = re.search("<style>(.*?)</style>", markup, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == [
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "<script>alert(1)</script>",
        "</title></style><img src=x onerror=alert(1)>",
        "\"quoted\" & 'apostrophes' <b>",
        "nul \x00 bell \x07 escape \x1b[31m",
        "right \u202e to left",
        "half a pair \ud800",
        "猫 😀",
        "a" * 300,
    ],
)
def test_whatever_comes_from_the_run_is_text(prompt, tmp_path):
    trace = with_picture()
    trace.run.prompts, trace.run.tokens = [prompt], [()]
    for name in ("model", "pipeline", "scheduler"):
        setattr(trace.run, name, prompt)
    trace.run.edits = [prompt]
    found = attnscope.report(trace, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "script" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert " ".join(text(prompt).split()) in " ".join(found.html().split())
    assert not {"\x00", "\x07", "\x1b"} & set(found.html())


def test_characters_that_no_page_can_hold_are_written_out():
    assert text("a\x00b\ud800\n<c> 4 %") == "a\\x00b\\ud800 &lt;c&gt; 4\u00a0%"


def test_what_a_trace_lacks_is_said():
    own = attnscope.report(made_trace(kinds=("self",)))
    assert own.words is None
    assert "No attention to the text, so there are no words." in own.gaps
    assert "No picture: the capture did not see one, so maps are shown by themselves." in own.gaps
    text_only = attnscope.report(with_picture(kinds=("cross",)))
    assert text_only.segments is None
    assert (
        "No attention of the picture to itself, so there are no segments and no distances." in text_only.gaps
    )
    assert "How far places look" not in text_only.html()
    for found in (own, text_only):
        page = Page(found.html())
        assert all(gap in page.text for gap in found.gaps)


def test_steps_images_edits_and_layers_that_are_not_shown_are_said():
    trace = with_picture(images=2, steps=3)
    trace.run.planned_steps, trace.run.edits = 50, ["Ablate('cat')"]
    for step in range(3):
        del trace.records._records[step, LayerId(2, "self")]
    with pytest.warns(PartialMeanWarning):
        found = attnscope.report(trace, image=1, steps=[0, 2])
    assert "3 of the run's 50 steps were captured: 0 to 2." in found.gaps
    assert "Shown is image 1 of 2 (0 to 1)." in found.gaps
    assert "Statistics are of 2 of 3 steps: 0, 2." in found.gaps
    assert "Attention was edited while the picture was made; all numbers are of what was used." in found.gaps
    assert "Layers that ran in none of these steps for this branch: block 2 self." in found.gaps
    assert "Ablate(&#x27;cat&#x27;)" in found.html()


def test_a_trace_without_q_and_k_has_a_page_too(pipe):
    with attnscope.capture(pipe, qk=False, keep={"own": attnscope.Reduced("self")}) as trace:
        pipe("a cat", num_inference_steps=1)
    found = attnscope.report(trace)
    assert (found.words, found.segments, found.statistics) == (None, None, None)
    assert "No Q and K: the trace holds none, so there are no words, segments and statistics." in found.gaps
    assert "Reduced maps that the trace holds are not shown: 'own'." in found.gaps
    assert "a cat" in Page(found.html()).text


def test_words_that_are_unknown_are_told_with_the_cause():
    trace = with_picture()
    trace.run.tokens = [()]
    found = attnscope.report(trace)
    assert found.words is None
    assert any(gap.startswith("No words: ") for gap in found.gaps)
    assert found.segments is not None
    assert found.statistics is not None


def test_damage_is_no_gap(tmp_path):
    folder = with_picture().save(tmp_path / "run.trace")
    shard = next(folder.rglob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 255
    shard.write_bytes(content)
    with pytest.raises(TraceFormatError):
        attnscope.report(folder)


def test_a_trace_of_several_passes_is_asked_for_one(pipe):
    with attnscope.capture(pipe) as trace:
        for _ in range(2):
            pipe("a cat", num_inference_steps=1, output_type="latent")
    with pytest.raises(SelectionError, match="2 passes"):
        attnscope.report(trace)
    assert attnscope.report(trace.passes[1]).words is not None


def test_a_wrong_choice_is_an_error_and_no_gap():
    for choice in ({"branch": "positive"}, {"image": 3}, {"steps": [9]}):
        with pytest.raises(SelectionError):
            attnscope.report(with_picture(), **choice)


def test_without_a_choice_steps_are_spaced_from_first_to_last(monkeypatch):
    trace = made_trace(steps=11, grids=((4, 6),))
    assert making._spaced(trace) == list(range(11))
    of_step = 3 * 24 * (24 + 5)
    monkeypatch.setattr(making, "NUMBERS", 3 * of_step)
    assert making._spaced(trace) == [0, 5, 10]
    monkeypatch.setattr(making, "NUMBERS", 1)
    assert making._spaced(trace) == [0, 10]
    assert making._spaced(made_trace(steps=1)) == [0]


def test_files_are_written_whole_and_never_over_another(tmp_path):
    trace, path = with_picture(), tmp_path / "report.html"
    found = attnscope.report(trace, path)
    assert path.read_text("utf-8") == found.html()
    with pytest.raises(OutputError):
        attnscope.report(trace, path)
    with pytest.raises(OutputError):
        found.save(path)
    found.save(path, overwrite=True)
    with pytest.raises(ParameterError, match="expected a name that ends in .html"):
        found.save(tmp_path / "report.pdf")
    with pytest.raises(ParameterError, match="expected a name that ends in .html"):
        attnscope.report(trace, tmp_path / "report.pdf")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_folders_of_this_machine_are_not_told():
    trace = with_picture()
    trace.run.model = "/home/somebody/models/mine"
    page = attnscope.report(trace).html()
    assert "somebody" not in page
    assert "mine" in page


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_transformers_have_reports(family, tmp_path):
    pipe = tiny_transformer(family, tmp_path)
    with attnscope.capture(pipe) as trace:
        pipe("a red cat", height=64, width=96, num_inference_steps=2)
    found = attnscope.report(trace)
    page = Page(found.html())
    assert "How widely places look at text and picture" in page.text
    assert found.words["cat"].landing is not None
    assert found.segments is not None


def test_progress_ends_where_it_says():
    told = []
    attnscope.report(with_picture(), progress=lambda done, total: told.append((done, total)))
    assert told[0] == (1, 6)
    assert told[-1] == (6, 6)
    assert repr(attnscope.report(with_picture())).startswith(
        "<Report of 'red cat': words, segments, statistics"
    )


def test_each_image_has_its_own_negative_prompt_and_long_ones_a_line():
    trace = with_picture(images=2)
    trace.run.negative_prompts = ["", "a very long negative prompt, " * 4]
    assert "Negative prompt" not in attnscope.report(trace, image=0).html()
    second = attnscope.report(trace, image=1).html()
    assert "<div class=long><dt>Negative prompt</dt>" in second
    assert "a very long negative prompt" in second
    assert attnscope.report(trace, image=1, branch="uncond").prompt == trace.run.negative_prompts[1]


def test_a_branch_that_reads_nothing_has_a_page():
    trace = with_picture()
    trace.run.negative_prompts, trace.run.negative_tokens = [""], [trace.run.tokens[0][:1]]
    found = attnscope.report(trace, branch="uncond")
    assert "No text: the run got none for this branch, or none that the capture saw." in found.gaps
    assert "A run without a text" in Page(found.html()).text
    assert found.statistics is not None


def test_a_name_that_is_no_page_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "_make", None)
    with pytest.raises(ParameterError, match="expected a name that ends in .html"):
        attnscope.report(with_picture(), tmp_path / "report.txt")
