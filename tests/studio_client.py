"""A browser's side of a studio, which waits for what it asked for."""

import contextlib
import time

import torch
from fastapi.testclient import TestClient

from attnscope.demo import GUIDANCE_SCALE
from attnscope.studio import create_app

PROMPT = "a red house and a green tree on the grass"


def called(pipe, prompt=PROMPT, seed=3, steps=3):
    """The picture that a studio has to make, by the pipeline itself."""
    return pipe(
        prompt,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE_SCALE,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]


class StudioClient:
    """A browser's side of a studio, which waits for what it asked for."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder

    def news(self, seen=-1):
        return self.client.get("/api/studio", params={"seen": seen}).json()

    def run(self, number):
        return next(run for run in self.news()["runs"] if run["number"] == number)

    def until(self, is_so, patience_s=120):
        """News, once they are as wanted."""
        deadline, seen = time.monotonic() + patience_s, -1
        while time.monotonic() < deadline:
            news = self.news(seen)
            if is_so(news):
                return news
            seen = news["count"]
        raise AssertionError(f"waited for {patience_s} s: {news}")

    def ready(self):
        return self.until(lambda news: news["model"]["state"] in ("ready", "failed"))

    def over(self, number):
        """A run, once it is over."""
        news = self.until(lambda news: not _open(news, number))
        return next(run for run in news["runs"] if run["number"] == number)

    def make(self, prompt="a red house and a tree", **asked):
        """A picture that is asked for."""
        answer = self.client.post("/api/runs", json={"prompt": prompt, "steps": 3, **asked})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def made(self, prompt="a red house and a tree", **asked):
        """A run that is done."""
        run = self.over(self.make(prompt, **asked)["number"])
        assert run["state"] == "done", run
        return run


def _open(news, number):
    return any(
        run["number"] == number and run["state"] in ("waiting", "loading", "running") for run in news["runs"]
    )


@contextlib.contextmanager
def studio_of(folder, model="demo", **options):
    app = create_app(model, folder=folder, **options)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield StudioClient(client, folder)
