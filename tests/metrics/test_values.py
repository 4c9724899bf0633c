from math import nan

import pandas as pd
import pytest

from iadlib.metrics.values import long, wide


def values_of_two_entries() -> pd.DataFrame:
    images = pd.DataFrame({"name": ["000", "001"], "label": ["good", "logical"], "defect": ["good", "missing_hole"]})
    parts = [
        images.assign(category="nut", group=group, entry=entry, seed=seed, score=[seed, 0.5], au_spro=[nan, score])
        for group, entry, seed, score in (("member", "padim", 0, nan), ("pair", "a + b: features", 1, 0.25))
    ]
    table = pd.concat(parts, ignore_index=True).assign(regions=[0, 2] * 2)
    return table[["category", "group", "entry", "seed", "name", "label", "defect", "score", "au_spro", "regions"]]


def test_values_with_one_row_for_each_image_are_the_same_values(tmp_path):
    values = values_of_two_entries()
    wide(values).to_csv(tmp_path / "values.csv", index=False)
    table = pd.read_csv(tmp_path / "values.csv", dtype={"name": str})
    assert len(table) == 2
    pd.testing.assert_frame_equal(long(table), values, check_dtype=False)
    assert long(values) is values


def test_values_of_different_images_are_refused():
    values = values_of_two_entries()
    values.loc[3, "name"] = "002"
    with pytest.raises(ValueError, match="different images"):
        wide(values)
