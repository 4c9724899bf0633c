"""Numbers of the data set's own evaluation code, and of an exact computation, on maps of many kinds."""

import json
from pathlib import Path

import numpy as np
import pytest

from iadlib.data import load_category
from iadlib.metrics import au_spro, evaluate_maps, image_auroc, spro_curve

HERE = Path(__file__).parent / "golden_spro"
BESIDE = Path(__file__).parents[3] / "shared" / "golden" / "spro" / "maps"
EXPECTED = json.loads((HERE / "expected.json").read_text())
CATEGORY = load_category(HERE / "dataset/pushpins_like")
TEST = CATEGORY.of("test")
REGIONS = [CATEGORY.regions(i) for i in range(len(TEST))]
FOLDERS = [name.split("/")[0] for name in TEST["name"]]
KINDS = ("logical_anomalies", "structural_anomalies")


@pytest.fixture(scope="module", params=list(EXPECTED["map_sets"]))
def golden(request) -> tuple[str, list[np.ndarray]]:
    path = next(
        (p for p in (HERE / "maps" / f"{request.param}.npz", BESIDE / f"{request.param}.npz") if p.is_file()), None
    )
    if path is None:
        pytest.skip(f"{request.param}.npz is too large to keep here, and {BESIDE} is not there")
    with np.load(path) as arrays:
        return request.param, [arrays[name] for name in TEST["name"]]


def areas(maps: list[np.ndarray], chosen: list[int], **options) -> dict[str, float]:
    limits = ("0.01", "0.05", "0.1", "0.3", "1.0")
    subset = [maps[i] for i in chosen], [REGIONS[i] for i in chosen]
    return {limit: au_spro(*subset, max_fpr=float(limit), **options) for limit in limits}


def all_areas(maps: list[np.ndarray]) -> dict:
    """In the nesting of expected.json."""
    of_kind = {kind: [i for i, folder in enumerate(FOLDERS) if folder == kind] for kind in ("good", *KINDS)}
    by_kind = {kind: areas(maps, sorted(of_kind["good"] + of_kind[kind])) for kind in KINDS}
    by_kind["mean"] = {limit: (by_kind[KINDS[0]][limit] + by_kind[KINDS[1]][limit]) / 2 for limit in by_kind[KINDS[0]]}
    found = {
        "auc_spro": by_kind,
        "auc_spro_all_images": areas(maps, list(range(len(maps)))),
        "auc_spro_per_subdir_without_good": {kind: areas(maps, of_kind[kind]) for kind in KINDS},
    }
    for key, good in (("with", of_kind["good"]), ("without", [])):
        found[f"auc_spro_per_defect_type_{key}_good"] = {
            defect: areas(maps, sorted(good + with_defect), defect_name=defect)
            for defect in sorted({region["defect_name"] for region in EXPECTED["regions"]})
            for with_defect in [[i for i, listed in enumerate(REGIONS) if any(r.defect_name == defect for r in listed)]]
        }
    return found


def assert_close(found: dict, expected: dict, tolerance: float):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, dict):
            assert_close(found[key], value, tolerance)
        else:
            assert found[key] == pytest.approx(value, abs=tolerance, rel=0), key


def test_regions_have_the_areas_of_the_data_sets_rules():
    found = [(r.defect_name, int(r.mask.sum()), r.saturation_area) for listed in REGIONS for r in listed]
    assert found == [(r["defect_name"], r["area"], r["saturation_area"]) for r in EXPECTED["regions"]]


def test_au_spro_is_the_exact_one(golden):
    name, maps = golden
    expected = EXPECTED["map_sets"][name]["exact"]
    assert_close(all_areas(maps), {key: expected[key] for key in expected if key.startswith("auc_spro")}, 1e-9)


# The published code tries a limited number of thresholds; so far apart may it and an exact computation lie.
PUBLISHED = {
    ("informative", "published_code_refined"): (1e-6, 1e-5),
    ("random", "published_code_refined"): (1e-6, 1e-5),
    ("informative", "published_code_default"): (1e-4, 6e-4),
    ("random", "published_code_default"): (3e-4, 6e-4),
    ("ties8", "published_code_without_repeated_thresholds"): (1e-9, 1e-9),
    ("oracle", "published_code_without_repeated_thresholds"): (1e-9, 1e-9),
    ("constant", "published_code_without_repeated_thresholds_no_refinement"): (1e-9, 1e-9),
}


def test_au_spro_agrees_with_the_published_code(golden):
    name, maps = golden
    found = all_areas(maps)
    compared = 0
    for (of_set, settings), (tolerance, per_type) in PUBLISHED.items():
        if of_set == name:
            expected = EXPECTED["map_sets"][name][settings]
            for key in found:
                assert_close(found[key], expected[key], per_type if "defect_type" in key else tolerance)
                compared += 1
    assert compared


def test_the_curve_passes_through_the_rates_at_fixed_thresholds(golden):
    name, maps = golden
    subsets = {
        "all_images": ("good", *KINDS),
        "logical_anomalies_plus_good": ("good", KINDS[0]),
        "structural_anomalies_plus_good": ("good", KINDS[1]),
    }
    fixed = EXPECTED["map_sets"][name]["fixed_thresholds"]["subsets"]
    for subset, folders in subsets.items():
        chosen = [i for i, folder in enumerate(FOLDERS) if folder in folders]
        x, y = spro_curve([maps[i] for i in chosen], [REGIONS[i] for i in chosen])
        for rate, mean_spro in zip(fixed[subset]["fpr"], fixed[subset]["mean_spro"], strict=True):
            # Several vertices stand above one another where only regions gain: the point lies between the outermost.
            lowest, highest = (y[x <= rate + 1e-12][-1], y[x >= rate - 1e-12][0])
            on_a_slope = np.interp(rate, x, y)
            low, high = min(lowest, highest, on_a_slope), max(lowest, highest, on_a_slope)
            assert low - 1e-12 <= mean_spro <= high + 1e-12


def test_image_auroc_counts_a_tie_as_one_half(golden):
    name, maps = golden
    scores, folders = np.array([heat.max() for heat in maps]), np.array(FOLDERS)
    expected = EXPECTED["map_sets"][name]["exact"]["image_auc_roc_standard"]
    for kind in KINDS:
        chosen = (folders == kind) | (folders == "good")
        assert image_auroc(scores[chosen], folders[chosen] == kind) == pytest.approx(expected[kind], abs=1e-12)


def test_report_holds_the_numbers_that_the_data_set_reports(golden):
    name, maps = golden
    report, expected = evaluate_maps(maps, REGIONS, list(TEST["label"])), EXPECTED["map_sets"][name]["exact"]
    for limit in ("0.05", "0.3"):
        found = report[f"au_spro_{limit}"]
        assert found["logical"] == pytest.approx(expected["auc_spro"]["logical_anomalies"][limit], abs=1e-9)
        assert found["structural"] == pytest.approx(expected["auc_spro"]["structural_anomalies"][limit], abs=1e-9)
        assert found["mean"] == pytest.approx(expected["auc_spro"]["mean"][limit], abs=1e-9)
    for defect, values in expected["auc_spro_per_defect_type_with_good"].items():
        assert report["au_spro_0.05"][f"defect {defect}"] == pytest.approx(values["0.05"], abs=1e-9)
    assert report["image_auroc"]["mean"] == pytest.approx(expected["image_auc_roc_standard"]["mean"], abs=1e-12)
