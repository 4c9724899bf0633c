import numpy as np
import pytest

from iadlib.metrics import spro
from iadlib.metrics.saturation import growing_marks, saturation_table
from iadlib.types import Region

MASK = np.zeros((20, 30), dtype=bool)
MASK[4:14, 8:28] = True
REGION = Region(MASK, saturation_area=50)


def test_marks_grow_from_the_centre_inside_the_region():
    small, large, whole = growing_marks(REGION, [10, 60, 200])
    assert [mark.sum() for mark in (small, large, whole)] == [10, 60, 200]
    assert (small <= large).all()
    assert (whole == MASK).all()
    assert small[8:10, 17:19].all()


def test_the_table_is_the_spro_of_marks():
    table, whole = saturation_table(REGION), Region(MASK, 200)
    for mark in growing_marks(REGION, [0, 20, 50, 120]):
        share = mark.sum() / 200
        assert np.interp(share, table["share"], table["sPRO"]) == pytest.approx(spro(mark, REGION))
        assert np.interp(share, table["share"], table["PRO"]) == pytest.approx(spro(mark, whole))
