"""Classes of the published data sets, and which number in their files means which."""

from __future__ import annotations

from attnscope.evaluation.counting import IGNORE


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


COCO_27 = _names(
    "electronic, appliance, food-things, furniture-things, indoor, kitchen, accessory, animal, "
    "outdoor, person, sports, vehicle, ceiling, floor, food-stuff, furniture-stuff, rawmaterial, "
    "textile, wall, window, building, ground, plant, sky, solid, structural, water"
)
_THINGS = (
    (9, 1),
    (11, 8),
    (8, 6),
    (7, 10),
    (6, 8),
    (10, 10),
    (5, 8),
    (2, 10),
    (3, 10),
    (0, 6),
    (1, 6),
    (4, 8),
)
_STUFF = (
    "17 17 22 20 20 22 15 25 16 13 12 12 17 17 23 15 15 17 15 21 15 25 13 13 13 13 13 22 26 14 14 15 22 21 21 24 20 22 "
    "15 17 16 15 22 24 21 17 25 16 21 17 22 16 21 21 25 21 26 21 24 20 17 14 21 26 15 23 20 21 24 15 24 22 25 15 20 17 "
    "17 22 14 18 18 18 18 18 18 18 26 26 19 19 24"
)
COCO_182_TO_27 = (*(number for number, run in _THINGS for _ in range(run)), *map(int, _STUFF.split()))
"""The class of each of COCO-Stuff's 182 numbers: 91 of things, 91 of stuff (Ji et al. 2019, IIC; Cho et al. 2021)."""

CITYSCAPES_27 = _names(
    "road, sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, "
    "polegroup, traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, "
    "bus, caravan, trailer, train, motorcycle, bicycle"
)
FIRST_CITYSCAPES = 7
"""labelIds below are ego vehicle, border, static things and the like: not judged."""

VOC_21 = _names(
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, "
    "dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)

ADE_COUNT = 150


def mapping(numbers: dict[int, int]) -> tuple[int | None, ...]:
    """A table from numbers in a file to classes.

    Args:
        numbers: The class of each number, or IGNORE.

    Returns:
        256 entries; None for a number that no file should hold. 255 is left out everywhere.
    """
    return tuple({255: IGNORE, **numbers}.get(number) for number in range(256))


COCO_MAPPING = mapping(dict(enumerate(COCO_182_TO_27)))
CITYSCAPES_MAPPING = mapping(
    {number: number - FIRST_CITYSCAPES if number >= FIRST_CITYSCAPES else IGNORE for number in range(34)}
)
VOC_MAPPING = mapping({number: number for number in range(21)})
ADE_MAPPING = mapping({0: IGNORE, **{number: number - 1 for number in range(1, ADE_COUNT + 1)}})
