"""Which attention layers a model has, and the shapes of their Q, K, V and P."""

from attnscope.atlas.known import DEMO_FOLDER, NAMES
from attnscope.atlas.order import LayerPlace, execution_order
from attnscope.atlas.plan import Section
from attnscope.atlas.table import Sources, blocks_by_grid, calls_a_step, layers, sections, sources, sources_of

__all__ = [
    "DEMO_FOLDER",
    "NAMES",
    "LayerPlace",
    "Section",
    "Sources",
    "blocks_by_grid",
    "calls_a_step",
    "execution_order",
    "layers",
    "sections",
    "sources",
    "sources_of",
]
