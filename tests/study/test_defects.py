from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iadlib import figures
from iadlib.study import defects, open_category

SAMPLE = Path(__file__).parents[1] / "sample/flat_connector"


@pytest.fixture(scope="module")
def category():
    return open_category(SAMPLE)


@pytest.fixture(scope="module")
def scores(category):
    return defects.scores("quick", ["padim"], category, category, None, 0.05)


def simulated(half: float, spread: float = 0.15, count: int = 400, method: str = "one") -> pd.DataFrame:
    """Scratches of 6 to 40 mm, found by a detector that finds half of those of length `half`."""
    rng = np.random.default_rng(0)
    size = np.linspace(6, 40, count)
    chance = 1 / (1 + np.exp(-np.log(size / half) / spread))
    names = [f"structural_anomalies/{i:03d}" for i in range(count)]
    parts = [
        pd.DataFrame({"name": names, "seed": seed, "size": size, "found": rng.random(count) < chance})
        for seed in (0, 1)
    ]
    columns = {"method": method, "defect": "scratch", "strength": rng.uniform(0.2, 1, 2 * count), "pixels": 50}
    return pd.concat(parts, ignore_index=True).assign(**columns)


def test_the_size_at_which_half_are_found_is_recovered():
    [row] = defects.half_sizes(simulated(15.0)).itertuples()
    assert row.half == pytest.approx(15, rel=0.06)
    assert row.low < 15 < row.high
    assert row.high - row.low < 4


@pytest.mark.parametrize(("half", "shown"), [(1e-3, "< 6"), (1e5, "> 40")])
def test_a_size_beyond_all_that_were_drawn_is_not_made_up(half, shown):
    table = defects.half_table(defects.half_sizes(simulated(half)), pd.Series({"one": 0.1}))
    assert table.iloc[0, 0] == 0.1
    assert table.iloc[0, 1] == f"{shown} [{shown}, {shown}]"


def test_every_test_image_and_every_one_of_many_is_scored(scores, category):
    images = len(category.of("test"))
    assert scores["set"].value_counts().to_dict() == {"test": images, "many": images}
    assert scores["found"].dtype == bool


def test_the_numbers_that_a_defect_was_drawn_with_are_those_of_its_scene(category):
    drawn = defects.drawn_defects(category)
    assert len(drawn) == (category.of("test")["label"] != "good").sum()
    regions = dict(
        zip(category.of("test")["name"], map(category.regions, range(len(category.of("test")))), strict=True)
    )
    for row in drawn.itertuples():
        assert row.pixels == sum(region.mask.sum() for region in regions[row.name])
    assert drawn["strength"].notna().equals(drawn["defect"] == "scratch")


def test_tables_and_figures_hold_every_defect(scores, category, tmp_path):
    found = defects.found(scores, category)
    names = set(found["defect"])
    assert set(defects.aurocs(scores)["defect"]) == names
    assert len(defects.shares(found)) >= len(names)
    assert set(defects.by_contrast(found).columns) == {"padim"}
    assert 0 <= defects.false_alarm_rates(scores)["padim"] <= 1
    images, titles, regions = defects.worst_misses(found, category)
    assert len(images) == len(titles) == len(regions) == len(names)
    pair = pd.concat([simulated(15.0), simulated(25.0, method="two")])
    sizes = defects.half_sizes(pair)
    figures.detection_by_size(*defects.size_curves(pair, sizes)).savefig(tmp_path / "sizes.png")
    figures.size_and_strength(defects.scratches(pair)).savefig(tmp_path / "scratches.png")
    figures.defect_heat_map(defects.aurocs(scores), "image AUROC").savefig(tmp_path / "aurocs.png")
    figures.image_grid(*defects.false_alarms(scores, category)).savefig(tmp_path / "alarms.png")
    assert all(path.stat().st_size > 5_000 for path in tmp_path.iterdir())
