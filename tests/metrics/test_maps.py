"""Maps at the size of their photographs."""

import numpy as np
import pytest

from iadlib.metrics import resize_maps


def test_new_pixel_centres_are_interpolated_and_the_border_repeats():
    [resized] = resize_maps(np.arange(6, dtype=np.float32).reshape(1, 2, 3), [(4, 6)])
    assert resized.shape == (4, 6)
    # Pixels are areas: new centres lie a quarter of an old pixel beside the old ones.
    np.testing.assert_allclose(resized[0], [0, 0.25, 0.75, 1.25, 1.75, 2])
    np.testing.assert_allclose(resized[:, 0], [0, 0.75, 2.25, 3])


def test_a_map_of_the_right_size_stays_as_it_is():
    heat = np.random.default_rng(0).random((1, 5, 7), np.float32)
    assert np.array_equal(resize_maps(heat, [(5, 7)])[0], heat[0])


def test_every_photograph_has_its_own_size():
    maps = resize_maps(np.zeros((2, 4, 4), np.float32), [(8, 6), (5, 9)])
    assert [heat.shape for heat in maps] == [(8, 6), (5, 9)]
    assert maps[-1].shape == (5, 9)


def test_maps_without_a_size_are_an_error():
    with pytest.raises(ValueError, match="2 maps for the sizes of 1 images"):
        resize_maps(np.zeros((2, 4, 4), np.float32), [(8, 6)])
