"""The share of the highest defect-free pixels that lies on the background."""

import numpy as np
import pytest

from iadlib.metrics import background_share
from iadlib.types import Region

PART = np.zeros((10, 10), bool)
PART[:, 5:] = True


def test_the_highest_pixels_of_all_images_are_pooled():
    on_part, on_background = np.where(PART, 1.0, 0.0), np.where(PART, 0.0, 2.0)
    share, area = background_share([on_part, on_background], [[], []], [PART, PART], highest_share=0.5)
    assert (share, area) == (0.5, 0.5)
    assert background_share([on_part, on_background], [[], []], [PART, PART], highest_share=0.1)[0] == 1


def test_defective_pixels_do_not_count():
    heat = np.where(PART, 1.0, 0.0)
    heat[0, 0] = 9
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = True
    share, area = background_share([heat], [[Region(mask, 1)]], [PART], highest_share=0.1)
    assert share == 0
    assert area == pytest.approx(49 / 99)


def test_ties_are_taken_in_the_order_of_the_pixels():
    assert background_share([np.zeros((10, 10))], [[]], [PART], highest_share=0.05)[0] == 1
