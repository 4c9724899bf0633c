"""The size at which half of the defects are found."""

import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import found_share, half_sizes


def drawn(half: float, seeds: int = 2, images: int = 60) -> pd.DataFrame:
    """Defects of sizes from 0.5 to 8, found with a probability that is 1/2 at `half`."""
    rng = np.random.default_rng(0)
    size = np.geomspace(0.5, 8, images)
    parts = [
        pd.DataFrame(
            {"name": [f"{i}" for i in range(images)], "size": size, "seed": seed, "method": "it", "defect": "scratch"}
        ).assign(found=rng.random(images) < found_share(size, 4.0, -4 * np.log(half)))
        for seed in range(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_size_is_found_again_inside_its_interval():
    [row] = half_sizes(drawn(2.0), resamples=50).itertuples()
    assert row.half == pytest.approx(2.0, rel=0.2)
    assert row.low < row.half < row.high
    assert (row.smallest, row.largest) == (0.5, 8)
    assert found_share([row.half], row.a, row.b) == pytest.approx(0.5)


@pytest.mark.parametrize(("found", "half"), [(True, 0.0), (False, np.inf)])
def test_all_or_none_found_has_no_size_among_those_drawn(found, half):
    [row] = half_sizes(drawn(2.0).assign(found=found), resamples=5).itertuples()
    assert row.half == row.low == row.high == half
    assert row.share == found


def test_every_combination_of_the_columns_has_a_row():
    both = pd.concat([drawn(1.0), drawn(4.0).assign(method="other")])
    table = half_sizes(both, ["method"], resamples=5)
    assert table["method"].tolist() == ["it", "other"]
    assert table["half"][0] < table["half"][1]
