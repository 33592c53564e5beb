"""What an attention module really computes, seen while it runs, and what a capture puts on modules for that.

tap.py        one attention module: every attention that it really computes
attention.py  one of these, as the tap sees it
usage.py      what becomes of its result
watching.py   hooks and watched methods that copies leave behind
"""
