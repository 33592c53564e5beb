"""Explaining: whether a word was drawn, why one can think so, and what changing it does.

explain.py      the question, and the evidence put together
reading.py      what becomes of a word on its way to the model
shares.py       its share of attention over steps, blocks and heads
landing.py      where it landed, and on what it lies
usual.py        how strongly the demo model's words are looked up where they are drawn
verdict.py      what that says
effect.py       the run repeated without the word, and with more of it
report.py       what became of one word
result.py       Explanation: all of it, as data
sentences.py    the same in sentences
texts.py        what those say, in English and Japanese
wording.py      how a sentence is put into words, and its numbers
pictures.py     the same as pictures
reliability.py  counts of words that were judged rightly and wrongly
measure.py      how often it is right: `python -m attnscope.explaining.measure`
"""
