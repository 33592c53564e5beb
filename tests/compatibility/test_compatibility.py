"""Every cell of docs/compatibility.md is a test. A cell that is wrong today is a strict xfail with what is wrong."""

import functools

import pytest

from compatibility.case import COLUMNS
from compatibility.cases import CASES, NOT_HERE, PIPELINES, WAYS, pipelines_with_unet
from compatibility.page import PAGE, page, read_page
from compatibility.report import differs, quiet, versions
from compatibility.running import outcome

KNOWN = read_page(PAGE.read_text())
QUICK = {kind.CASES[0].name for kind in (*PIPELINES, *WAYS)} | {
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
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", cases())
def test_is_right_or_refused(name, column, request):
    known = KNOWN.get(name, {}).get(column)
    if known is not None and known.verdict == "wrong":
        request.applymarker(pytest.mark.xfail(reason=known.text, strict=True))
    cell = cells_of(name)[column]
    assert cell.verdict != "wrong", cell.text


@pytest.mark.parametrize("name", cases())
def test_page_says_what_comes(name):
    """Otherwise write it anew: ./dev compatibility"""
    assert not differs(KNOWN.get(name), cells_of(name)), cells_of(name)


def test_page_has_every_case_and_no_other():
    assert list(KNOWN) == list(CASES)


def test_page_reads_back_what_was_written():
    assert read_page(page(KNOWN, versions())) == KNOWN


def test_every_pipeline_with_a_unet_is_a_case_or_has_a_reason():
    assert set(pipelines_with_unet()) <= {*CASES, *NOT_HERE}
    assert not set(NOT_HERE) - set(pipelines_with_unet())
