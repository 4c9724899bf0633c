"""Three layouts, read into one table."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iadlib.data import DataError, load_category
from tests.data.conftest import write_image, write_mask

LOCO_DEFECTS = ("logical_anomalies", "structural_anomalies")
COLUMNS = ["image", "split", "label", "defect", "name", "masks", "has_mask"]


def counts(category) -> dict:
    return category.samples.groupby(["split", "label"]).size().to_dict()


def everything_below(folder: Path) -> dict:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


def test_mvtec_ad_is_recognised_and_counted(mvtec_ad):
    category = load_category(mvtec_ad)
    assert (category.name, category.layout, category.root) == ("bolt", "mvtec_ad", mvtec_ad)
    assert list(category.samples.columns) == COLUMNS
    assert counts(category) == {
        ("test", "good"): 2,
        ("test", "structural"): 2,
        ("train", "good"): 10,
        ("validation", "good"): 2,
    }
    assert category.of("test")["name"].tolist() == ["dent/000", "good/000", "good/001", "scratch/000"]
    assert category.of("test")["defect"].tolist() == ["dent", "good", "good", "scratch"]
    assert category.of("test")["has_mask"].tolist() == [True, False, False, True]


def test_mvtec_loco_is_recognised_and_counted(mvtec_loco):
    category = load_category(str(mvtec_loco))
    assert (category.name, category.layout) == ("plug", "mvtec_loco")
    assert list(category.samples.columns) == COLUMNS
    assert counts(category) == {
        ("test", "good"): 2,
        ("test", "logical"): 2,
        ("test", "structural"): 1,
        ("train", "good"): 3,
        ("validation", "good"): 3,
    }
    masks = category.of("test")["masks"]
    assert [path.name for path in masks[2]] == ["000.png", "001.png"]
    assert masks[0] == ()


def test_magnetic_tile_is_recognised_and_counted(magnetic_tile):
    category = load_category(magnetic_tile)
    assert category.layout == "magnetic_tile"
    assert list(category.samples.columns) == COLUMNS
    assert counts(category) == {
        ("test", "good"): 4,
        ("test", "structural"): 3,
        ("train", "good"): 13,
        ("validation", "good"): 3,
    }
    defective = category.of("test").query("label != 'good'")
    assert defective["name"].tolist() == ["MT_Blowhole/tile_1", "MT_Crack/tile_1", "MT_Crack/tile_2"]
    assert defective["defect"].tolist() == ["Blowhole", "Crack", "Crack"]
    assert defective["has_mask"].tolist() == [True, True, False]


def test_samples_are_in_natural_order(mvtec_ad):
    samples = load_category(mvtec_ad, validation_fraction=0).of("train")
    assert [path.name for path in samples["image"]] == [f"{number}.png" for number in range(12)]
    assert samples.index.tolist() == list(range(12))


def test_only_test_images_are_defective(mvtec_ad, mvtec_loco, magnetic_tile):
    for root in (mvtec_ad, mvtec_loco, magnetic_tile):
        samples = load_category(root).samples
        assert set(samples.loc[samples["split"] != "test", "label"]) == {"good"}


def test_every_image_is_in_one_split(mvtec_ad, mvtec_loco, magnetic_tile):
    for root, images in ((mvtec_ad, 16), (mvtec_loco, 11), (magnetic_tile, 23)):
        assert load_category(root).samples["image"].nunique() == len(load_category(root).samples) == images


def test_splits_depend_on_names_and_seed_alone(magnetic_tile, tmp_path):
    # A copy elsewhere, made in another order, so that the disk lists its files differently.
    copy = tmp_path / "elsewhere" / "tiles"
    for path in sorted(magnetic_tile.rglob("*.*"), reverse=True):
        target = copy / path.relative_to(magnetic_tile)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    columns = ["name", "split"]
    first = load_category(magnetic_tile, seed=3).samples[columns]
    assert first.equals(load_category(copy, seed=3).samples[columns])
    assert not first.equals(load_category(copy, seed=4).samples[columns])


def test_the_validation_fraction_is_a_share_of_train(mvtec_ad):
    for fraction, expected in ((0, 0), (0.01, 1), (0.5, 6), (0.99, 11)):
        category = load_category(mvtec_ad, validation_fraction=fraction)
        assert len(category.of("validation")) == expected
        assert len(category.of("train")) == 12 - expected


def test_a_single_training_image_stays_in_train(mvtec_ad):
    for number in range(1, 12):
        (mvtec_ad / f"train/good/{number}.png").unlink()
    assert len(load_category(mvtec_ad).of("train")) == 1


@pytest.mark.parametrize("fraction", [-0.1, 1, 2])
def test_an_impossible_validation_fraction_is_refused(mvtec_ad, fraction):
    with pytest.raises(ValueError, match="validation_fraction"):
        load_category(mvtec_ad, validation_fraction=fraction)


def test_a_validation_folder_is_used_as_it_stands(mvtec_ad):
    write_image(mvtec_ad / "validation/good/a.png")
    category = load_category(mvtec_ad)
    assert category.of("validation")["name"].tolist() == ["good/a"]
    assert len(category.of("train")) == 12


def test_a_category_with_only_a_test_split_can_be_read(mvtec_loco):
    shutil.rmtree(mvtec_loco / "train")
    shutil.rmtree(mvtec_loco / "validation")
    category = load_category(mvtec_loco)
    assert set(category.samples["split"]) == {"test"}
    assert len(category.regions(2)) == 2


def test_require_names_the_split_without_images(mvtec_loco):
    shutil.rmtree(mvtec_loco / "train")
    category = load_category(mvtec_loco)
    category.require("validation", "test")
    with pytest.raises(DataError, match=r"plug: no train images"):
        category.require("train", "validation")


def test_an_unknown_split_is_refused(mvtec_loco):
    with pytest.raises(ValueError, match="train, validation, test"):
        load_category(mvtec_loco).of("training")


def test_image_endings_are_read_in_any_case(mvtec_ad):
    for ending in ("PNG", "JPG", "jpeg", "Bmp", "TIF", "tiff"):
        write_image(mvtec_ad / f"test/good/image_{ending}.{ending}")
    assert len(load_category(mvtec_ad).of("test")) == 10


def test_hidden_and_foreign_files_are_ignored(mvtec_ad, mvtec_loco, magnetic_tile):
    for root, folder in ((mvtec_ad, "test/good"), (mvtec_loco, "test/good"), (magnetic_tile, "MT_Crack/Imgs")):
        before = load_category(root).samples
        for name in ("Thumbs.db", ".DS_Store", "._000.png", ".hidden.jpg", "notes.txt"):
            (root / folder / name).write_bytes(b"x")
        (root / ".git").mkdir()
        (root / "more").mkdir()
        assert load_category(root).samples.equals(before)


def test_masks_of_defect_free_tiles_are_ignored(magnetic_tile):
    (magnetic_tile / "MT_Free/Imgs/tile_0.png").write_bytes(b"no image")
    (magnetic_tile / "MT_Free/Imgs/tile_1.png").unlink()
    assert not load_category(magnetic_tile).samples.query("label == 'good'")["has_mask"].any()


def test_reading_leaves_the_folder_unchanged(mvtec_ad, mvtec_loco, magnetic_tile):
    for root in (mvtec_ad, mvtec_loco, magnetic_tile):
        before = everything_below(root)
        load_category(root).check()
        assert everything_below(root) == before


def test_the_name_is_the_folder_even_for_a_relative_path(mvtec_ad, monkeypatch):
    monkeypatch.chdir(mvtec_ad)
    category = load_category(".")
    assert category.name == "bolt"
    assert len(category.regions(0)) == 1


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        load_category(tmp_path / "nowhere")


def test_a_file_in_place_of_a_folder_is_named(mvtec_ad):
    with pytest.raises(DataError, match=r"license\.txt: a folder expected"):
        load_category(mvtec_ad / "license.txt")


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    with pytest.raises(DataError, match=rf"{tmp_path.name}: the folder is empty"):
        load_category(tmp_path)


def test_a_folder_of_no_known_layout_says_what_was_looked_for(tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/notes.txt").write_text("words")
    with pytest.raises(
        DataError, match=r"no known layout; looked for train/ .* defects_config\.json .* MT_<class>/Imgs/"
    ):
        load_category(tmp_path)


def test_the_parent_of_categories_names_them(mvtec_ad, mvtec_loco, tmp_path):
    with pytest.raises(DataError, match=r"themselves categories, choose one: bolt, plug"):
        load_category(tmp_path)


def test_a_category_without_any_image_says_so(tmp_path):
    (tmp_path / "train/good").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no images found; they end in \.png, \.jpg"):
        load_category(tmp_path)


def test_defective_photographs_may_have_no_mask(mvtec_ad, mvtec_loco, magnetic_tile):
    (mvtec_ad / "ground_truth/dent/000_mask.png").unlink()
    (mvtec_loco / "ground_truth/structural_anomalies/000/000.png").unlink()
    (magnetic_tile / "MT_Crack/Imgs/tile_1.png").unlink()
    for root, name, missing, defective in (
        (mvtec_ad, "dent/000", 1, 2),
        (mvtec_loco, "structural_anomalies/000", 1, 3),
        (magnetic_tile, "MT_Crack/tile_1", 2, 3),
    ):
        category = load_category(root)
        test = category.of("test").set_index("name")
        assert not test.loc[name, "has_mask"]
        assert category.regions(test.index.get_loc(name)) == []
        assert f"{missing} of {defective} defective photographs have no mask" in category.summary()


def test_a_category_needs_neither_masks_nor_their_rules(mvtec_ad, mvtec_loco):
    (mvtec_loco / "defects_config.json").unlink()
    for root, defects in ((mvtec_ad, ["dent", "scratch"]), (mvtec_loco, list(LOCO_DEFECTS))):
        shutil.rmtree(root / "ground_truth")
        category = load_category(root)
        category.check()
        assert not category.samples["has_mask"].any()
        assert sorted(set(category.defects()) - {"good"}) == defects


@pytest.mark.parametrize(
    ("layout", "mask"),
    [
        ("mvtec_ad", "ground_truth/dent/007_mask.png"),
        ("mvtec_ad", "ground_truth/dent/000.png"),
        ("mvtec_ad", "ground_truth/good/000_mask.png"),
        ("mvtec_ad", "ground_truth/hole/000_mask.png"),
        ("mvtec_loco", "ground_truth/logical_anomalies/007/000.png"),
        ("mvtec_loco", "ground_truth/logical_anomalies/000.png"),
        ("magnetic_tile", "MT_Crack/Imgs/tile_7.png"),
    ],
)
def test_a_mask_without_an_image_is_named(layout, mask, request):
    root = request.getfixturevalue(layout)
    write_mask(root / mask, (0, 4, 0, 4, 255))
    with pytest.raises(DataError) as caught:
        load_category(root)
    assert f"{root / mask}: a mask without a defective test image" in str(caught.value)


def test_an_unreadable_tile_mask_is_named(magnetic_tile):
    (magnetic_tile / "MT_Crack/Imgs/tile_1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"tile_1\.png: not readable as an image"):
        load_category(magnetic_tile)


def test_images_that_lie_beside_the_folders_are_named(mvtec_ad):
    write_image(mvtec_ad / "train/loose.png")
    with pytest.raises(DataError, match=r"loose\.png: not in a folder of train/; train/good/ expected"):
        load_category(mvtec_ad)


def test_unknown_folders_in_the_splits_are_named(mvtec_ad, mvtec_loco):
    write_image(mvtec_ad / "train/scratch/000.png")
    with pytest.raises(DataError, match=r"scratch: unknown folder; train/ holds good"):
        load_category(mvtec_ad)
    write_image(mvtec_loco / "test/scratch/000.png")
    with pytest.raises(DataError, match=r"scratch: unknown folder; test/ holds good, logical_anomalies"):
        load_category(mvtec_loco)


def test_two_images_of_one_name_are_named(mvtec_ad):
    write_image(mvtec_ad / "test/good/000.bmp")
    with pytest.raises(DataError, match=r"good/000\.png: another image here has the same name"):
        load_category(mvtec_ad)


def test_all_problems_stand_in_one_error_that_stays_short(mvtec_ad):
    for number in range(100, 130):
        write_mask(mvtec_ad / f"ground_truth/dent/{number}_mask.png", (0, 4, 0, 4, 255))
    with pytest.raises(DataError) as caught:
        load_category(mvtec_ad)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{mvtec_ad}: a category in mvtec_ad layout, but"
    assert lines[1].strip().startswith(f"{mvtec_ad / 'ground_truth/dent/100_mask.png'}: a mask without")
    assert lines[-1].strip() == "... and 20 more"
    assert len(lines) == 12


def test_check_passes_good_categories(mvtec_ad, mvtec_loco, magnetic_tile):
    for root in (mvtec_ad, mvtec_loco, magnetic_tile):
        assert load_category(root).check() is None


def test_check_lists_every_bad_file_once(mvtec_ad):
    truncated, no_image, mask = (
        mvtec_ad / name for name in ("train/good/3.png", "test/scratch/000.png", "ground_truth/dent/000_mask.png")
    )
    truncated.write_bytes(truncated.read_bytes()[:-30])
    no_image.write_bytes(b"no image")
    Image.new("L", (10, 10), 255).save(mask)
    category = load_category(mvtec_ad)
    with pytest.raises(DataError) as caught:
        category.check()
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 3
    for path in (truncated, no_image, mask):
        assert sum(line.strip().startswith(f"{path}: ") for line in lines) == 1


@pytest.mark.skipif(os.name != "posix", reason="capital letters need a file system that tells them apart")
def test_folders_that_differ_in_case_only_are_kept_apart(mvtec_ad):
    write_image(mvtec_ad / "test/Dent/000.png")
    write_mask(mvtec_ad / "ground_truth/Dent/000_mask.png", (0, 1, 0, 1, 255))
    assert load_category(mvtec_ad).of("test")["defect"].tolist()[:2] == ["Dent", "dent"]


# -- photographs of good parts alone ----------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Ten photographs, of which four are in a subfolder, and a file that is none."""
    root = tmp_path / "screws"
    for number in range(10):
        write_image(root / ("day2" if number > 5 else ".") / f"{number}.png")
    (root / "notes.txt").write_text("words")
    return root


def test_a_plain_folder_holds_photographs_of_good_parts(photographs):
    category = load_category(photographs)
    assert (category.name, category.layout) == ("screws", "photographs")
    assert list(category.samples.columns) == COLUMNS
    assert counts(category) == {("train", "good"): 8, ("validation", "good"): 2}
    assert category.of("test").empty
    assert set(category.samples["defect"]) == {"good"}
    assert {"0", "day2/6"} <= set(category.samples["name"])
    category.check()
    with pytest.raises(DataError, match="screws: no test images in this category"):
        category.require("test")


def test_validation_of_a_plain_folder_is_drawn_with_the_seed(photographs):
    drawn = {tuple(load_category(photographs, seed=seed).of("validation")["name"]) for seed in range(8)}
    assert len(drawn) > 1
    again = [load_category(photographs, seed=3).of("validation")["name"].tolist() for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("name", "advised"),
    [
        ("val", "validation"),
        ("Valid", "validation"),
        ("VALIDATION", "validation"),
        ("Train", "train"),
        ("eval", "validation"),
    ],
)
@pytest.mark.parametrize("layout", ["mvtec_ad", "mvtec_loco"])
def test_a_misnamed_split_is_refused(layout, name, advised, request):
    root = request.getfixturevalue(layout)
    write_image(root / f"{name}/good/900.png")
    with pytest.raises(DataError, match=f"/{name}: a split by its name, .* name it {advised} as in MVTec's layouts"):
        load_category(root)


@pytest.mark.parametrize("layout", ["magnetic_tile", "photographs"])
def test_a_split_that_no_other_name_would_make_one_is_refused(layout, request):
    root = request.getfixturevalue(layout)
    write_image(root / "val/good/900.png")
    with pytest.raises(DataError, match=r"/val: a split by its name, .* put its photographs beside the others"):
        load_category(root)


def test_misnamed_splits_alone_are_no_folder_of_good_parts(tmp_path):
    for name in ("Training/good/1.png", "Val/good/1.png"):
        write_image(tmp_path / name)
    with pytest.raises(DataError, match=r"/Training: .* name it train .*\n.*/Val: .* name it validation"):
        load_category(tmp_path)


@pytest.mark.parametrize("name", ["good", "OK"])
def test_a_folder_of_good_and_other_parts_is_not_taken_for_good_ones(photographs, name):
    write_image(photographs / name / "1.png")
    with pytest.raises(DataError, match="are not all of good parts by their names; name the folder of good"):
        load_category(photographs)


def test_a_folder_of_photographs_with_a_broken_link_is_an_error(photographs):
    (photographs / "day2/3.png").symlink_to(photographs / "gone.png")
    with pytest.raises(DataError, match=r"day2/3\.png: a broken link"):
        load_category(photographs)


# -- photographs that are easily overlooked ---------------------------------------------------------------------------


def test_photographs_in_subfolders_and_other_formats_are_used(mvtec_ad, mvtec_loco):
    for root, kind in ((mvtec_ad, "scratch"), (mvtec_loco, "structural_anomalies")):
        before = len(load_category(root).samples)
        Image.open(root / "train/good/1.png" if root == mvtec_ad else root / "train/good/001.png").save(
            root / "train/good/more.webp"
        )
        for name in ("train/good/day2/1.png", f"test/{kind}/day2/7.png"):
            write_image(root / name)
        mask = f"{kind}/day2/7_mask.png" if root == mvtec_ad else f"{kind}/day2/7/000.png"
        write_mask(root / "ground_truth" / mask, (0, 4, 0, 4, 255 if root == mvtec_ad else 1))
        category = load_category(root)
        assert len(category.samples) == before + 3
        test = category.of("test").set_index("name")
        assert test.loc[f"{kind}/day2/7", "has_mask"]
        assert len(category.regions(test.index.get_loc(f"{kind}/day2/7"))) == 1


@pytest.mark.parametrize("layout", ["mvtec_ad", "mvtec_loco", "magnetic_tile"])
@pytest.mark.parametrize(("name", "message"), [("x.png", "a broken link"), ("x.heic", "are not read; convert")])
def test_a_photograph_that_cannot_be_read_is_named(layout, name, message, request):
    root = request.getfixturevalue(layout)
    path = root / ("MT_Crack/Imgs" if layout == "magnetic_tile" else "test/good") / name
    path.symlink_to(root / "gone.png") if name == "x.png" else path.write_bytes(b"x")
    with pytest.raises(DataError, match=rf"{name}: .*{message}"):
        load_category(root)


def test_a_link_to_a_parent_makes_no_endless_walk(mvtec_ad):
    before = load_category(mvtec_ad).samples
    (mvtec_ad / "train/good/up").symlink_to(mvtec_ad / "train")
    assert load_category(mvtec_ad).samples.equals(before)


def test_names_that_look_equal_are_matched_and_may_not_be_used_twice(mvtec_ad):
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    write_image(mvtec_ad / f"test/dent/{composed}.png")
    write_mask(mvtec_ad / f"ground_truth/dent/{decomposed}_mask.png", (0, 4, 0, 4, 255))
    test = load_category(mvtec_ad).of("test").set_index("name")
    assert test.loc[f"dent/{composed}", "has_mask"]
    write_image(mvtec_ad / f"test/dent/{decomposed}.png")
    with pytest.raises(DataError, match="differ in their Unicode characters only"):
        load_category(mvtec_ad)


# -- what a category knows --------------------------------------------------------------------------------------------


def test_the_summary_counts_used_files_of_found_ones_in_every_split(mvtec_ad, mvtec_loco, magnetic_tile, photographs):
    (mvtec_ad / "train/good/notes.txt").write_text("words")
    (mvtec_ad / "test/scratch/copy.png").symlink_to(mvtec_ad / "test/scratch/000.png")
    lines = load_category(mvtec_ad).summary().splitlines()
    assert lines[0] == "bolt (mvtec_ad layout): 8 bit, 64 x 48 pixels (height x width)"
    assert "train: 12 of 13 files used: 10 train, 2 validation" in lines
    assert "test: 4 of 5 files used: 4 test (2 structural, 2 good)" in lines
    assert f"  not used: {mvtec_ad / 'train/good/notes.txt'}" in lines
    assert "validation: 3 of 3 files used: 3 validation" in load_category(mvtec_loco).summary()
    assert "photographs: 23 of 23 files used: 13 train, 3 validation, 7 test" in load_category(magnetic_tile).summary()
    assert "photographs: 10 of 11 files used: 8 train, 2 validation" in load_category(photographs).summary()


def test_the_summary_warns_of_copies(tmp_path):
    for number in range(6):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / f"{number}.bmp")  # all of the same length
    assert "warning" not in load_category(tmp_path).summary()
    shutil.copy(tmp_path / "2.bmp", tmp_path / "copy.bmp")
    shutil.copy(tmp_path / "2.bmp", tmp_path / "other.bmp")
    assert "warning: copies of other photographs: 2 of 8, " in load_category(tmp_path).summary()


def test_the_summary_warns_of_photographs_upright_and_lying(mvtec_ad):
    assert "higher than wide" not in load_category(mvtec_ad).summary()
    write_image(mvtec_ad / "train/good/lying.png", shape=(48, 64, 3))
    assert "warning: photographs higher than wide: 16, wider than high: 1;" in load_category(mvtec_ad).summary()


def test_images_and_sizes_of_a_split_are_in_the_order_of_its_samples(mvtec_ad):
    for number, path in enumerate(load_category(mvtec_ad).of("test")["image"]):
        write_image(path, 50 * number, shape=(64 + number, 48, 3))
    category = load_category(mvtec_ad)
    assert category.sizes("test") == [(64, 48), (65, 48), (66, 48), (67, 48)]
    assert len(category.sizes()) == 16
    images = category.images("test", (32, 48))
    assert images.shape == (4, 3, 32, 48)
    assert (images.mean(dim=(1, 2, 3)) * 255).round().tolist() == [0, 50, 100, 150]


def test_the_depth_belongs_to_the_category_as_a_whole(mvtec_ad):
    for path in load_category(mvtec_ad).samples["image"]:
        Image.fromarray(np.full((64, 48), 400, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match="too dark to tell a depth of 10 bit from a greater one"):
        _ = load_category(mvtec_ad).bits
    given = load_category(mvtec_ad, bits=12)
    assert given.bits == 12
    assert (given.images("train", (64, 48)) * 255 == 400 >> 4).all()
    Image.fromarray(np.full((64, 48), 1020, dtype=np.uint16)).save(mvtec_ad / "test/dent/000.png")
    category = load_category(mvtec_ad)
    assert category.bits == 10
    assert (category.images("train", (64, 48)) * 255 == 100).all()
    assert "10 bit" in category.summary()


def test_the_defect_of_a_test_image_is_that_of_its_regions(mvtec_loco, mvtec_ad):
    assert load_category(mvtec_loco).defects() == ["good", "good", "bent, missing", "bent", "scratch"]
    assert load_category(mvtec_ad).defects() == ["dent", "good", "good", "scratch"]


@pytest.mark.parametrize(
    "doubtful", ["anomaly/0.png", "Data/Masks/Anomaly/0.png", "Test/Scratch/0.png", "Label/0.PNG", "part0_label.png"]
)
def test_a_plain_folder_with_names_of_defects_or_masks_is_refused(tmp_path, doubtful):
    write_image(tmp_path / "normal/0.png")
    write_image(tmp_path / "normal/1.png")
    assert len(load_category(tmp_path).samples) == 2
    write_image(tmp_path / doubtful)
    with pytest.raises(
        DataError, match=rf"{Path(doubtful).name}: by its name, not a photograph of a good part, and 1 of"
    ):
        load_category(tmp_path)


def test_only_names_below_the_folder_itself_count(tmp_path):
    write_image(tmp_path / "test/labels/batch 1/0.png")
    assert len(load_category(tmp_path / "test/labels").samples) == 1
