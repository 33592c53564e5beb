"""The studio: type a prompt, watch the picture form, change its attention, see the difference (`attnscope studio`).

The viewer's server and page, and a process of its own for the model. `pip install "attnscope[studio]"`.

asked.py     what a browser asks for, as plain data with bounds
edits.py     its edits as those of `attnscope.edit`, and as Python
code.py      the Python that makes a run, to copy
messages.py  what the model's process and the server tell each other
live.py      what there is to see of a picture while it is made
worker.py    the model's process: pictures and photos, one after the other
engine.py    that process seen from the server: queue, stop, start again
runs.py      the runs and their folders
uploads.py   traces that somebody brings
changes.py   who waits for news is told
rules.py     what people may do who open it
ledger.py    what is known of every run
studio.py    what the studio is asked for
schemas.py   the JSON that it speaks
told.py      what is known of runs, as JSON
routes.py    what the page asks
bringing.py  what the page sends: photos, traces
app.py       the ASGI application
serving.py   run it on this machine
"""

from __future__ import annotations

from attnscope.errors import check_extra

check_extra("the studio", "studio")

from attnscope.studio.app import create_app  # noqa: E402 (after what says what is missing)
from attnscope.studio.serving import serve  # noqa: E402

__all__ = ["create_app", "serve"]
