"""All metrics of one prediction, of several seeds, and of every image."""

import json

import numpy as np
import pandas as pd
import pytest

from iadlib.metrics import (
    bootstrap_interval,
    image_auroc,
    judge_images,
    map_report,
    pixel_auroc,
    summarise,
    threshold_report,
)
from iadlib.types import Region

KINDS = np.array(["good", "good", "logical", "structural", "structural", "good"])


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 20, (6, 8, 6)).astype(np.float32)


@pytest.fixture
def regions() -> list[list[Region]]:
    masks = np.random.default_rng(1).random((6, 8, 6)) < 0.3
    return [[] if kind == "good" else [Region(mask, 3, kind)] for kind, mask in zip(KINDS, masks, strict=True)]


@pytest.fixture
def samples() -> pd.DataFrame:
    return pd.DataFrame({"name": [f"{i}" for i in range(6)], "label": KINDS, "defect": KINDS})


@pytest.fixture
def scores(maps) -> np.ndarray:
    return maps.mean(axis=(1, 2))


def test_a_report_has_the_metrics_of_scores_maps_and_thresholds(samples, scores, maps, regions):
    report, _ = judge_images(samples, scores, maps, regions, image_threshold=9.5, pixel_threshold=10)
    of_maps, _ = map_report(maps, regions, KINDS)
    assert {name: report[name] for name in of_maps} == of_maps
    marked = threshold_report(scores > 9.5, KINDS != "good")
    assert report["at_image_threshold"] == {"threshold": 9.5, **marked}
    truth = np.array([listed[0].mask if listed else np.zeros((8, 6), bool) for listed in regions])
    assert report["at_pixel_threshold"] == {"threshold": 10, **threshold_report(maps > 10, truth)}


def test_a_defective_image_without_a_mask_counts_for_image_metrics_only(samples, scores, maps, regions):
    report, _ = judge_images(samples, scores, maps, [*regions[:4], [], []])
    assert report["image_auroc"]["structural"] == image_auroc(scores[[0, 1, 3, 4, 5]], [0, 0, 1, 1, 0])
    known = [0, 1, 2, 3, 5]
    assert report["pixel_auroc"]["overall"] == pixel_auroc(maps[known], [regions[i] for i in known])


def test_without_any_mask_or_map_there_are_image_metrics_only(samples, scores, maps):
    without_masks, _ = judge_images(samples, scores, maps, [[]] * 6, pixel_threshold=1.0)
    without_maps, _ = judge_images(samples, scores)
    assert list(without_masks) == list(without_maps) == ["image_auroc", "image_aupr"]


def test_good_images_alone_have_no_area_but_a_false_positive_rate(samples):
    report, _ = judge_images(samples[:2], [0.1, 0.9], np.zeros((2, 3, 4)), [[], []], image_threshold=0.5)
    assert np.isnan(report["image_auroc"]["mean"])
    assert report["at_image_threshold"]["false_positive_rate"] == 0.5


def test_values_of_images_are_what_they_add_to_the_au_spro_of_their_kind(samples, scores, maps, regions):
    _, values = judge_images(samples, scores, maps, regions)
    chosen = [0, 1, 3, 4, 5]
    _, expected = map_report(maps[chosen], [regions[i] for i in chosen], KINDS[chosen])
    assert values["au_spro"][[3, 4]].tolist() == expected[[2, 3]].tolist()
    assert values.loc[KINDS == "good", "au_spro"].isna().all()
    assert values["regions"].tolist() == [0, 0, 1, 1, 1, 0]


def test_scores_without_maps_have_values_without_areas(samples, scores):
    _, values = judge_images(samples, scores)
    assert values["score"].tolist() == scores.tolist()
    assert values["au_spro"].isna().all()


def test_a_summary_has_mean_spread_and_interval_over_the_seeds(samples, scores):
    by_seed = {0: scores, 1: scores[::-1]}
    reports = {seed: judge_images(samples, each)[0] for seed, each in by_seed.items()}
    result = summarise(reports, list(by_seed.values()), KINDS)
    chosen = KINDS != "structural"
    values = [image_auroc(each[chosen], KINDS[chosen] == "logical") for each in by_seed.values()]
    assert result["mean"]["image_auroc.logical"] == pytest.approx(np.mean(values))
    assert result["std"]["image_auroc.logical"] == pytest.approx(np.std(values, ddof=1))
    assert result["seeds"]["1"]["image_auroc.logical"] == pytest.approx(values[1])
    both = np.stack(list(by_seed.values()))[:, chosen]
    low, high = bootstrap_interval(image_auroc, both, KINDS[chosen] == "logical")
    assert result["interval"]["image_auroc.logical"] == pytest.approx({"low": low, "high": high})
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_one_seed_has_no_spread(samples, scores):
    assert set(summarise({3: judge_images(samples, scores)[0]}, [scores], KINDS)["std"].values()) == {None}
