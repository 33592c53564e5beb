"""A trace as one self-contained page: its picture, its words and what became of them, segments, statistics, gaps.

report.py      the question, and what the page is made of
contents.py    what a report is made of
result.py      Report: all of it, as a page, a file, and for JSON
gaps.py        what is not in the trace, or not on the page, in sentences
page.py        the page's parts in order
words.py       the words on the page
segments.py    the segments on the page
statistics.py  the statistics on the page
evaluation.py  an evaluation as a page, and its files
figures.py     coloured tables, bars and curves as markup
markup.py      text and pictures as markup
style.css      how it looks, light and dark, wide and narrow
"""
