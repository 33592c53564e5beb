"""Which attention layers a U-Net has, and the shapes of their Q, K, V and P."""

from attnscope.atlas.known import DEMO_FOLDER, NAMES
from attnscope.atlas.order import LayerPlace, execution_order
from attnscope.atlas.plan import Section
from attnscope.atlas.table import Sources, blocks_by_grid, layers, sections, sources, sources_of

__all__ = [
    "DEMO_FOLDER",
    "NAMES",
    "LayerPlace",
    "Section",
    "Sources",
    "blocks_by_grid",
    "execution_order",
    "layers",
    "sections",
    "sources",
    "sources_of",
]
