"""From a person's photographs and drawings to a category that the study can read."""

import hashlib
import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iadlib.commands.build import build
from iadlib.data import DataError, build_category, load_category, read_image
from iadlib.data import build as building
from iadlib.data.build import draw_splits
from iadlib.data.description import read_description
from iadlib.data.drawings import _uncompressed, filled
from tests.data.conftest import HEIGHT, WIDTH, write_mask

ORIENTATION = 0x0112
DEFECTS = {
    "missing_screw": {"kind": "logical", "saturation_pixels": 40},
    "scratch": {"kind": "structural", "saturation_share": 0.5},
}
GREYS = {name: {**entry, "grey": grey} for (name, entry), grey in zip(DEFECTS.items(), (255, 100), strict=True)}
# Rows 20 to 29, columns 12 to 21 on part 8; rows 40 to 43, columns 20 to 34 on part 9. The object is all but a margin.
SCREW, SCRATCH = (20, 30, 12, 22), (40, 44, 20, 35)


def photograph(seed: int, mode: str = "RGB") -> Image.Image:
    """A bright, noisy plate on a dark ground."""
    values = np.random.default_rng(seed).integers(0, 30, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    values[8:-8, 8:-8] += 150
    return Image.fromarray(values).convert(mode)


class Folder:
    """Ten photographs of five parts, of which the last two show a defect each, and a description."""

    def __init__(self, root: Path):
        self.root, self.photographs, self.masks = root, root / "photographs", root / "masks"
        self.out, self.description = root / "screws", root / "screws.yaml"
        self.photographs.mkdir()
        for number in range(10):
            photograph(number).save(self.photographs / f"part{number // 2}_{number}.png")
        self.describe()

    def describe(self, **content) -> None:
        # JSON is YAML.
        self.description.write_text(json.dumps({"defects": DEFECTS, "annotations": "masks", **content}))

    def draw(self, name: str, *boxes: tuple[int, int, int, int], value: int = 255, **options) -> Path:
        return write_mask(self.masks / name, *((*box, value) for box in boxes), **options)

    def draw_all(self) -> None:
        self.draw("part4_8_missing_screw.png", SCREW)
        self.draw("part4_9_scratch.png", SCRATCH)

    def build(self, **options):
        return build_category(self.photographs, self.out, self.description, **options)

    def problems(self) -> str:
        """The error that building ends with, after which nothing may be left."""
        before = set(self.root.rglob("*"))
        with pytest.raises(DataError) as caught:
            self.build()
        assert set(self.root.rglob("*")) == before
        return str(caught.value)


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


def facts(out: Path) -> dict[str, list[tuple]]:
    """Defect, box and saturation of every region, by the original name of its photograph."""
    category = load_category(out)
    category.check()
    original = pd.read_csv(out / "sources.csv").set_index("image")["photograph"]
    found = {}
    for i, image in enumerate(category.of("test")["image"]):
        for region in category.regions(i):
            rows, columns = np.nonzero(region.mask)
            box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
            assert region.mask.sum() == (box[1] - box[0]) * (box[3] - box[2])
            name = original[image.relative_to(out).as_posix()]
            found.setdefault(name, []).append((region.defect_name, box, region.saturation_area))
    return found


EXPECTED = {
    "part4_8.png": [("missing_screw", SCREW, 40)],
    "part4_9.png": [("scratch", SCRATCH, 30)],
}


# -- formats of annotations -------------------------------------------------------------------------------------------


def corners(box: tuple[int, int, int, int]) -> list[list[float]]:
    top, bottom, left, right = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def labelme(path: Path, *shapes: dict, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"imageHeight": size[0], "imageWidth": size[1], "shapes": shapes}))


def runs_of(box: tuple[int, int, int, int]) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    column_wise = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(column_wise)) + 1
    return {"counts": np.diff([0, *edges, mask.size]).tolist(), "size": [HEIGHT, WIDTH]}


def coco(*segmentations, **extra) -> dict:
    names = [f"part{number // 2}_{number}.png" for number in range(10)]
    images = [{"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH} for i, name in enumerate(names)]
    annotations = [
        {"id": 70 + i, "image_id": 8 + i, "category_id": 1 + i, "segmentation": segmentation, "bbox": [1, 1, 2, 2]}
        for i, segmentation in enumerate(segmentations)
    ]
    categories = [{"id": 1 + i, "name": name} for i, name in enumerate(DEFECTS)]
    return {"images": images, "annotations": annotations, "categories": categories, **extra}


def as_files(folder):
    folder.draw_all()


def as_files_with_numbers(folder):
    folder.draw("part4_8_missing_screw_1.png", SCREW)
    folder.draw("part4_9_scratch_02.png", SCRATCH, value=1)


def as_folders_of_photographs(folder):
    folder.draw("part4_8/missing_screw.png", SCREW)
    folder.draw("part4_9/scratch_0.tif", SCRATCH)


def as_folders_of_defects(folder):
    folder.draw("missing_screw/part4_8.png", SCREW)
    folder.draw("scratch/part4_9.bmp", SCRATCH)


def as_greys(folder):
    folder.describe(defects=GREYS)
    folder.draw("part4_8.png", SCREW)
    folder.draw("part4_9.png", SCRATCH, value=100)


def as_palette_entries(folder):
    as_greys(folder)
    for path in folder.masks.iterdir():
        entries = Image.open(path)
        coloured = Image.frombytes("P", entries.size, entries.tobytes())
        coloured.putpalette([value for entry in range(256) for value in (entry, 255 - entry, 7)])
        coloured.save(path)


def as_labelme(folder):
    folder.describe()
    labelme(folder.masks / "part4_8.json", {"label": "missing_screw", "points": corners(SCREW)})
    ends = [[SCRATCH[3], SCRATCH[0]], [SCRATCH[2], SCRATCH[1]]]
    labelme(folder.masks / "part4_9.json", {"label": "scratch", "points": ends, "shape_type": "rectangle"})


def as_labelme_beside_the_photographs(folder):
    folder.masks = folder.photographs
    as_labelme(folder)
    folder.describe(annotations=None)


def as_coco_polygons(folder):
    folder.describe(annotations="coco.json")
    flat = [[[value for corner in corners(box) for value in corner]] for box in (SCREW, SCRATCH)]
    (folder.root / "coco.json").write_text(json.dumps(coco(*flat)))


def as_coco_runs(folder):
    folder.masks.mkdir()
    (folder.masks / "any.json").write_text(json.dumps(coco(runs_of(SCREW), runs_of(SCRATCH))))


WAYS = [
    as_files,
    as_files_with_numbers,
    as_folders_of_photographs,
    as_folders_of_defects,
    as_greys,
    as_palette_entries,
    as_labelme,
    as_labelme_beside_the_photographs,
    as_coco_polygons,
    as_coco_runs,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_draw_gives_the_same_regions(folder, way):
    way(folder)
    report = folder.build()
    assert facts(folder.out) == EXPECTED
    assert not report.suspicious


def test_a_compressed_run_length_code_is_read_as_the_data_sets_own_code_writes_it():
    assert _uncompressed("dh0:f10d<JbC0hb1") == [788, 10, 54, 10, 458, 4, 60, 4, 1684]  # by pycocotools 2.0


def test_an_outline_takes_the_pixels_whose_centres_it_holds():
    triangle = np.array([(0, 0), (4, 0), (0, 4)])
    assert filled(triangle, (4, 5)).astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert filled(triangle + 100, (4, 5)).sum() == 0
    assert filled(np.array([(-9, -9), (90, -9), (90, 90), (-9, 90)]), (4, 5)).all()


def test_a_circle_of_labelme_has_the_area_of_a_circle(folder):
    points = [[24, 30], [24, 40]]
    labelme(folder.masks / "part4_9.json", {"label": "scratch", "points": points, "shape_type": "circle"})
    report = folder.build()
    assert report.regions["pixels"].tolist() == pytest.approx([np.pi * 100], rel=0.02)


def test_shapes_of_one_group_are_one_region_and_components_of_a_mask_are_several(folder):
    shapes = [{"label": "scratch", "points": corners(box), "group_id": 3} for box in (SCREW, SCRATCH)]
    labelme(folder.masks / "part4_9.json", *shapes)
    folder.draw("part3_6_scratch.png", SCREW, SCRATCH)
    report = folder.build()
    assert report.regions["pixels"].tolist() == [100, 60, 160]


def test_one_region_takes_all_that_is_drawn_of_a_defect(folder):
    folder.describe(defects={**DEFECTS, "scratch": {"kind": "structural", "one_region": True}})
    folder.draw("part4_9_scratch_1.png", SCREW)
    folder.draw("part4_9_scratch_2.png", SCRATCH, (30, 31, 12, 13))
    assert folder.build().regions["pixels"].tolist() == [161]


def test_a_single_defect_needs_no_grey(folder):
    folder.describe(defects={"scratch": {"kind": "structural"}})
    folder.draw("part4_9.png", SCRATCH, value=7)
    folder.build()
    assert facts(folder.out) == {"part4_9.png": [("scratch", SCRATCH, 60)]}


def test_soft_edges_count_from_half_of_the_range_and_are_reported(folder):
    write_mask(folder.masks / "part4_9_scratch.png", (39, 45, 19, 36, 100), (*SCRATCH, 255))
    report = folder.build()
    assert facts(folder.out)["part4_9.png"][0][1] == SCRATCH
    assert "part4_9_scratch.png: 2 grey values" in report.text


# -- formats of photographs -------------------------------------------------------------------------------------------


def image_of(folder, name: str) -> np.ndarray:
    sources = pd.read_csv(folder.out / "sources.csv").set_index("photograph")["image"]
    with Image.open(folder.out / sources[name]) as image:
        assert image.format == "PNG"
        assert image.mode in ("L", "RGB")
        return np.asarray(image)


@pytest.mark.parametrize("name", ["one.jpg", "one.JPEG", "one.tif", "one.bmp"])
def test_photographs_become_png_without_loss(folder, name):
    folder.draw_all()
    photograph(99).save(folder.photographs / name)
    folder.build()
    assert (image_of(folder, name) == read_image(folder.photographs / name)).all()


def test_sixteen_bit_becomes_eight_and_grey_stays_grey(folder):
    folder.draw_all()
    values = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    names = ("one.png", "two.tiff")
    for name in names:
        Image.fromarray(values[:: 1 if name == "one.png" else -1]).save(folder.photographs / name)
    folder.build()
    for name in names:
        assert (image_of(folder, name) == read_image(folder.photographs / name)[:, :, 0]).all()


def test_an_upright_png_is_copied_byte_for_byte(folder):
    folder.draw_all()
    report = folder.build()
    for image, name in zip(report.photographs["image"], report.photographs["photograph"], strict=True):
        assert (folder.out / image).read_bytes() == (folder.photographs / name).read_bytes()


def turned_photograph(folder, orientation: int = 6) -> None:
    (folder.photographs / "part4_9.png").unlink()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photograph(9).transpose(Image.Transpose.ROTATE_90).save(folder.photographs / "part4_9.jpg", exif=exif, quality=95)


@pytest.mark.parametrize("drawn_on", ["upright", "stored"])
def test_drawings_on_a_turned_photograph_are_turned_by_their_size(folder, drawn_on):
    turned_photograph(folder)
    path = folder.draw("part4_9_scratch.png", SCRATCH)
    if drawn_on == "stored":
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    folder.build()
    assert image_of(folder, "part4_9.jpg").shape == (HEIGHT, WIDTH, 3)
    assert facts(folder.out) == {"part4_9.jpg": EXPECTED["part4_9.png"]}


def test_outlines_on_a_turned_photograph_are_turned_by_the_size_they_state(folder):
    turned_photograph(folder)
    top, bottom, left, right = SCRATCH
    stored = (WIDTH - right, WIDTH - left, top, bottom)
    labelme(folder.masks / "part4_9.json", {"label": "scratch", "points": corners(stored)}, size=(WIDTH, HEIGHT))
    folder.build()
    assert facts(folder.out) == {"part4_9.jpg": EXPECTED["part4_9.png"]}


def test_a_turn_that_sizes_do_not_show_is_reported(folder):
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    (folder.photographs / "part4_9.png").unlink()
    photograph(9).transpose(Image.Transpose.ROTATE_180).save(folder.photographs / "part4_9.jpg", exif=exif)
    folder.draw("part4_9_scratch.png", SCRATCH)
    assert "part4_9.jpg: turned by its EXIF data" in folder.build().suspicious[0]


# -- sharing out ------------------------------------------------------------------------------------------------------


def split_of(report) -> dict[str, str]:
    return dict(zip(report.photographs["photograph"], report.photographs["split"], strict=True))


def test_a_seed_draws_the_same_split_wherever_the_folder_lies(folder, tmp_path):
    folder.draw_all()
    first = split_of(folder.build(seed=3))
    moved = tmp_path / "moved"
    shutil.copytree(folder.photographs, moved / "photographs")
    shutil.copytree(folder.masks, moved / "masks")
    shutil.copy(folder.description, moved)
    again = build_category(moved / "photographs", moved / "out", moved / folder.description.name, seed=3)
    assert split_of(again) == first
    others = [build_category(folder.photographs, tmp_path / f"{s}", folder.description, seed=s) for s in range(4, 8)]
    assert any(split_of(other) != first for other in others)


def test_shares_are_of_the_good_photographs(folder):
    folder.draw_all()
    folder.describe(split={"train": 0.5, "validation": 0.25})
    counts = pd.Series(split_of(folder.build())).value_counts().to_dict()
    assert counts == {"train": 4, "validation": 2, "test": 4}


@pytest.mark.parametrize("given_by", ["pattern", "file"])
@pytest.mark.parametrize("seed", range(5))
def test_photographs_of_a_part_stay_together(folder, given_by, seed):
    folder.draw("part4_8_missing_screw.png", SCREW)
    names = sorted(path.name for path in folder.photographs.iterdir())
    lines = [f"{name},{name.split('_')[0]}" for name in names]
    (folder.root / "parts.csv").write_text("\n".join(["photograph,part", *lines]) + "\n")
    folder.describe(parts={"pattern": r"^(part\d+)_"} if given_by == "pattern" else {"file": "parts.csv"})
    splits = pd.Series(split_of(folder.build(seed=seed)))
    assert splits.groupby(splits.index.str.split("_").str[0]).nunique().eq(1).all()
    assert splits["part4_9.png"] == "test"
    assert set(splits) == {"train", "validation", "test"}


def test_parts_of_unequal_size_come_near_the_shares():
    sizes = [10, 1, 1, 1, 2, 5, 5, 5, 5, 5]
    splits = np.array(draw_splits(sizes, 0.6, 0.2, tested=False, seed=0))
    counts = [int(np.array(sizes)[splits == split].sum()) for split in ("train", "validation", "test")]
    assert np.abs(np.array(counts) - [24, 8, 8]).max() <= 2


def test_parts_of_equal_size_come_as_near_the_shares_as_can_be():
    splits = draw_splits([2] * 14, 0.7, 0.1, tested=False, seed=0)  # 19.6, 2.8 and 5.6 of 28 photographs
    assert splits.count("train") == 10
    assert splits.count("validation") in (1, 2)


@pytest.mark.parametrize("sizes", [[1, 1, 1], [10, 1, 1], [9, 9, 9, 1]])
def test_no_split_is_empty(sizes):
    for seed in range(5):
        assert set(draw_splits(sizes, 0.7, 0.1, tested=False, seed=seed)) == {"train", "validation", "test"}


def test_too_few_photographs_are_an_error(folder):
    for number in range(2, 10):
        (folder.photographs / f"part{number // 2}_{number}.png").unlink()
    folder.draw("part0_0_scratch.png", SCRATCH)
    assert "train, validation and test need a part without a defect each, and there are 1" in folder.problems()


def test_folders_of_photographs_may_be_the_parts(folder):
    for path in sorted(folder.photographs.iterdir()):
        part, number = path.stem.split("_")
        path.parent.joinpath(part).mkdir(exist_ok=True)
        path.rename(path.parent / part / f"view{int(number) % 2}.png")
    folder.masks = folder.photographs / "masks"
    folder.draw("part4/view0_missing_screw.png", SCREW)
    folder.draw("part4/view1/scratch_1.png", SCRATCH)
    folder.describe(annotations="photographs/masks", parts={"pattern": r"^(.+)/"})
    report = folder.build()
    assert facts(folder.out) == {"part4/view0.png": EXPECTED["part4_8.png"], "part4/view1.png": EXPECTED["part4_9.png"]}
    assert report.photographs.groupby("part")["split"].nunique().tolist() == [1] * 5


# -- the report -------------------------------------------------------------------------------------------------------


def test_the_report_counts_and_stands_in_the_folder(folder):
    folder.draw_all()
    report = folder.build()
    assert (folder.out / "README.md").read_text() == report.text
    assert "| test | 1 | 1 | 1 |" in report.text
    assert "8 photographs have nothing drawn on them and count as good" in report.text
    assert "10 of 64 x 48" in report.text
    assert "| scratch | structural | 1 | 1 | 60 | 60 | 60 | 50% of the region |" in report.text
    assert "Suspicious" not in report.text


def test_suspicious_masks_are_named(folder):
    folder.draw_all()
    folder.draw("part4_8_scratch.png")
    folder.draw("part4_9_missing_screw.png", (0, 2, 44, 48))
    folder.draw("part3_7_scratch.png", (2, 62, 2, 46))
    report = folder.build()
    found = "\n".join(report.suspicious)
    assert f"{folder.masks / 'part4_8_scratch.png'}: empty, marks nothing" in found
    assert "part4_9_missing_screw.png: missing_screw: outside the object" in found
    assert "part4_9_missing_screw.png: missing_screw: tiny, a region of 8 pixels at row 0, column 44" in found
    assert "part3_7_scratch.png: scratch: covers 86% of the photograph" in found
    assert len(report.suspicious) == 4
    assert all(sentence in report.text for sentence in report.suspicious)


def test_a_photograph_whose_masks_mark_nothing_is_left_out_unless_the_description_says_good(folder):
    folder.draw_all()
    labelme(folder.masks / "part3_7.json")
    report = folder.build()
    row = report.photographs.set_index("photograph").loc["part3_7.png"]
    assert (row["image"], row["label"]) == ("", "left out")
    assert "## Left out, because their masks are empty: 1" in report.text
    assert len(load_category(folder.out).samples) == 9
    folder.describe(empty_masks="good")
    again = build_category(folder.photographs, folder.root / "again", folder.description)
    assert (again.photographs["label"] == "good").sum() == 8


def test_both_kinds_on_one_photograph_are_filed_as_logical_and_reported(folder):
    folder.draw_all()
    folder.draw("part4_8_scratch.png", SCRATCH)
    report = folder.build()
    assert "1 with logical and structural defects, filed under logical_anomalies: part4_8.png" in report.text
    assert [defect for defect, *_ in facts(folder.out)["part4_8.png"]] == ["missing_screw", "scratch"]


def test_the_same_picture_under_two_names_is_suspicious(folder):
    folder.draw_all()
    shutil.copy(folder.photographs / "part0_0.png", folder.photographs / "copy.png")
    assert "the same picture as" in folder.build().suspicious[0]


def test_files_that_are_no_photographs_are_listed(folder):
    folder.draw_all()
    (folder.photographs / "notes.txt").write_text("words")
    assert "notes.txt" in folder.build().text


def test_a_photograph_in_a_format_that_is_not_read_is_an_error(folder):
    folder.draw_all()
    (folder.photographs / "IMG_1.HEIC").write_bytes(b"phone")
    assert "IMG_1.HEIC: images of the format .heic are not read; convert it to PNG" in folder.problems()


def test_a_photograph_that_coco_does_not_list_is_suspicious(folder):
    as_coco_runs(folder)
    photograph(50).save(folder.photographs / "new.png")
    assert "new.png: in no COCO file" in folder.build().suspicious[0]


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_all_problems_come_at_once_and_nothing_is_left(folder):
    folder.draw_all()
    broken = folder.photographs / "part0_0.png"
    broken.write_bytes(broken.read_bytes()[:400])
    (folder.photographs / "part0_1.png").write_bytes(b"")
    folder.draw("part1_2_scratch.png", SCRATCH, shape=(WIDTH + 1, HEIGHT))
    folder.draw("part9_2_scratch.png", SCRATCH)
    folder.draw("part1_3_scrach.png", SCRATCH)
    write_mask(folder.masks / "part2_4_scratch.png", (*SCREW, 3), (*SCRATCH, 4))
    folder.describe(spilt={"train": 0.5})
    found = folder.problems()
    for fact in (
        f"{broken}: not readable as an image",
        f"{folder.photographs / 'part0_1.png'}: not readable as an image",
        "part1_2_scratch.png: drawn on 49 x 64 (height x width), but ",
        "part9_2_scratch.png: a mask without a photograph; <photograph>.png,",
        "part1_3_scrach.png: no defect 'scrach'; the description has missing_screw, scratch",
        "part2_4_scratch.png: one positive value expected in a mask of one defect, not 3, 4",
        f"{folder.description}: unknown key 'spilt'; there are defects, split, annotations, parts, empty_masks, bits",
    ):
        assert fact in found
    assert found.count("\n") == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"defects": None}, "`defects` is missing"),
        (
            {"defects": {"a": {"kind": "logical", "satuation_share": 1}}},
            "unknown key 'satuation_share'; there are kind,",
        ),
        ({"defects": {"a": None}}, "defects: a: its kind is missing"),
        ({"defects": {"a": {"kind": "logic"}}}, "kind is logical or structural, not 'logic'"),
        ({"defects": {"a": {"kind": ["logical"]}}}, "kind is logical or structural"),
        ({"defects": {"a": {"kind": "logical", "saturation_share": 40}}}, "saturation_share is above 0 and 1 at most"),
        ({"defects": {"a": {"kind": "logical", "saturation_share": 1, "saturation_pixels": 1}}}, "not both"),
        ({"defects": {name: {"kind": "logical", "grey": 3} for name in "ab"}}, "grey 3 belongs to more than one"),
        ({"split": {"train": 0.8, "validation": 0.2}}, "leave no good photograph for test"),
        ({"split": {"train": 70, "validation": 10}}, "shares are numbers above 0 and below 1"),
        ({"parts": {"pattern": "(part"}}, "no regular expression"),
        ({"parts": {"pattern": "part"}}, "needs one group in brackets"),
        ({"parts": {"pattern": r"piece(\d)"}}, "part0_0.png: the pattern of parts"),
        ({"parts": {"file": "gone.csv"}}, "gone.csv: not readable as a CSV of parts"),
        ({"annotations": "gone"}, "gone: no such folder or file"),
        ({"annotations": 3}, "annotations is the path of"),
        ({"annotations": None}, "no drawing of labelme or COCO"),
        ({"empty_masks": "bad"}, "empty_masks is left_out or good, not 'bad'"),
    ],
)
def test_a_description_that_is_wrong_says_where(folder, content, message):
    folder.draw_all()
    folder.describe(**content)
    assert message in folder.problems()


def test_a_name_of_a_defect_is_a_text(folder):
    folder.description.write_text("defects: {no: {kind: logical}, 3: {kind: logical}}")
    problems = []
    assert read_description(folder.description, problems).defects == {}
    assert [("not False" in problems[0]), ("not 3" in problems[1])] == [True, True]


def test_a_table_of_parts_is_held_against_the_photographs(folder):
    folder.draw_all()
    lines = [f"part{number // 2}_{number}.png,{number // 2}" for number in range(1, 10)]
    (folder.root / "parts.csv").write_text("\n".join(["photograph,part", *lines, "gone.png,7"]) + "\n")
    folder.describe(parts={"file": "parts.csv"})
    found = folder.problems()
    assert "part0_0.png: not in the table of parts" in found
    assert "its table of parts has gone.png" in found


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "dent", "points": corners(SCREW)}, "shape 1: no defect 'dent'"),
        ({"label": "scratch", "points": corners(SCREW), "shape_type": "linestrip"}, "shape of type 'linestrip'"),
        ({"label": "scratch", "points": [[1, 2], [3, 4]]}, "a polygon of 2 points"),
        ({"label": "scratch", "points": [[1, "x"]]}, "not as labelme writes it"),
        ({"points": []}, "not as labelme writes it"),
        ("scratch", "not as labelme writes it"),
    ],
)
def test_a_wrong_shape_of_labelme_is_named(folder, shape, message):
    labelme(folder.masks / "part4_9.json", shape)
    found = folder.problems()
    assert f"{folder.masks / 'part4_9.json'}: shape 1" in found
    assert message in found


def test_labelme_of_another_size_is_named(folder):
    labelme(folder.masks / "part4_9.json", {"label": "scratch", "points": corners(SCREW)}, size=(10**6, 10**6))
    assert "drawn on 1000000 x 1000000 (height x width), but" in folder.problems()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "annotation 70 (missing_screw, part4_8.png): no segmentation, at most a box"),
        ([[1, 2, 3]], "neither polygons nor a run-length code"),
        ([[1, 2, 3, 4]], "a polygon of fewer than three points"),
        ({"counts": [5, 5], "size": [HEIGHT, WIDTH]}, "10 pixels in the run-length code of an image of (64, 48)"),
        ({"counts": "~~", "size": [HEIGHT, WIDTH]}, "run-length code"),
        ({"counts": [5, 59], "size": [64]}, "a size of 1 numbers"),
        (7, "neither polygons nor a run-length code"),
    ],
)
def test_a_wrong_annotation_of_coco_is_named(folder, segmentation, message):
    folder.masks.mkdir()
    (folder.masks / "coco.json").write_text(json.dumps(coco(segmentation)))
    assert message in folder.problems()


def test_coco_of_other_photographs_and_categories_is_named(folder):
    folder.masks.mkdir()
    content = coco(runs_of(SCREW), categories=[{"id": 1, "name": "dent"}])
    content["images"][0]["file_name"] = "gone.png"
    (folder.masks / "coco.json").write_text(json.dumps(content))
    found = folder.problems()
    assert "coco.json: no photograph of the name gone.png" in found
    assert "annotation 70: no defect 'dent'" in found


def test_coco_with_one_id_for_two_images_is_refused(folder):
    folder.masks.mkdir()
    content = coco(runs_of(SCREW))
    content["images"][0]["id"] = 8
    (folder.masks / "coco.json").write_text(json.dumps(content))
    assert "coco.json: 2 images have the id 8" in folder.problems()


def test_coco_with_lists_where_numbers_belong_is_named(folder):
    folder.masks.mkdir()
    content = coco(runs_of(SCREW))
    content["annotations"][0]["image_id"] = [8]
    (folder.masks / "coco.json").write_text(json.dumps(content))
    assert "annotation 70: not as COCO defines it" in folder.problems()


def test_names_that_can_be_read_in_two_ways_are_refused(folder):
    folder.draw_all()
    photograph(70).save(folder.photographs / "part4_9_scratch.png")
    assert "part4_9_scratch.png: this name can be read in two ways" in folder.problems()


def test_a_photograph_drawn_on_in_two_ways_is_refused(folder):
    folder.draw_all()
    labelme(folder.masks / "part4_9.json", {"label": "scratch", "points": corners(SCRATCH)})
    found = folder.problems()
    assert "drawn on in more than one way: labelme file part4_9.json; masks of one defect each" in found


def test_masks_among_the_photographs_are_not_taken_for_photographs(folder):
    write_mask(folder.photographs / "part4_9_scratch.png", (*SCRATCH, 255))
    folder.describe(annotations=None)
    assert "part4_9_scratch.png: a mask of part4_9 by its name" in folder.problems()


def test_masks_with_unknown_greys_in_colour_or_as_jpeg_are_refused(folder):
    folder.describe(defects=GREYS)
    folder.draw("part4_8.png", SCREW, value=7)
    folder.masks.joinpath("part4_9.jpg").write_bytes(b"")
    Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0)).save(folder.masks / "part3_7.png")
    (folder.masks / "notes.json").write_text("{}")
    found = folder.problems()
    assert "part4_8.png: no defect has grey 7; the description has 255 (missing_screw), 100 (scratch)" in found
    assert "part4_9.jpg: a JPEG does not keep the values of a mask" in found
    assert "part3_7.png: a grey mask expected, not one in colours" in found
    assert "notes.json: neither of labelme" in found


def as_drawing_program(folder):
    return folder.masks / "part4_8_missing_screw.xcf", lambda path: path.write_bytes(b"gimp")


def as_other_format(folder):
    return folder.masks / "part4_8.xml", lambda path: path.write_text("<annotation/>")


def as_other_image_format(folder):
    return folder.masks / "part4_8_missing_screw.webp", lambda path: photograph(0).save(path)


def as_broken_link(folder):
    return folder.masks / "part4_8_missing_screw.png", lambda path: path.symlink_to(folder.root / "gone.png")


def as_unknown_subfolder(folder):
    return folder.masks / "new/part4_8_missing_screw.png", lambda path: write_mask(path, (*SCREW, 255))


def as_note(folder):
    return folder.masks / "done.txt", lambda path: path.write_text("words")


@pytest.mark.parametrize(
    "kind",
    [as_drawing_program, as_other_format, as_other_image_format, as_broken_link, as_unknown_subfolder, as_note],
    ids=lambda kind: kind.__name__,
)
def test_every_annotation_that_is_not_used_is_named(folder, kind):
    folder.draw("part4_9_scratch.png", SCRATCH)
    path, write = kind(folder)
    path.parent.mkdir(exist_ok=True)
    write(path)
    assert f"{path}: " in folder.problems()


def test_an_annotation_beside_the_photographs_that_is_not_used_is_named(folder):
    as_labelme_beside_the_photographs(folder)
    path = folder.photographs / "part3_7.xml"
    path.write_text("<annotation/>")
    assert f"{path}: not read as an annotation; export it as a PNG mask, labelme or COCO" in folder.problems()


def test_annotations_behind_links_are_used(folder):
    folder.draw_all()
    folder.masks.rename(folder.root / "store")
    folder.masks.mkdir()
    (folder.masks / "scratch").symlink_to(folder.root / "linked")
    (folder.root / "linked").mkdir()
    (folder.root / "store/part4_9_scratch.png").rename(folder.root / "linked/part4_9.png")
    (folder.masks / "part4_8_missing_screw.png").symlink_to(folder.root / "store/part4_8_missing_screw.png")
    (folder.root / "linked/up").symlink_to(folder.root / "linked")
    folder.build()
    assert facts(folder.out) == EXPECTED


def test_the_description_and_the_table_of_parts_may_be_among_the_annotations(folder):
    folder.draw_all()
    lines = [f"part{number // 2}_{number}.png,{number}" for number in range(10)]
    (folder.masks / "parts.csv").write_text("\n".join(["photograph,part", *lines]) + "\n")
    folder.description = folder.masks / "screws.yaml"
    folder.describe(annotations=".", parts={"file": "parts.csv"})
    folder.build()
    assert facts(folder.out) == EXPECTED


def test_photographs_behind_links_and_in_other_formats_are_used(folder):
    folder.draw_all()
    (folder.root / "store").mkdir()
    photograph(60).save(folder.root / "store/linked.webp", lossless=True)
    (folder.photographs / "day2").symlink_to(folder.root / "store")
    (folder.root / "store/up").symlink_to(folder.photographs)
    report = folder.build()
    assert "day2/linked.webp" in set(report.photographs["photograph"])
    assert len(report.photographs) == 11


def test_a_broken_link_among_the_photographs_is_named_once(folder):
    folder.draw_all()
    (folder.photographs / "part5_1.png").symlink_to(folder.root / "gone.png")
    assert folder.problems().count("part5_1.png: a broken link") == 1


def test_names_that_look_equal_are_matched(folder):
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    folder.describe(defects={decomposed: {"kind": "structural"}})
    (folder.photographs / "part4_9.png").rename(folder.photographs / f"{decomposed} 9.png")
    folder.draw(f"{composed} 9_{composed}.png", SCRATCH)
    folder.build()
    assert facts(folder.out) == {f"{composed} 9.png": [(composed, SCRATCH, 60)]}


def test_the_depth_is_taken_from_all_photographs_or_from_the_description(folder):
    folder.draw_all()
    for number, path in enumerate(sorted(folder.photographs.iterdir())):
        grey = np.asarray(photograph(number, "L")).astype(np.uint16)
        Image.fromarray(grey << 2).save(path)
    report = folder.build()
    assert "Depth: 10 bit, reduced to 8." in report.text
    assert (image_of(folder, "part0_0.png") == np.asarray(photograph(0, "L"))).all()
    shutil.rmtree(folder.out)
    folder.describe(bits=12)
    folder.build()
    assert (image_of(folder, "part0_0.png") == np.asarray(photograph(0, "L")) >> 2).all()
    shutil.rmtree(folder.out)
    folder.describe(bits=9)
    assert "bits is the depth of the camera, one of (8, 10, 12, 14, 16), not 9" in folder.problems()


def test_photographs_too_dark_to_tell_their_depth_ask_for_the_key(folder):
    folder.draw_all()
    Image.fromarray(np.full((HEIGHT, WIDTH), 300, dtype=np.uint16)).save(folder.photographs / "part4_9.png")
    assert "bits: 12" in folder.problems()


def test_a_mask_of_many_specks_becomes_a_region_each(folder):
    folder.draw_all()
    specks = [(row, row + 1, column, column + 1) for row in range(10, 54, 3) for column in range(10, 38, 3)]
    folder.draw("part3_7_scratch.png", *specks)
    report = folder.build()
    assert len(report.regions) == len(specks) + 2


def test_photographs_that_differ_in_their_ending_only_are_refused(folder):
    folder.draw_all()
    photograph(1).save(folder.photographs / "part0_1.jpg")
    assert "part0_1.png: another photograph has the same name but for its ending, part0_1.jpg" in folder.problems()


def test_nothing_is_overwritten(folder):
    folder.draw_all()
    folder.out.mkdir()
    (folder.out / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists; remove it, or name a path that does not exist"):
        folder.build()
    assert [path.name for path in folder.out.iterdir()] == ["mine.txt"]


def test_no_category_is_made_among_the_originals(folder):
    folder.draw_all()
    for inside in (folder.photographs / "out", folder.masks / "deep/out"):
        with pytest.raises(DataError, match="which stays unchanged"):
            build_category(folder.photographs, inside, folder.description)
    assert not list(folder.root.rglob("out"))


def test_originals_stay_as_they_are(folder):
    def digests() -> dict[Path, str]:
        roots = (folder.photographs, folder.masks)
        files = [path for root in roots for path in root.rglob("*")] + [folder.description]
        return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}

    folder.draw_all()
    turned_photograph(folder)
    before = digests()
    folder.build()
    assert digests() == before


class Interrupted(BaseException):
    """As Ctrl-C is: no ordinary exception."""


@pytest.mark.parametrize("reason", [Interrupted(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("moment", ["_write_photograph", "_file", "report_text"])
def test_nothing_is_left_of_an_unfinished_folder(folder, monkeypatch, reason, moment):
    folder.draw_all()
    before = set(folder.root.rglob("*"))

    def failing(*arguments):
        raise reason

    monkeypatch.setattr(building, moment, failing)
    with pytest.raises(type(reason)):
        folder.build()
    assert set(folder.root.rglob("*")) == before


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_report(folder, capsys):
    folder.draw_all()
    build(folder.photographs, folder.description, folder.out, seed=1)
    printed = capsys.readouterr().out
    assert (folder.out / "README.md").read_text() in printed
    assert str(folder.out) in printed
