"""Measuring attention: how widely and how far heads look, what gets it for nothing, what points best.

statistics.py  the numbers of every layer, step and head of a trace
sums.py        the arithmetic, a few rows of P at a time
numbers.py     LayerStatistics: the numbers of one layer
result.py      AttentionStatistics: those of all layers, as a table and for JSON
clusters.py    heads that do alike
"""
