"""The page of a studio for guests: it offers what this browser may do, and nothing else."""

import httpx2
import pytest
from studio_pages import looking

from attnscope.studio import create_app
from attnscope.testing.made_traces import made_trace
from viewer.browser import needs_chromium, running

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def somebody_elses(tmp_path):
    """The folder of a trace, as another browser sends it."""
    folder = tmp_path / "made.trace"
    made_trace(grids=((8, 8),), steps=1, heads=1).save(folder)
    return folder


def send(address, folder):
    with httpx2.Client(base_url=address, headers={"attnscope-maker": "another"}) as client:
        key = client.post("/api/uploads").json()["key"]
        for path in folder.iterdir():
            client.put(f"/api/uploads/{key}/{path.name}", content=path.read_bytes())
        return client.post(f"/api/uploads/{key}/done", params={"name": "other"}).json()["number"]


def offered(page, number):
    """What the menu of a run offers."""
    page.get_by_label(f"more about run {number}").click()
    return page.locator(".card .menu button").all_inner_texts()


def test_runs_of_others_are_looked_at_and_own_ones_changed(browser, tmp_path, somebody_elses):
    app = create_app("no/such-model", folder=tmp_path / "runs", guests=True)
    with running(app) as address, looking(browser, address) as page:
        number = send(address, somebody_elses)
        assert "Delete" not in offered(page, number)
        page.get_by_label(f"more about run {number}").click()

        page.locator("input[webkitdirectory]").set_input_files(somebody_elses)
        page.locator(f".card[data-run='{number + 1}']").wait_for()
        assert offered(page, number + 1)[-2:] == ["Rename", "Delete"]
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Delete").click()
        page.locator(f".card[data-run='{number + 1}']").wait_for(state="detached")

        page.reload()
        assert "Delete" not in offered(page, number)


def test_a_page_that_takes_no_files_offers_none(browser, tmp_path):
    with running(create_app("no/such-model", folder=tmp_path, files=False)) as address:
        with looking(browser, address) as page:
            page.get_by_text("The model can't be loaded.").wait_for()
            assert page.locator("input[type=file]").count() == 0
            assert page.get_by_text("drop a photo").count() == 0
