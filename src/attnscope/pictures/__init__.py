"""Pictures in and out. Sizes are (height, width) on this side; Pillow's (width, height) is turned at the border.

reading.py       a picture from a file, bytes, an array or Pillow, checked
decoding.py      files that may hold anything: a picture, or one ImageError
orientation.py   which way up, also from broken EXIF
decoded.py       of what was decoded, upright RGB: whole, small, or a few rows at a time
tones.py         numbers of any kind as 8-bit tones
sizes.py         what size a model sees a picture at
fonts.py         fonts of this machine, by what letters they have
lettering.py     lines of text in any script
overlays.py      labels over a picture, palettes
lines.py         the lines between segments
captions.py      names on segments
sheets.py        pictures side by side, with captions
heat_colours.py  one ramp of colours for every heat map, and one for differences
drawn_map.py     a map over a picture as the viewer draws it
regions.py       a segment's area, box and run lengths
maps.py          maps at other sizes
strips.py        large pictures a few rows at a time
moving.py        several one after the other, as GIF or MP4
writing.py       pictures as files, whole or not at all
axes.py          matplotlib's axes and their titles
"""
