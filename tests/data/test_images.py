"""Photographs as arrays."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from iadlib.data import DataError, fit_size, image_sizes, load_images, read_image

ORIENTATION = 0x0112


@pytest.fixture
def save(tmp_path):
    def save(values, name="image.png", mode=None, **options):
        path = tmp_path / name
        image = Image.fromarray(values)
        (image.convert(mode) if mode else image).save(path, **options)
        return path

    return save


def test_grey_becomes_three_equal_channels(save):
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    image = read_image(save(grey))
    assert image.dtype == np.uint8
    assert (image == grey[:, :, None]).all()
    assert image.shape == (64, 48, 3)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_by_its_whole_range(save, ending):
    values = np.full((64, 48), 65535, dtype=np.uint16)
    values[0, 0], values[0, 1] = 0, 257 * 100
    image = read_image(save(values, f"image.{ending}"))
    assert image[0, 0, 0] == 0
    assert image[0, 1, 0] == 100
    assert image[1, 1].tolist() == [255, 255, 255]


def test_floating_point_pixels_are_refused(save):
    path = save(np.ones((64, 48), dtype=np.float32), "depth.tif")
    with pytest.raises(DataError, match=r"depth\.tif: pixel values of 8 or 16 bit expected"):
        read_image(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_every_usual_mode_becomes_rgb(save, mode):
    image = read_image(save(np.full((64, 48, 3), 255, dtype=np.uint8), mode=mode))
    assert image.shape == (64, 48, 3)
    assert (image == 255).all()


def test_alpha_is_dropped_and_not_blended(save):
    values = np.full((64, 48, 4), 200, dtype=np.uint8)
    values[:, :, 3] = 0
    assert (read_image(save(values)) == 200).all()


def test_a_palette_with_transparent_entries_keeps_its_colours(save):
    path = save(np.full((64, 48, 3), 255, dtype=np.uint8), mode="P", transparency=b"\x00\x80")
    assert (read_image(path) == 255).all()


@pytest.mark.parametrize("name", ["image.jpg", "image.png", "image.tif"])
def test_exif_orientation_is_applied_to_pixels_and_sizes(save, name):
    values = np.zeros((48, 64, 3), dtype=np.uint8)
    values[:, :16] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # upright after a quarter turn clockwise: left becomes top
    path = save(values, name, exif=exif)
    image = read_image(path)
    assert image.shape == (64, 48, 3)
    assert image[4].min() > 240
    assert image[40].max() < 15
    assert image_sizes([path]) == [(64, 48)]


def test_image_sizes_are_height_and_width_without_reading_pixels(save):
    path = save(np.zeros((64, 48), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:60])
    assert image_sizes([path, str(path)]) == [(64, 48), (64, 48)]


@pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.bmp", "image.tif"])
def test_a_truncated_image_is_named(save, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    path = save(noise, name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{name}: not readable as an image"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for read in (read_image, lambda path: image_sizes([path]), lambda path: load_images([path], (64, 48))):
        with pytest.raises(DataError, match=r"broken\.png: not readable as an image"):
            read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: no such image"):
        load_images([tmp_path / "gone.png"], (64, 48))


def test_load_images_gives_a_constant_image_back_at_any_size(save):
    paths = [save(np.full((64, 48, 3), value, dtype=np.uint8), f"{value}.png") for value in (0, 51, 255)]
    images = load_images(paths, (32, 96))
    assert images.dtype == torch.float32
    assert images.shape == (3, 3, 32, 96)
    expected = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1).expand_as(images)
    torch.testing.assert_close(images, expected)


def test_load_images_at_their_own_size_changes_no_pixel(save):
    values = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    [image] = load_images([save(values)], (64, 48))
    assert (np.rint(image.numpy() * 255).astype(np.uint8) == values.transpose(2, 0, 1)).all()
    assert 0 <= image.min() <= image.max() <= 1


def test_load_images_averages_what_it_makes_smaller(save):
    stripes = np.zeros((64, 48), dtype=np.uint8)
    stripes[:, ::2] = 255
    images = load_images([save(stripes)], (16, 12))
    assert (images - 0.5).abs().max() < 0.05


def test_load_images_of_nothing_is_an_empty_batch():
    assert load_images([], (64, 48)).shape == (0, 3, 64, 48)


@pytest.mark.parametrize(
    ("sizes", "image_size", "expected"),
    [
        ([(1000, 1000)], 224, (224, 224)),
        ([(1000, 2000)], 224, (160, 320)),
        ([(128, 288)], 224, (128, 288)),
        ([(64, 48)], 224, (64, 32)),
        ([(10, 20)], 224, (32, 32)),
        ([(100, 400), (110, 400), (5000, 400)], 224, (96, 384)),
        ([(1000, 2000)], [100, 50], (100, 50)),
    ],
)
def test_fit_size_keeps_shape_and_never_enlarges(sizes, image_size, expected):
    assert fit_size(sizes, image_size) == expected


def test_fit_size_rounds_to_the_multiple_that_is_asked_for():
    assert fit_size([(1000, 1000)], 100, multiple=16) == (96, 96)


@pytest.mark.parametrize("image_size", [0, -5, [224], (224, 0), (1, 2, 3)])
def test_fit_size_refuses_sizes_that_are_none(image_size):
    with pytest.raises(ValueError, match="image_size is"):
        fit_size([(64, 48)], image_size)


def test_fit_size_without_photographs_asks_for_a_pair():
    with pytest.raises(DataError, match="no photographs"):
        fit_size([], 224)


def test_data_is_imported_without_torch():
    code = "import sys, iadlib.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
