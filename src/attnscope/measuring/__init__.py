"""Measuring attention: how widely and how far heads look, what gets it for nothing, what points best.

statistics.py  the numbers of every layer, step and head of a trace
sums.py        the arithmetic, a few rows of P at a time
numbers.py     LayerStatistics: the numbers of one layer
result.py      AttentionStatistics: those of all layers, as a table and for JSON
clusters.py    heads that do alike
pointing.py    how well a map points at a mask
cells.py       a mask of any size on the latent grid
score.py       how well one block, head or step points
ranking.py     Ranking: blocks, heads and steps, best first
rank.py        which of them point best at true masks
"""
