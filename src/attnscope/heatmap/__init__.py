"""Where the words of a prompt landed in the picture.

heat_map.py      a word's map, or those of several, from the cross-attention of a trace
asked.py         which tokens are asked for, and of which branch
open_words.py    words that are not in the prompt
result.py        HeatMap: the numbers, and how they are drawn and written
word_table.py    every word in numbers, by step and block on request
picture_keys.py  keys that are no words: an IP-Adapter's pictures
"""
