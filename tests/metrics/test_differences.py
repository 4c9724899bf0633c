"""Paired differences of entries over the same test images."""

import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import (
    Judged,
    au_spro,
    collect,
    difference,
    differences_to,
    image_auroc,
    judge_images,
    resampled_images,
)
from iadlib.metrics.differences import summarise_differences
from iadlib.types import Region

KINDS = np.repeat(["good", "logical", "structural"], [12, 8, 6])


def table(entry: str, seeds: int, shift: float, category: str = "parts") -> pd.DataFrame:
    parts = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, *entry.encode()])
        scores = rng.normal(size=len(KINDS)) + shift * (KINDS != "good")
        named = {"name": [f"{i}" for i in range(len(KINDS))], "label": KINDS, "score": scores}
        found = pd.DataFrame({**named, "au_spro": np.where(KINDS == "good", np.nan, rng.random(len(KINDS)))})
        regions = np.where(KINDS == "good", 0, 2)
        parts.append(found.assign(regions=regions, entry=entry, seed=seed, category=category))
    return pd.concat(parts, ignore_index=True)


def test_the_area_of_resampled_pairs_is_that_of_resampled_images():
    values = table("one", 2, 1.0)
    judged = Judged.of(values)
    chosen = next(resampled_images(KINDS, 1, seed=3))
    counts = np.bincount(chosen, minlength=len(KINDS))[None]
    for seed, part in values.groupby("seed"):
        scores = part["score"].to_numpy()[chosen]
        kept = KINDS[chosen] != "structural"
        expected = image_auroc(scores[kept], KINDS[chosen][kept] == "logical")
        assert judged.by_seed("image_auroc", "logical", counts)[0, seed] == pytest.approx(expected)


def test_a_mean_over_images_weighted_by_regions_is_the_au_spro():
    rng = np.random.default_rng(0)
    kinds = ["good", "structural", "structural"]
    maps = rng.random((3, 10, 10))
    regions = [[], *([Region(rng.random((10, 10)) < 0.2, 4) for _ in range(count)] for count in (1, 2))]
    samples = pd.DataFrame({"name": list("abc"), "label": kinds, "defect": kinds})
    _, values = judge_images(samples, maps.max((1, 2)), maps, regions)
    assert Judged.of(values.assign(seed=0)).by_seed("au_spro", "structural")[0, 0] == pytest.approx(
        au_spro(maps, regions)
    )


def test_an_entry_does_not_differ_from_itself_and_a_better_one_is_better():
    cells = collect(pd.concat([table("good", 2, 3.0), table("poor", 2, 0.0)]))
    assert set(difference(cells, "good", "good", "image_auroc").values()) == {0.0}
    found = difference(cells, "good", "poor", "image_auroc")
    assert 0 < found["low"] < found["difference"] < found["high"]


def test_differences_to_one_entry_are_by_category_and_kind_and_a_mean_over_the_categories_with_both():
    nuts = [
        table(entry, 2, shift, "nuts").query("label != 'logical'") for entry, shift in (("good", 3.0), ("poor", 0.0))
    ]
    cells = collect(pd.concat([table("good", 2, 3.0), table("poor", 2, 0.0), *nuts]))
    found = differences_to(cells, "poor").set_index(["entry", "category", "kind"])
    places = [("parts", "logical"), ("parts", "structural"), ("nuts", "structural")]
    means = [("mean", "logical"), ("mean", "structural")]
    assert list(found.index) == [("good", *place) for place in places + means]
    expected = difference(cells, "good", "poor", "image_auroc", ["logical"], ["parts"])
    assert found.loc["good", "parts", "logical"].to_dict() == expected
    assert found.loc["good", "mean", "structural"].to_dict() == found.loc["good", "parts", "structural"].to_dict()


def test_pairing_narrows_the_difference_of_similar_entries():
    one = table("one", 1, 1.0)
    other = one.assign(entry="other", score=one["score"] + 0.1 * np.random.default_rng(1).normal(size=len(one)))
    unlike = table("unlike", 1, 1.0)
    cells = collect(pd.concat([one, other, unlike]))
    similar, different = (difference(cells, "one", name, "image_auroc") for name in ("other", "unlike"))
    assert similar["high"] - similar["low"] < 0.5 * (different["high"] - different["low"])


def test_entries_are_compared_over_the_seeds_that_both_have():
    cells = collect(pd.concat([table("one", 3, 1.0), table("two", 1, 1.0)]))
    first = collect(pd.concat([table("one", 1, 1.0), table("two", 1, 1.0)]))
    assert difference(cells, "one", "two", "au_spro") == difference(first, "one", "two", "au_spro")


def test_a_category_is_left_out_where_it_has_none_of_the_kinds():
    logical = (
        table("one", 1, 1.0, "other").query("label != 'structural'"),
        table("two", 1, 0.0, "other").query("label != 'structural'"),
    )
    both = pd.concat([table("one", 1, 1.0), table("two", 1, 0.0), *logical])
    named = difference(collect(both), "one", "two", "image_auroc", ["structural"], ["parts"])
    assert difference(collect(both), "one", "two", "image_auroc", ["structural"]) == named
    assert np.isnan(difference(collect(both), "one", "two", "image_auroc", ["structural"], ["other"])["difference"])


def test_the_summary_counts_differences_whose_interval_excludes_zero():
    table = pd.DataFrame({"difference": [-0.5, -0.1, 0.0, 0.2], "low": [-0.6, -0.2, -0.1, 0.1]})
    table["high"] = [-0.4, 0.1, 0.1, 0.3]
    row = summarise_differences({"log loss": table}).loc["log loss"]
    assert row.to_dict() == {"pairs": 4, "better": 1, "worse": 1, "median": -0.05, "lowest": -0.5, "highest": 0.2}
