"""Where the words of a prompt landed in the picture.

heat_map.py      a word's map, or those of several, from the cross-attention of a trace
asked.py         which tokens are asked for, and of which branch
open_words.py    words that are not in the prompt
result.py        HeatMap: the numbers, and how they are drawn and written
legend.py        a map's picture with its colours and their numbers
drawn.py         what HeatMap and MapDifference have in common
difference.py    one map less another
head_grid.py     a word in every head of every block
head_picture.py  the page of those maps
over_steps.py    a word in each step, and as a moving picture
frames.py        one step as a picture with a caption
word_table.py    every word in numbers, by step and block on request
picture_keys.py  keys that are no words: an IP-Adapter's pictures
"""
