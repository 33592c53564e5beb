"""Data sets found in folders, as they are published, and the demo world. Nothing is decoded here.

A layout is a function of a folder that gives a `Dataset`; `LAYOUTS` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from attnscope.demo.scenes import FIRST_TRAINING_SEED
from attnscope.demo.scenes.stuff import GROUNDS
from attnscope.demo.scenes.things import THINGS
from attnscope.errors import ParameterError, nearest
from attnscope.evaluation.classes import (
    ADE_COUNT,
    ADE_MAPPING,
    CITYSCAPES_27,
    CITYSCAPES_MAPPING,
    COCO_27,
    COCO_MAPPING,
    VOC_21,
    VOC_MAPPING,
    mapping,
)
from attnscope.evaluation.datasets import DRAWN, Dataset, Sample

SCENES = "scenes"
COCO_LIST = "Coco164kFull_Stuff_Coarse_7.txt"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SCENE_CLASSES = tuple(sorted({"sky", "hills", "wall", *GROUNDS, *THINGS}))


def open_dataset(dataset: str, folder: str | Path | None = None) -> Dataset:
    """A data set by its name and its folder.

    Args:
        dataset: 'coco-stuff-27', 'cityscapes', 'voc2012', 'ade20k', 'folder', or 'scenes:200' for scenes 0 to 199 of
            the demo world, which need no folder.
        folder: Where it is, in the layout in which it is published. 'folder' has images/ and masks/, and may have
            classes.txt, a name a line.

    Raises:
        ParameterError: There is no such data set, its folder lacks something, or scenes are given a folder.
    """
    name, _, count = dataset.partition(":")
    if name == SCENES:
        if folder is not None:
            raise ParameterError(
                f"{dataset} is drawn and needs no folder, and {folder} is given: leave it out"
            )
        return _scenes(count)
    if dataset not in LAYOUTS:
        known = [*LAYOUTS, "scenes:200"]
        raise ParameterError(
            f"dataset is {dataset!r}; expected one of {nearest(dataset, known, otherwise=known)}"
        )
    if folder is None or not Path(folder).is_dir():
        told = "none was given" if folder is None else f"{folder} is none"
        raise ParameterError(f"{dataset} needs its folder, and {told}; give the one that it was unpacked to")
    return LAYOUTS[dataset](Path(folder))


def _scenes(count: str) -> Dataset:
    if not count.isdecimal() or not 1 <= int(count) < FIRST_TRAINING_SEED:
        raise ParameterError(
            f"dataset is 'scenes:{count}'; expected how many scenes after the colon, as in scenes:200"
        )
    samples = tuple(
        Sample(f"scene-{seed:06}", f"{DRAWN}{seed}", f"{DRAWN}{seed}") for seed in range(int(count))
    )
    title = f"demo world, scenes 0 to {int(count) - 1}"
    return Dataset(
        "scenes", title, SCENE_CLASSES, samples, (), note="Drawn by a program; never used in training."
    )


def _coco(folder: Path) -> Dataset:
    pictures = _folder(folder, "images/val2017", "val2017")
    masks = _folder(
        folder, "annotations/val2017", "stuffthingmaps/val2017", "stuffthingmaps_trainval2017/val2017"
    )
    names = _stems(_file(folder, COCO_LIST, f"curated/val2017/{COCO_LIST}", f"curated/{COCO_LIST}"))
    pairs = ((name, pictures / f"{name}.jpg", masks / f"{name}.png") for name in names)
    return _dataset("coco-stuff-27", "COCO-Stuff-27 val2017", COCO_27, pairs, COCO_MAPPING, 2175)


def _cityscapes(folder: Path) -> Dataset:
    pictures, masks = _folder(folder, "leftImg8bit/val"), _folder(folder, "gtFine/val")
    found = sorted(pictures.glob("*/*_leftImg8bit.png"))
    masked = sorted(masks.glob("*/*_gtFine_labelIds.png"))
    stems = {f"{path.parent.name}/{path.name.removesuffix('_leftImg8bit.png')}" for path in found}
    stems |= {f"{path.parent.name}/{path.name.removesuffix('_gtFine_labelIds.png')}" for path in masked}
    pairs = (
        (stem, pictures / f"{stem}_leftImg8bit.png", masks / f"{stem}_gtFine_labelIds.png")
        for stem in sorted(stems)
    )
    return _dataset("cityscapes", "Cityscapes val", CITYSCAPES_27, pairs, CITYSCAPES_MAPPING, 500)


def _voc(folder: Path) -> Dataset:
    root = _root(folder, "VOCdevkit/VOC2012", "VOC2012")
    pictures, masks = _folder(root, "JPEGImages"), _folder(root, "SegmentationClass")
    names = _stems(_file(root, "ImageSets/Segmentation/val.txt"))
    pairs = ((name, pictures / f"{name}.jpg", masks / f"{name}.png") for name in names)
    return _dataset("voc2012", "VOC2012 val", VOC_21, pairs, VOC_MAPPING, 1449, "Background is a class.")


def _ade(folder: Path) -> Dataset:
    root = _root(folder, "ADEChallengeData2016")
    pictures, masks = _folder(root, "images/validation"), _folder(root, "annotations/validation")
    stems = {path.stem for path in pictures.glob("ADE_val_*.jpg")} | {
        path.stem for path in masks.glob("ADE_val_*.png")
    }
    pairs = ((stem, pictures / f"{stem}.jpg", masks / f"{stem}.png") for stem in sorted(stems))
    note = "0 in the masks is left out; DiffCut's authors take it for a class and lose class 150."
    return _dataset("ade20k", "ADE20K validation", _ade_classes(root), pairs, ADE_MAPPING, 2000, note)


def _ade_classes(root: Path) -> Sequence[str]:
    """Names from the list that comes with the set, where it is there."""
    listed = root / "objectInfo150.txt"
    if not listed.is_file():
        return [f"class {number}" for number in range(1, ADE_COUNT + 1)]
    lines = listed.read_text("utf-8", errors="replace").splitlines()[1:]
    names = [line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip()]
    if len(names) != ADE_COUNT:
        raise ParameterError(
            f"{listed} names {len(names)} classes; expected {ADE_COUNT} after a line of titles"
        )
    return names


def _plain(folder: Path) -> Dataset:
    pictures, masks = _folder(folder, "images"), _folder(folder, "masks")
    by_stem = {path.stem: path for path in sorted(pictures.iterdir()) if path.suffix.lower() in PICTURES}
    stems = sorted(set(by_stem) | {path.stem for path in masks.glob("*.png")})
    pairs = ((stem, by_stem.get(stem, pictures / f"{stem}.jpg"), masks / f"{stem}.png") for stem in stems)
    listed = folder / "classes.txt"
    names = _names(listed) if listed.is_file() else [f"class {number}" for number in range(255)]
    numbers = mapping({number: number for number in range(min(len(names), 255))})
    return _dataset("folder", folder.name or str(folder.resolve().name), names, pairs, numbers, 0)


LAYOUTS: dict[str, Callable[[Path], Dataset]] = {
    "coco-stuff-27": _coco,
    "cityscapes": _cityscapes,
    "voc2012": _voc,
    "ade20k": _ade,
    "folder": _plain,
}


def _dataset(
    name: str,
    title: str,
    classes: Iterable[str],
    pairs: Iterable[tuple[str, Path, Path]],
    numbers: tuple[int | None, ...],
    whole: int,
    note: str = "",
) -> Dataset:
    samples = tuple(Sample(stem, str(picture), str(truth)) for stem, picture, truth in pairs)
    if not samples:
        raise ParameterError(
            f"{title} has no pictures there; expected them in the folders in which it is published"
        )
    return Dataset(name, title, tuple(classes), samples, numbers, whole, note)


def _root(folder: Path, *inside: str) -> Path:
    return next((folder / each for each in inside if (folder / each).is_dir()), folder)


def _folder(root: Path, *places: str) -> Path:
    for place in places:
        if (root / place).is_dir():
            return root / place
    raise ParameterError(
        f"{root} has no folder {' or '.join(places)}; unpack that part of the data set there"
    )


def _file(root: Path, *places: str) -> Path:
    for place in places:
        if (root / place).is_file():
            return root / place
    raise ParameterError(
        f"{root} has no file {' or '.join(places)}; it says which pictures are judged: put it there"
    )


def _names(listed: Path) -> list[str]:
    names = [line.strip() for line in listed.read_text("utf-8").splitlines() if line.strip()]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"{listed} names {twice!r} twice; use the list as published")
    return names


def _stems(listed: Path) -> list[str]:
    """Names of files: none that leads out of the data set's folders, since files of an evaluation get them, too."""
    names = _names(listed)
    if wrong := [name for name in names if not name.isprintable() or set(name) & set("/\\:")]:
        raise ParameterError(
            f"{listed} names {wrong[0]!r}; expected names of pictures without folder and ending"
        )
    return names
