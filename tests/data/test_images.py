"""Photographs as arrays."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from iadlib.data import DataError, bit_depth, fit_size, load_images, mixed_orientations, read_image
from iadlib.data.images import read_header

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
    assert read_header(path).size == (64, 48)


def test_image_sizes_are_height_and_width_without_reading_pixels(save):
    path = save(np.zeros((64, 48), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:60])
    assert read_header(path).size == read_header(str(path)).size == (64, 48)


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
    for read in (read_image, read_header, lambda path: load_images([path], (64, 48))):
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


def test_data_is_imported_without_heavy_packages():
    heavy = {"torch", "matplotlib", "scipy.ndimage", "tifffile", "joblib"}
    code = f"import sys, iadlib.data; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- more than 8 bit --------------------------------------------------------------------------------------------------


def in_sixteen(values: np.ndarray, bits: int) -> np.ndarray:
    """Values of 8 bit as a camera of `bits` bits stores them, in uint16."""
    return values.astype(np.uint16) << (bits - 8) | values.astype(np.uint16) >> (16 - bits)


def write_deep(path, values: np.ndarray, compression=None, byteorder="<"):
    """uint16 (H, W), (H, W, 2) or (H, W, 3), as PNG or TIFF; Pillow writes no PNG of 16 bit with several channels."""
    if path.suffix == ".png":
        path.write_bytes(deep_png(values))
    else:
        photometric = "rgb" if values.ndim == 3 else "minisblack"
        tifffile.imwrite(path, values, compression=compression, byteorder=byteorder, photometric=photometric)
    return path


def deep_png(values: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[values.size // (height * width)]
    lines = np.frombuffer(values.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    lines = np.diff(lines, axis=0, prepend=np.zeros((1, lines.shape[1]), np.uint8))  # the filter "up"
    filtered = np.insert(lines, 0, 2, axis=1)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(filtered.tobytes())), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


COLOURS = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["grey", "rgb"])
@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_a_deep_photograph_is_read_as_its_copy_of_8_bit(tmp_path, bits, kind, name):
    values = COLOURS if kind == "rgb" else COLOURS[:, :, 0]
    path = write_deep(tmp_path / name, in_sixteen(values, bits))
    expected = values if kind == "rgb" else np.repeat(values[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_image(path, bits), expected)
    shifted = write_deep(tmp_path / f"shifted_{name}", values.astype(np.uint16) << (bits - 8))
    np.testing.assert_array_equal(read_image(shifted, bits), expected)


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"compression": "zlib"}])
def test_a_deep_tiff_may_be_compressed_and_of_either_byte_order(tmp_path, options):
    path = write_deep(tmp_path / "image.tif", in_sixteen(COLOURS, 12), **options)
    np.testing.assert_array_equal(read_image(path, 12), COLOURS)


def test_alpha_of_a_deep_png_is_dropped(tmp_path):
    deep = in_sixteen(COLOURS, 12)
    path = write_deep(tmp_path / "grey.png", deep[:, :, :2])
    np.testing.assert_array_equal(read_image(path, 12), np.repeat(COLOURS[:, :, :1], 3, axis=2))
    path = write_deep(tmp_path / "colours.png", np.concatenate([deep, deep[:, :, :1]], axis=2))
    np.testing.assert_array_equal(read_image(path, 12), COLOURS)


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_the_depth_is_never_taken_from_one_photograph(tmp_path, name):
    path = write_deep(tmp_path / name, in_sixteen(COLOURS, 12))
    with pytest.raises(DataError, match=rf"{name}: a photograph of more than 8 bit.* give the depth .* as `bits`"):
        read_image(path)


def test_a_value_beyond_the_depth_is_an_error(tmp_path):
    path = write_deep(tmp_path / "image.png", in_sixteen(COLOURS, 12))
    with pytest.raises(DataError, match=r"image\.png: its largest value 4095 is beyond 10 bit"):
        load_images([path], (64, 48), bits=10)


@pytest.mark.parametrize("bits", [0, 9, 32, "12"])
def test_a_depth_that_no_camera_has_is_refused(save, bits):
    with pytest.raises(ValueError, match="bits is the depth of a camera, 8, 10, 12, 14, 16 or None"):
        read_image(save(COLOURS), bits)


def test_photographs_of_8_bit_have_that_depth_whatever_bits_is(save):
    path = save(COLOURS)
    for bits in (None, 8, 12):
        np.testing.assert_array_equal(read_image(path, bits), COLOURS)


def test_the_depth_of_8_bit_photographs_needs_no_pixels(save):
    path = save(COLOURS)
    path.write_bytes(path.read_bytes()[:60])
    assert bit_depth([path]) == 8


@pytest.mark.parametrize(("largest", "bits"), [(200, 8), (600, 10), (2048, 12), (4095, 12), (9000, 14), (65535, 16)])
def test_the_depth_is_the_least_that_holds_all_photographs(tmp_path, largest, bits):
    dark = write_deep(tmp_path / "dark.png", np.full((64, 48), 100, dtype=np.uint16))
    bright = write_deep(tmp_path / "bright.tif", np.full((64, 48, 3), largest, dtype=np.uint16))
    assert bit_depth([dark, bright]) == bit_depth([bright, dark]) == bits


@pytest.mark.parametrize("largest", [100, 300, 1500, 20000])
def test_photographs_too_dark_to_tell_their_depth_ask_for_it(tmp_path, largest):
    path = write_deep(tmp_path / "dark.png", np.full((64, 48), largest, dtype=np.uint16))
    with pytest.raises(DataError, match=rf"dark\.png: {largest} is the largest value .* give the depth of the camera"):
        bit_depth([path])


def test_a_deep_tiff_in_separate_planes_is_refused(tmp_path):
    planes = in_sixteen(COLOURS, 12).transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(DataError, match=r"planes\.tif: this kind of 16 bit is not read; save it as a PNG"):
        read_image(tmp_path / "planes.tif", 12)


def test_photographs_upright_and_lying_are_warned_of():
    assert mixed_orientations([(64, 48), (100, 100), (64, 40)]) is None
    assert mixed_orientations([(64, 48), (48, 64), (48, 64)]).startswith(
        "photographs higher than wide: 1, wider than high: 2;"
    )


def test_a_file_of_several_pictures_is_refused(tmp_path):
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    for name in ("pages.tif", "moving.gif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        with pytest.raises(DataError, match=f"{name}: holds 2 pictures"):
            read_image(tmp_path / name)


def test_an_orientation_that_exif_does_not_know_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    Image.new("RGB", (8, 6)).save(tmp_path / "odd.jpg", exif=exif)
    assert read_header(tmp_path / "odd.jpg").size == (6, 8) == read_image(tmp_path / "odd.jpg").shape[:2]
