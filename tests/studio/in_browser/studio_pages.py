"""The studio's page in a real browser, and its newest run."""

import contextlib

from viewer.browser import watched

STEPS = 4


@contextlib.contextmanager
def looking(browser, address, query="", **settings):
    """The studio's page, without the hint."""
    with watched(browser, **settings) as page:
        page.goto(address + query)
        page.locator("#prompt").wait_for()
        yield page


def latest(studio):
    """The newest run, once it is over."""
    run = studio.over(studio.news()["runs"][-1]["number"])
    assert run["state"] == "done", run
    return run
