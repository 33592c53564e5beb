"""From the attentions of one module to records that are right, with the layer that they are of.

observation.py      one run of a module: Q, K, V, mask and scale of what it used
assembling.py       one record of a module's attention, also where it comes in slices
adapters.py         which attention reads an IP-Adapter's pictures
sample_check.py     whether a record gives what the layer computed
order_check.py      whether a processor keeps rows, heads and places in order
row_lengths.py      texts of different lengths get the same places
describing.py       on which grid, over which keys
key_sources.py      whether these keys are the layer's own
key_projections.py  how a layer makes keys of the text
"""
