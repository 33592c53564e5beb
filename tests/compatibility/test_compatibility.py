"""Every cell of docs/compatibility.md is a test. A cell that is wrong today is a strict xfail with what is wrong."""

import functools

import pytest

from compatibility.case import COLUMNS
from compatibility.cases import CASES, NOT_HERE, TABLES
from compatibility.page import PAGE, page, read_page
from compatibility.pipelines import pipelines_with_unet, pipelines_without_unet
from compatibility.report import differs, quiet, versions
from compatibility.running import outcome
from compatibility.summary import READMES, with_summary
from compatibility.zoo_refused import MODELS

KNOWN = read_page(PAGE.read_text())
AS_THE_PAGE_SAYS = "as the page says"
"""Otherwise write it anew: ./dev compatibility"""
QUICK = {table.CASES[0].name for table in TABLES} | {
    "without guidance", "two prompts", "IP-Adapter", "HeunDiscreteScheduler", "DeepCache", "DDIMPipeline",
    "StableDiffusionAttendAndExcitePipeline", "the U-Net is captured, its pipeline runs",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    with quiet():
        yield


@functools.cache
def cells_of(name):
    return outcome(CASES[name])


def cases():
    """A tenth of those that are not quick stands for the others where `--thorough` is not asked for."""
    return [
        pytest.param(
            name,
            marks=() if name in QUICK else [pytest.mark.slow, *[pytest.mark.thorough] * (number % 10 > 0)],
        )
        for number, name in enumerate(CASES)
    ]


@pytest.mark.parametrize("column", [*COLUMNS, AS_THE_PAGE_SAYS])
@pytest.mark.parametrize("name", cases())
def test_is_right_or_refused(name, column, request):
    if column == AS_THE_PAGE_SAYS:  # a test beside those of its cells, which one process has in its cache
        assert not differs(KNOWN.get(name), cells_of(name)), cells_of(name)
        return
    known = KNOWN.get(name, {}).get(column)
    if known is not None and known.verdict == "wrong":
        request.applymarker(pytest.mark.xfail(reason=known.text, strict=True))
    cell = cells_of(name)[column]
    assert cell.verdict != "wrong", cell.text


def test_page_has_every_case_and_no_other():
    assert list(KNOWN) == list(CASES)


def test_page_reads_back_what_was_written():
    assert read_page(page(KNOWN, versions())) == KNOWN


@pytest.mark.parametrize("names", [pipelines_with_unet, pipelines_without_unet])
def test_every_pipeline_is_a_case_or_has_a_reason(names):
    assert set(names()) <= {*CASES, *NOT_HERE}


@pytest.mark.parametrize(("model", "pipelines"), MODELS.items())
def test_refusals_name_the_model(model, pipelines):
    for pipeline in pipelines:
        assert f"{pipeline} denoises with pipe." in KNOWN[pipeline]["capture"].text
        assert f" {model}, which attnscope does not support" in KNOWN[pipeline]["capture"].text


def test_what_has_a_reason_is_a_pipeline_and_no_case():
    assert set(NOT_HERE) <= {*pipelines_with_unet(), *pipelines_without_unet()} - {*CASES}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readme_has_the_table_of_today(readme):
    text = readme.read_text("utf-8")
    assert with_summary(text, KNOWN) == text
