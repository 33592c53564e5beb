"""The viewer's page below a cell of a notebook: Jupyter, VS Code, Colab.

The page stands in a frame of another site, where browsers keep no cookies. So its address holds the secret, in the
path: all that the page asks for is below it.
"""

from __future__ import annotations

import html
import json
import secrets
import sys
from importlib.util import find_spec

from attnscope.viewer.gate import FRAME

_FRAME = """<div>
<iframe id="{name}" src="{source}" title="attnscope viewer" allow="clipboard-write; fullscreen"
 style="width: 100%; height: {height}px; border: 0"></iframe>
<p><a id="{name}-tab" href="{tab}" target="_blank" rel="noopener">open in a tab</a></p>
{script}</div>"""

# Jupyter's own server may be all that a browser reaches of the kernel's machine. Where jupyter-server-proxy is there,
# it shows the port; that a question through it is answered says so, and whether it is this viewer.
_BY_JUPYTER = """<script>
(async ({name, port, path, tab}) => {
  const config = document.getElementById("jupyter-config-data");
  const base = config ? JSON.parse(config.textContent).baseUrl : document.body.dataset.baseUrl;
  if (!base) return;
  const proxied = new URL(`${base}proxy/${port}/`, location.href);
  const answer = await fetch(new URL(`${path}api/traces`, proxied)).catch(() => null);
  if (!answer?.ok || !(await answer.json().catch(() => ({}))).traces) return;
  const frame = document.getElementById(name);
  const other = frame.cloneNode();
  other.src = new URL(path, proxied);
  frame.replaceWith(other); // as browsers may drop another address while a page still loads
  document.getElementById(`${name}-tab`).href = new URL(tab, proxied);
})(ARGUMENTS);
</script>
"""


def is_here() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def show(port: int, frame_key: str, *, public: str | None, tab: str, height: int) -> None:
    """Show the page below the cell that runs.

    Args:
        port: The viewer's.
        frame_key: The secret of its frame.
        public: Where a proxy shows the viewer, if that is known.
        tab: Where the page is by itself, with its token.
        height: In CSS pixels.
    """
    path = f"{FRAME[1:]}/{frame_key}/"
    if "google.colab" in sys.modules or _is_colab():
        from google.colab import output

        output.serve_kernel_port_as_iframe(port, path=f"/{path}", height=str(height))
        return
    from IPython.display import HTML, display

    display(HTML(markup(port, path, public=public, tab=tab, height=height)))


def markup(port: int, path: str, *, public: str | None, tab: str, height: int) -> str:
    """What a notebook shows below the cell.

    Args:
        port: The viewer's.
        path: Of the page in its frame.
        public: Where a proxy shows the viewer; None lets the notebook's page look for Jupyter's.
        tab: Where the page is by itself, with its token.
        height: In CSS pixels.
    """
    name = f"attnscope-{secrets.token_hex(4)}"
    facts = {"name": name, "port": port, "path": path, "tab": "?" + tab.partition("?")[2]}
    arguments = json.dumps(facts).replace("<", "\\u003c")
    return _FRAME.format(
        name=name,
        source=html.escape((public or f"http://127.0.0.1:{port}/") + path),
        tab=html.escape(tab),
        height=int(height),
        script="" if public else _BY_JUPYTER.replace("ARGUMENTS", arguments),
    )


def _is_colab() -> bool:
    try:
        return find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no package "google"
        return False
