"""Photographs without their background."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iadlib.commands.mask import MaskSettings, mask
from iadlib.data import DataError, background, black_out, find_object, load_category, mask_category, read_image
from iadlib.metrics import iou
from iadlib.rendering import rendered_category
from iadlib.rendering.flat_connector import silhouette
from tests.data.conftest import HEIGHT, WIDTH, write_image

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"
PLATE = np.zeros((HEIGHT, WIDTH), dtype=bool)
PLATE[16:50, 10:38] = True
HOLE = (slice(28, 36), slice(20, 28))


def noisy(background: int, seed: int = 0) -> np.ndarray:
    """A background of one brightness (64, 48, 3) with a little noise."""
    noise = np.random.default_rng(seed).normal(0, 3, (HEIGHT, WIDTH, 1))
    return np.clip(background + noise, 0, 255).astype(np.uint8).repeat(3, axis=2)


def plate(metal: int = 150, background: int = 30) -> np.ndarray:
    """A plate with a hole that shows the background, and noise on both."""
    image, ground = noisy(metal, seed=1), noisy(background)
    image[~PLATE] = ground[~PLATE]
    image[HOLE] = ground[HOLE]
    return image


def copy_of(category, out: Path, radius: float):
    """The one masked copy of a category."""
    mask_category(category, out, [radius])
    return load_category(out)


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("metal", "background"), [(150, 30), (60, 200), (150, 110)])
def test_a_plate_is_found_whether_brighter_or_darker_than_its_ground(metal, background):
    assert iou(find_object(plate(metal, background)), PLATE) > 0.95


def test_the_holes_of_the_object_belong_to_it():
    assert find_object(plate())[HOLE].all()


def test_lint_is_not_the_object():
    image = plate()
    lint = [(slice(5, 6), slice(4, 16)), (slice(54, 62), slice(41, 42)), (slice(52, 60), slice(20, 21))]
    for fibre in lint:
        image[fibre] = 170
    found = find_object(image)
    assert not any(found[fibre].any() for fibre in lint)
    assert iou(found, PLATE) > 0.95


def test_lint_that_touches_the_object_is_cut_off():
    image = plate()
    image[50:62, 20:21] = 170
    found = find_object(image)
    assert not found[53:, 20].any()
    assert found[30:48, 20].all()


def test_of_two_things_the_larger_is_the_object():
    image = plate()
    image[3:11, 4:44] = 150
    found = find_object(image)
    assert not found[3:11].any()
    assert found[PLATE].mean() > 0.95


def test_an_object_is_found_on_a_ground_of_its_own_brightness_but_another_colour():
    image = plate(110, 110).astype(int)
    image[PLATE] += (-25, 0, 25)
    assert iou(find_object(image.astype(np.uint8)), PLATE) > 0.9


def test_a_large_photograph_is_searched_reduced_and_its_silhouette_is_of_its_own_size():
    image = plate().repeat(9, axis=0).repeat(11, axis=1)[:-5, :-3]
    found = find_object(image)
    assert found.shape == (571, 525)
    assert found.dtype == bool
    assert iou(found, PLATE.repeat(9, axis=0).repeat(11, axis=1)[:-5, :-3]) > 0.95


def test_an_object_is_found_under_uneven_light():
    light = np.linspace(0.5, 1.5, WIDTH)[:, None]  # the ground at the right is brighter than the plate at the left
    assert iou(find_object((plate(130, 80) * light).astype(np.uint8)), PLATE) > 0.9


def test_the_same_photograph_has_the_same_silhouette_and_stays_as_it_is():
    image = plate()
    np.testing.assert_array_equal(find_object(image), find_object(image))
    np.testing.assert_array_equal(image, plate())


def test_a_cut_corner_is_no_part_of_the_silhouette():
    image, ground = plate(), noisy(30)
    cut = np.add.outer(np.arange(HEIGHT) - 16, np.arange(WIDTH) - 10) < 12
    image[cut] = ground[cut]
    found = find_object(image)
    assert found[PLATE & cut].mean() < 0.2
    assert found[PLATE & ~cut].mean() > 0.95


@pytest.mark.parametrize("image", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8), noisy(90)], ids=["uniform", "noise"])
def test_nothing_is_taken_away_where_there_is_no_object(image):
    found = find_object(image)
    assert found.shape == (HEIGHT, WIDTH)
    assert found.all()
    np.testing.assert_array_equal(black_out(image, found, 0), image)


def test_lint_alone_is_no_object():
    image = noisy(30)
    image[20:21, 10:22] = 170
    assert find_object(image).all()


def test_a_single_pixel_has_no_object():
    assert find_object(np.zeros((1, 1, 3), dtype=np.uint8)).all()


def test_find_object_wants_three_channels_of_8_bit():
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        find_object(np.zeros((HEIGHT, WIDTH, 3)))
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        find_object(np.zeros((HEIGHT, WIDTH), dtype=np.uint8))


def test_the_silhouette_of_a_rendering_is_found():
    category = rendered_category("flat_connector")
    paths = load_category(SAMPLE).of("train")["image"]
    for path in paths:
        image = read_image(path)
        scene = json.loads((SAMPLE / "scenes/train/good" / f"{path.stem}.json").read_text())
        assert iou(find_object(image), silhouette(scene, category.camera(image.shape[1]))) > 0.95


def test_the_radius_is_counted_from_the_outline_and_euclidean():
    one = np.zeros((HEIGHT, WIDTH), dtype=bool)
    one[30, 20] = True
    kept = black_out(np.full((HEIGHT, WIDTH, 3), 9, np.uint8), one, 5) > 0
    rows, columns = np.nonzero(kept.all(axis=2))
    assert np.hypot(rows - 30, columns - 20).max() == 5  # (3, 4) from it, for one
    assert len(rows) == 81  # whole-numbered points in a circle of radius 5
    assert (kept.all(axis=2) == kept.any(axis=2)).all()


def test_radius_0_keeps_the_silhouette_alone():
    image = noisy(90)
    np.testing.assert_array_equal(black_out(image, PLATE, 0), image * PLATE[:, :, None])


def test_a_radius_beyond_the_frame_keeps_everything():
    image = noisy(90)
    np.testing.assert_array_equal(black_out(image, PLATE, 1000), image)


def test_black_out_leaves_what_it_is_given_untouched():
    image, shape = noisy(90), PLATE.copy()
    masked = black_out(image, shape, 2)
    assert masked.dtype == np.uint8
    assert not np.shares_memory(masked, image)
    np.testing.assert_array_equal(image, noisy(90))
    np.testing.assert_array_equal(shape, PLATE)


@pytest.mark.parametrize("radius", [-1, float("nan"), float("inf")])
def test_a_radius_below_0_is_an_error(radius, tmp_path):
    with pytest.raises(ValueError, match="a radius is 0 pixels or more"):
        black_out(noisy(90), PLATE, radius)
    with pytest.raises(ValueError, match="a radius is 0 pixels or more"):
        mask_category(load_category(SAMPLE), tmp_path / "masked", [radius])
    assert not list(tmp_path.iterdir())


def test_a_silhouette_that_is_not_one_is_an_error():
    for other in (PLATE.T, PLATE.astype(np.uint8)):
        with pytest.raises(ValueError, match="boolean and of its size"):
            black_out(noisy(90), other, 1)
    with pytest.raises(ValueError, match="empty"):
        black_out(noisy(90), np.zeros_like(PLATE), 1)


def test_a_masked_category_has_the_regions_and_labels_of_the_original(tmp_path):
    before, category = everything_below(SAMPLE), load_category(SAMPLE)
    masked = copy_of(category, tmp_path / "deep/masked", 6)
    assert everything_below(SAMPLE) == before
    assert (masked.layout, masked.root) == ("mvtec_loco", tmp_path / "deep/masked")
    same = ["split", "label", "defect", "name", "has_mask"]
    assert masked.samples[same].equals(category.samples[same])
    for i in range(len(category.of("test"))):
        for copy, original in zip(masked.regions(i), category.regions(i), strict=True):
            assert (copy.defect_name, copy.saturation_area) == (original.defect_name, original.saturation_area)
            np.testing.assert_array_equal(copy.mask, original.mask)
    for copy, original in zip(masked.samples["image"], category.samples["image"], strict=True):
        image = read_image(original)
        np.testing.assert_array_equal(read_image(copy), black_out(image, find_object(image), 6))


def test_all_but_the_photographs_and_the_readme_is_copied_byte_for_byte(tmp_path):
    photographs = {str(path.relative_to(SAMPLE)) for path in load_category(SAMPLE).samples["image"]}
    mask_category(load_category(SAMPLE), tmp_path / "masked", [6])
    before, after = everything_below(SAMPLE), everything_below(tmp_path / "masked")
    masked = {str(Path(name).with_suffix(".png")) for name in photographs}  # a JPEG would smear the black
    assert after.keys() == before.keys() - photographs | masked
    kept = before.keys() - photographs
    assert {name for name in kept if before[name] != after[name]} == {"README.md"}
    assert after["README.md"].endswith(before["README.md"])
    assert b"6 pixels" in after["README.md"]
    assert [path.name for path in tmp_path.iterdir()] == ["masked"]


def test_mvtec_ad_is_masked_too_and_a_jpeg_becomes_a_png(mvtec_ad, tmp_path):
    Image.fromarray(plate()).save(mvtec_ad / "train/good/12.jpg")
    masked = copy_of(load_category(mvtec_ad, validation_fraction=0), tmp_path / "masked", 2)
    assert masked.layout == "mvtec_ad"
    assert len(masked.samples) == 17
    assert [len(masked.regions(i)) for i in range(4)] == [1, 0, 0, 2]
    copy = read_image(tmp_path / "masked/train/good/12.png")
    assert not copy[0].any()
    assert copy[18, 12].all()
    assert not (tmp_path / "masked/train/good/12.jpg").exists()


def test_folders_that_are_links_are_copied_too(mvtec_ad, tmp_path):
    (mvtec_ad / "train/good").rename(tmp_path / "elsewhere")
    (mvtec_ad / "train/good").symlink_to(tmp_path / "elsewhere")
    before = everything_below(tmp_path / "elsewhere")
    assert len(copy_of(load_category(mvtec_ad), tmp_path / "masked", 2).samples) == 16
    assert everything_below(tmp_path / "elsewhere") == before


def test_magnetic_tiles_have_no_background(magnetic_tile, tmp_path):
    with pytest.raises(DataError, match="no background to black out"):
        mask_category(load_category(magnetic_tile), tmp_path / "masked", [2])


def test_nothing_is_overwritten(mvtec_loco, tmp_path):
    write_image(tmp_path / "masked/mine.png")
    before = everything_below(tmp_path)
    with pytest.raises(FileExistsError, match="masked exists; remove it, or name a path that does not exist"):
        mask_category(load_category(mvtec_loco), tmp_path / "masked", [2])
    assert everything_below(tmp_path) == before


def test_the_original_folder_is_no_place_for_the_copy(mvtec_loco):
    before = everything_below(mvtec_loco)
    with pytest.raises(ValueError, match="name a folder elsewhere"):
        mask_category(load_category(mvtec_loco), mvtec_loco / "masked", [2])
    assert everything_below(mvtec_loco) == before


def test_a_failure_leaves_nothing_behind(mvtec_loco, tmp_path):
    (mvtec_loco / "test/good/001.png").write_bytes(b"no image")
    before = everything_below(tmp_path)
    with pytest.raises(DataError, match=r"good/001\.png: not readable as an image"):
        mask_category(load_category(mvtec_loco), tmp_path / "masked", [2])
    assert everything_below(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_a_folder_that_appears_meanwhile_is_not_overwritten(mvtec_loco, tmp_path, monkeypatch):
    def slow(image):
        (tmp_path / "masked").mkdir(exist_ok=True)
        (tmp_path / "masked/mine.txt").write_text("words")
        return find_object(image)

    monkeypatch.setattr(background, "find_object", slow)
    with pytest.raises(OSError, match="masked"):
        mask_category(load_category(mvtec_loco), tmp_path / "masked", [2])
    assert everything_below(tmp_path / "masked") == {"mine.txt": b"words"}


def test_the_command_masks_a_folder(mvtec_loco, tmp_path, capsys):
    mask(mvtec_loco, [2.5], tmp_path / "masked")
    assert "plug: 11 photographs, black beyond 2.5 pixels from the object" in capsys.readouterr().out
    assert len(load_category(tmp_path / "masked").samples) == 11


def test_several_radii_make_a_copy_each_and_a_plain_one(mvtec_ad, tmp_path):
    for number in range(3):
        Image.fromarray(plate()).save(mvtec_ad / f"train/good/{number}.png")
    category = load_category(mvtec_ad)
    without = mask_category(category, tmp_path / "masked", [0, 2.5])
    assert sorted(path.name for path in (tmp_path / "masked").iterdir()) == ["none", "radius_0", "radius_2.5"]
    assert everything_below(tmp_path / "masked/none") == everything_below(mvtec_ad)
    for radius in (0, 2.5):
        mask_category(category, tmp_path / f"alone_{radius}", [radius])
        copy = everything_below(tmp_path / f"masked/radius_{radius}")
        assert copy == everything_below(tmp_path / f"alone_{radius}")
    assert len(without) == 13
    assert mvtec_ad / "train/good/1.png" not in without


def test_one_radius_may_have_a_plain_copy_beside_it(mvtec_loco, tmp_path):
    mask_category(load_category(mvtec_loco), tmp_path / "masked", [8], with_unmasked=True)
    assert sorted(path.name for path in (tmp_path / "masked").iterdir()) == ["none", "radius_8"]
    assert load_category(tmp_path / "masked/none").samples["name"].equals(load_category(mvtec_loco).samples["name"])


@pytest.mark.parametrize("radii", [[], [1, 1.0]])
def test_radii_differ_from_each_other(mvtec_loco, tmp_path, radii):
    with pytest.raises(ValueError, match="several different ones"):
        mask_category(load_category(mvtec_loco), tmp_path / "masked", radii)


def test_a_link_to_a_parent_makes_no_endless_copy(mvtec_loco, tmp_path):
    (mvtec_loco / "test/good/up").symlink_to(mvtec_loco)
    copy = copy_of(load_category(mvtec_loco), tmp_path / "masked", 2)
    assert len(copy.samples) == 11


def test_photographs_of_10_bit_are_masked_as_their_copies_of_8_bit(mvtec_loco, tmp_path):
    for path in load_category(mvtec_loco).samples["image"]:
        Image.fromarray(plate()[:, :, 0].astype(np.uint16) << 2).save(path)
    deep = copy_of(load_category(mvtec_loco), tmp_path / "deep", 2)
    for path in load_category(mvtec_loco).samples["image"]:
        Image.fromarray(plate()).save(path)
    flat = copy_of(load_category(mvtec_loco), tmp_path / "flat", 2)
    assert (deep.images("test", (64, 48)) == flat.images("test", (64, 48))).all()


def test_the_unmasked_copy_of_dark_photographs_of_12_bit_keeps_their_given_depth(mvtec_loco, tmp_path):
    for path in mvtec_loco.rglob("good/*.png"):
        Image.fromarray(plate()[:, :, 0].astype(np.uint16)).save(path)  # 8 of 12 bit: their depth does not show
    category = load_category(mvtec_loco, bits=12)
    mask_category(category, tmp_path / "masked", [500.0], with_unmasked=True)
    expected = category.images("train", (64, 48))
    assert (load_category(tmp_path / "masked/none").images("train", (64, 48)) == expected).all()
    assert (load_category(tmp_path / "masked/radius_500").images("train", (64, 48)) == expected).all()


@pytest.mark.parametrize("radii", [(), (2, 2), (1, -2)])
def test_settings_of_the_command_need_different_radii_of_0_or_more(radii):
    with pytest.raises(ValueError, match=r"radii .*: one or more different numbers of pixels, 0 or more"):
        MaskSettings(radii=radii)
