"""Anomaly maps that any program wrote."""

import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from iadlib.data import DataError, read_map

VALUES = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)


def test_a_tiff_of_any_number_type_becomes_float32(tmp_path):
    for dtype in (np.float16, np.float32, np.float64, np.uint8, np.int16, np.uint16):
        path = tmp_path / f"{np.dtype(dtype).name}.tiff"
        tifffile.imwrite(path, (VALUES * 10 + 50).astype(dtype))
        found = read_map(tmp_path, path.stem)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, (VALUES * 10 + 50).astype(dtype).astype(np.float32))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", None])
def test_a_compressed_tiff_is_read(tmp_path, compression):
    Image.fromarray(VALUES).save(tmp_path / "map.tif", compression=compression)
    np.testing.assert_array_equal(read_map(tmp_path, "map"), VALUES)


@pytest.mark.parametrize("shape", [(1, 64, 48), (64, 48, 1)])
def test_an_axis_of_length_1_is_dropped(tmp_path, shape):
    np.savez(tmp_path / "maps.npz", **{"good/000": VALUES.reshape(shape)})
    np.testing.assert_array_equal(read_map(tmp_path / "maps.npz", "good/000"), VALUES)


def test_a_map_one_pixel_wide_keeps_its_shape(tmp_path):
    np.savez(tmp_path / "maps.npz", **{"good/000": VALUES[:, :1]})
    assert read_map(tmp_path / "maps.npz", "good/000").shape == (64, 1)


@pytest.mark.parametrize("ending", [".tiff", ".tif", ".TIF"])
def test_maps_in_a_folder_are_found_by_the_name_of_their_image(tmp_path, ending):
    (tmp_path / "good").mkdir()
    tifffile.imwrite(tmp_path / f"good/lot.7{ending}", VALUES)
    np.testing.assert_array_equal(read_map(tmp_path, "good/lot.7"), VALUES)


def test_names_that_look_equal_are_equal(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    tifffile.imwrite(tmp_path / f"{decomposed}.tiff", VALUES)
    np.savez(tmp_path / "maps.npz", **{decomposed: VALUES})
    np.testing.assert_array_equal(read_map(tmp_path, composed), VALUES)
    np.testing.assert_array_equal(read_map(tmp_path / "maps.npz", composed), VALUES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_the_file(tmp_path, value):
    broken = VALUES.copy()
    broken[3, 4] = value
    tifffile.imwrite(tmp_path / "map.tiff", broken)
    with pytest.raises(DataError, match=r"map\.tiff: 1 of 3072 values are NaN or infinite"):
        read_map(tmp_path, "map")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_broken_archive_is_named(tmp_path, content):
    (tmp_path / "maps.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"maps\.npz: not readable as an \.npz file of arrays"):
        read_map(tmp_path / "maps.npz", "good/000")


def test_a_damaged_array_is_named(tmp_path):
    path = tmp_path / "maps.npz"
    np.savez_compressed(path, **{"good/000": VALUES})
    content = bytearray(path.read_bytes())
    content[500:600] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"maps\.npz: not readable as an \.npz"):
        read_map(path, "good/000")


def test_pickled_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "maps.npz", **{"good/000": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_map(tmp_path / "maps.npz", "good/000")


def test_a_missing_map_is_named(tmp_path):
    np.savez(tmp_path / "maps.npz", **{f"good/{number:03}": VALUES for number in range(5)})
    with pytest.raises(DataError, match=r"no array 'good/007'; it has 5 arrays: good/000, good/001, good/002 \.\.\."):
        read_map(tmp_path / "maps.npz", "good/007")
    with pytest.raises(DataError, match=r"good/007\.tiff: no such anomaly map"):
        read_map(tmp_path, "good/007")
    with pytest.raises(DataError, match=r"gone\.npz: no such file of anomaly maps"):
        read_map(tmp_path / "gone.npz", "good/007")


@pytest.mark.parametrize("values", [np.zeros((2, 64, 48), np.float32), np.zeros(64, np.float32)])
def test_a_map_of_another_shape_is_refused(tmp_path, values):
    np.savez(tmp_path / "maps.npz", a=values)
    with pytest.raises(DataError, match=r"the array 'a': a map \(H, W\) of one channel expected, not"):
        read_map(tmp_path / "maps.npz", "a")


def test_a_file_that_is_no_tiff_is_named(tmp_path):
    (tmp_path / "map.tiff").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"map\.tiff: not a readable TIFF"):
        read_map(tmp_path, "map")
