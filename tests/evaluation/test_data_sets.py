"""Tiny data sets in each published layout: ids, ignored pixels, palettes, names, and what can be wrong with them."""

import numpy as np
import pytest
from PIL import Image

from attnscope.demo.scenes import scene
from attnscope.errors import ImageError, ParameterError
from attnscope.evaluation import open_dataset
from attnscope.evaluation.checking import check_dataset
from attnscope.evaluation.classes import COCO_27, COCO_182_TO_27
from attnscope.evaluation.datasets import picture_of, truth_of
from attnscope.evaluation.layouts import COCO_LIST, SCENE_CLASSES
from attnscope.evaluation.preparing import nearest_pixels, preparation

SIZE = (10, 14)  # height, width


def write_picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], "teal").save(path)


def write_mask(path, numbers, *, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(SIZE, np.uint8)
    mask.flat[: len(numbers)] = numbers
    image = Image.fromarray(mask)
    if palette:
        image = image.convert("P")
        image.frombytes(mask.tobytes())
        image.putpalette([value for at in range(256) for value in (at, 255 - at, 7)])
    image.save(path)


def coco(root, ids):
    write_picture(root / "val2017/0001.jpg")
    write_mask(root / "stuffthingmaps/val2017/0001.png", ids)
    write_picture(root / "val2017/0002.jpg")  # not in the list
    (root / COCO_LIST).write_text("0001\n")


def cityscapes(root, ids):
    write_picture(root / "leftImg8bit/val/ulm/ulm_0_1_leftImg8bit.png")
    write_mask(root / "gtFine/val/ulm/ulm_0_1_gtFine_labelIds.png", ids)
    write_mask(root / "gtFine/val/ulm/ulm_0_1_gtFine_instanceIds.png", [200])


def voc(root, ids):
    write_picture(root / "VOC2012/JPEGImages/2007_01.jpg")
    write_mask(root / "VOC2012/SegmentationClass/2007_01.png", ids, palette=True)
    (root / "VOC2012/ImageSets/Segmentation").mkdir(parents=True)
    (root / "VOC2012/ImageSets/Segmentation/val.txt").write_text("2007_01\n")


def ade(root, ids):
    write_picture(root / "ADEChallengeData2016/images/validation/ADE_val_00000001.jpg")
    write_mask(root / "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png", ids)


def plain(root, ids):
    write_picture(root / "images/one.jpg")
    write_mask(root / "masks/one.png", ids, palette=True)
    (root / "classes.txt").write_text("wall\nfloor\ndoor\n")


LAYOUTS = {
    "coco-stuff-27": (coco, [0, 1, 90, 91, 181, 255], [9, 11, 4, 17, 24, 255], 27),
    "cityscapes": (cityscapes, [0, 6, 7, 33, 8], [255, 255, 0, 26, 1], 27),
    "voc2012": (voc, [0, 1, 20, 255], [0, 1, 20, 255], 21),
    "ade20k": (ade, [0, 1, 150], [255, 0, 149], 150),
    "folder": (plain, [0, 1, 2, 255], [0, 1, 2, 255], 3),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_gives_its_classes(tmp_path, name):
    write, ids, expected, classes = LAYOUTS[name]
    write(tmp_path, ids)
    dataset = open_dataset(name, tmp_path)
    check_dataset(dataset, whole=False)
    assert (len(dataset), len(dataset.classes)) == (1, classes)
    truth = truth_of(dataset, dataset.samples[0])
    assert truth.shape == SIZE
    assert truth.flat[: len(ids)].tolist() == expected
    assert picture_of(dataset.samples[0]).size == SIZE[::-1]


def test_coco_s_numbers_are_those_of_the_published_program():
    assert len(COCO_182_TO_27) == 182
    assert set(COCO_182_TO_27) == set(range(27))
    named = {0: "person", 1: "vehicle", 9: "outdoor", 15: "animal", 43: "kitchen", 90: "indoor"}
    assert {number: COCO_27[COCO_182_TO_27[number]] for number in named} == named


def test_scenes_need_no_folder_and_have_the_world_s_masks():
    dataset = open_dataset("scenes:3")
    truth, drawn = truth_of(dataset, dataset.samples[2]), scene(2)
    assert [sample.name for sample in dataset.samples] == ["scene-000000", "scene-000001", "scene-000002"]
    for number, part in enumerate(drawn.parts):
        assert set(truth[drawn.segments == number]) == {SCENE_CLASSES.index(part)}
    check_dataset(dataset)


def spoil_picture(root):
    (root / "images/one.jpg").write_bytes((root / "images/one.jpg").read_bytes()[:300])


def spoil_mask(root):
    (root / "masks/one.png").write_bytes((root / "masks/one.png").read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda root: (root / "masks/one.png").unlink(),
            ParameterError,
            "lacks 1 of 1 masks, the first is .*one.png",
        ),
        (lambda root: (root / "images/one.jpg").unlink(), ParameterError, "lacks 1 of 1 pictures"),
        (
            lambda root: write_mask(root / "masks/one.png", [3]),
            ImageError,
            "holds the number 3, which is no class",
        ),
        (lambda root: write_picture(root / "masks/one.png"), ImageError, r"in colours \(RGB\)"),
        (
            lambda root: write_picture(root / "images/one.jpg", (20, 28)),
            ImageError,
            "10x14 and its picture 20x28",
        ),
        (spoil_picture, ImageError, "one.jpg"),
        (spoil_mask, ImageError, "one.png is broken"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_the_first_pass(tmp_path, spoil, error, said):
    plain(tmp_path, [0, 1])
    spoil(tmp_path)
    with pytest.raises(error, match=said):
        check_dataset(open_dataset("folder", tmp_path))


def test_half_a_download_is_told_from_a_chosen_part(tmp_path):
    voc(tmp_path, [0])
    dataset = open_dataset("voc2012", tmp_path)
    with pytest.raises(ParameterError, match="has 1 pictures there and 1,449 as it is published"):
        check_dataset(dataset)
    check_dataset(dataset.first(1), whole=False)
    with pytest.raises(ParameterError, match="limit is 2; expected 1 to 1"):
        dataset.first(2)


@pytest.mark.parametrize(
    ("name", "folder", "said"),
    [
        ("voc", "", "expected one of 'voc2012'"),
        ("voc2012", None, "voc2012 needs its folder, and none was given"),
        ("voc2012", "absent", "absent is none"),
        ("voc2012", "", "has no folder JPEGImages"),
        ("coco-stuff-27", "", "has no folder images/val2017 or val2017"),
        ("scenes:many", None, "as in scenes:200"),
        ("scenes:0", None, "as in scenes:200"),
    ],
)
def test_wrong_places_are_named(tmp_path, name, folder, said):
    with pytest.raises(ParameterError, match=said):
        open_dataset(name, None if folder is None else tmp_path / folder)


@pytest.mark.parametrize(("line", "said"), [("../../x", "expected names of pictures"), ("2007_01", "twice")])
def test_a_list_that_leads_elsewhere_or_names_twice_is_refused(tmp_path, line, said):
    voc(tmp_path, [0])
    (tmp_path / "VOC2012/ImageSets/Segmentation/val.txt").write_text(f"2007_01\n{line}\n")
    with pytest.raises(ParameterError, match=said):
        open_dataset("voc2012", tmp_path)


def test_diffseg_takes_the_middle_square_and_compares_at_512():
    prepared, truth = preparation("diffseg"), np.arange(10 * 14).reshape(10, 14)
    picture = prepared.picture(Image.fromarray(truth.astype(np.uint8)).convert("RGB"))
    assert (picture.size, prepared.truth(truth).shape) == ((512, 512), (512, 512))
    middle = truth[:, 2:12]
    np.testing.assert_array_equal(prepared.truth(truth), nearest_pixels(middle, (512, 512)))
    assert prepared.truth(truth)[0, 0] == middle[0, 0]
    assert prepared.truth(truth)[-1, -1] == middle[-1, -1]


def test_diffcut_compares_at_128():
    prepared = preparation("diffcut")
    assert prepared.picture(Image.new("RGB", (300, 201))).size == (1024, 1024)
    assert prepared.truth(np.zeros((201, 300), int)).shape == (128, 128)
    assert prepared.labels(np.zeros((1024, 1024), int)).shape == (128, 128)


def test_our_own_leaves_sizes_alone():
    prepared, truth = preparation("own"), np.zeros((201, 300), int)
    assert prepared.truth(truth).shape == truth.shape
    assert prepared.picture(Image.new("RGB", (300, 201))).size == (300, 201)
    with pytest.raises(ParameterError, match="expected one of 'diffseg'"):
        preparation("diffsegg")


def test_nearest_pixels_are_pillow_s():
    labels = np.random.default_rng(0).integers(0, 255, (13, 21)).astype(np.uint8)
    for size in ((26, 63), (7, 5), (128, 128)):
        expected = Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST)
        np.testing.assert_array_equal(nearest_pixels(labels, size), np.asarray(expected))
