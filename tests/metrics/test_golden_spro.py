"""The evaluation code published with MVTec LOCO AD as the oracle: `golden_spro/README.md` says what lies there."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from iadlib.data import load_category
from iadlib.metrics import au_spro, false_positive_rate, image_auroc, map_report, recall, spro_curve

HERE = Path(__file__).parent / "golden_spro"
WHOLE = Path(__file__).resolve().parents[3] / "shared" / "golden" / "spro"
EXPECTED = json.loads((HERE / "expected.json").read_text())
LIMITS = EXPECTED["max_fprs"]
FOLDERS = ("logical_anomalies", "structural_anomalies")

needs_whole = pytest.mark.skipif(not WHOLE.is_dir(), reason="shared/golden/spro is not beside the repository")
every_set = pytest.mark.parametrize(
    "name",
    [
        "ties8",
        "constant",
        "oracle",
        pytest.param("informative", marks=needs_whole),
        pytest.param("random", marks=needs_whole),
    ],
)


@functools.cache
def images() -> dict:
    """Regions by image name, as in "logical_anomalies/007"."""
    category = load_category(HERE / "dataset" / "pushpins_like")
    return {name: category.regions(i) for i, name in enumerate(category.of("test")["name"])}


@functools.cache
def maps_of(name: str) -> dict:
    path = (HERE if name in ("ties8", "constant", "oracle") else WHOLE) / "maps" / f"{name}.npz"
    with np.load(path) as arrays:
        return {image: arrays[image] for image in images()}


def named(*folders: str) -> list[str]:
    return [image for image in images() if image.startswith(folders)]


def showing(defect: str) -> list[str]:
    return [image for image, regions in images().items() if any(r.defect_name == defect for r in regions)]


def areas(maps: dict, chosen: list[str], defect: str | None = None) -> dict[str, float]:
    chosen_maps, regions = [maps[image] for image in chosen], [images()[image] for image in chosen]
    return {str(limit): au_spro(chosen_maps, regions, limit, defect) for limit in LIMITS}


@functools.cache
def ours(name: str) -> dict:
    """Our areas, ordered as a block of `expected.json`."""
    maps = maps_of(name)
    with_good = {folder: areas(maps, named(folder, "good")) for folder in FOLDERS}
    defects = EXPECTED["map_sets"]["ties8"]["exact"]["auc_spro_per_defect_type_with_good"]
    return {
        "auc_spro": with_good | {"mean": {key: (a + with_good[FOLDERS[1]][key]) / 2 for key, a in first(with_good)}},
        "auc_spro_all_images": areas(maps, list(images())),
        "auc_spro_per_subdir_without_good": {folder: areas(maps, named(folder)) for folder in FOLDERS},
        "auc_spro_per_defect_type_with_good": {d: areas(maps, showing(d) + named("good"), d) for d in defects},
        "auc_spro_per_defect_type_without_good": {d: areas(maps, showing(d), d) for d in defects},
    }


def first(with_good: dict) -> list:
    return list(with_good[FOLDERS[0]].items())


def largest_deviation(ours, expected) -> float:
    if not isinstance(ours, dict):
        return abs(ours - expected)
    assert ours.keys() == expected.keys()
    return max(largest_deviation(ours[key], expected[key]) for key in ours)


def test_regions_have_the_golden_areas_and_saturation_areas():
    found = [
        (image, region.defect_name, int(region.mask.sum()), region.saturation_area)
        for image, regions in images().items()
        for region in regions
    ]
    keys = ("image", "defect_name", "area", "saturation_area")
    assert found == [tuple(region[key] for key in keys) for region in EXPECTED["regions"]]


@every_set
def test_au_spro_is_the_exact_value_for_every_subset_and_limit(name):
    exact = EXPECTED["map_sets"][name]["exact"]
    assert max(largest_deviation(areas, exact[subset]) for subset, areas in ours(name).items()) <= 1e-9


def test_au_spro_is_exact_on_continuous_scores_of_the_structural_images():
    exact = EXPECTED["map_sets"]["informative"]["exact"]
    with np.load(HERE / "maps" / "informative.npz") as arrays:
        maps = {image: arrays[image] for image in named("structural_anomalies")}
    subset = exact["auc_spro_per_subdir_without_good"]["structural_anomalies"]
    assert largest_deviation(areas(maps, list(maps)), subset) <= 1e-9
    for defect in ("contamination", "scratch", "pinhole", "bent"):
        expected = exact["auc_spro_per_defect_type_without_good"][defect]
        assert largest_deviation(areas(maps, showing(defect), defect), expected) <= 1e-9


@pytest.mark.parametrize(
    ("name", "block", "tolerance", "tolerance_per_defect"),
    [
        pytest.param("informative", "published_code_refined", 1e-6, 1e-5, marks=needs_whole),
        pytest.param("random", "published_code_refined", 1e-6, 1e-5, marks=needs_whole),
        pytest.param("informative", "published_code_default", 1e-4, 6e-4, marks=needs_whole),
        pytest.param("random", "published_code_default", 3e-4, 6e-4, marks=needs_whole),
        ("ties8", "published_code_without_repeated_thresholds", 1e-9, 1e-9),
        ("oracle", "published_code_without_repeated_thresholds", 1e-9, 1e-9),
        ("constant", "published_code_without_repeated_thresholds_no_refinement", 1e-9, 1e-9),
    ],
)
def test_au_spro_is_what_the_published_code_gives(name, block, tolerance, tolerance_per_defect):
    published = EXPECTED["map_sets"][name][block]
    for subset, found in ours(name).items():
        allowed = tolerance_per_defect if "per_defect_type" in subset else tolerance
        assert largest_deviation(found, published[subset]) <= allowed, subset


@pytest.mark.parametrize("name", [pytest.param("informative", marks=needs_whole), "ties8"])
def test_au_spro_is_none_of_the_values_of_common_mistakes(name):
    mistakes = dict(EXPECTED["au_spro_mean_at_0.05_when_done_wrong"][name])
    found = ours(name)["auc_spro"]["mean"]["0.05"]
    assert found == pytest.approx(mistakes.pop("correct"), abs=1e-9)
    if name == "ties8":  # 200 thresholds are enough for eight levels
        assert found == pytest.approx(mistakes.pop("200 evenly spaced thresholds, interpolated at the limit"), abs=1e-9)
    assert min(abs(found - value) for value in mistakes.values()) > 1e-9


@every_set
def test_report_has_the_golden_values_of_kinds_and_defects(name):
    kinds = [image.split("/")[0].removesuffix("_anomalies") for image in images()]
    report, _ = map_report(list(maps_of(name).values()), list(images().values()), kinds)
    exact = EXPECTED["map_sets"][name]["exact"]
    for key, limit in (("au_spro_0.05", "0.05"), ("au_spro_0.3", "0.3")):
        for kind, subset in (("logical", FOLDERS[0]), ("structural", FOLDERS[1]), ("mean", "mean")):
            assert report[key][kind] == pytest.approx(exact["auc_spro"][subset][limit], abs=1e-9)
    for defect, by_limit in exact["auc_spro_per_defect_type_with_good"].items():
        assert report["au_spro_0.05"][f"defect {defect}"] == pytest.approx(by_limit["0.05"], abs=1e-9)


def image_aurocs(name: str) -> dict[str, float]:
    found = {}
    for folder in FOLDERS:
        chosen = named(folder, "good")
        scores = [maps_of(name)[image].max() for image in chosen]
        found[folder] = image_auroc(scores, [image.startswith(folder) for image in chosen])
    return found | {"mean": sum(found.values()) / 2}


@every_set
def test_image_auroc_counts_a_tie_as_one_half(name):
    expected = EXPECTED["map_sets"][name]["exact"]["image_auc_roc_standard"]
    assert largest_deviation(image_aurocs(name), expected) <= 1e-12


@needs_whole
@pytest.mark.parametrize("name", ["informative", "random"])
def test_image_auroc_is_what_the_published_code_gives_without_ties(name):
    published = EXPECTED["map_sets"][name]["published_code_default"]["image_auc_roc"]
    assert largest_deviation(image_aurocs(name), published) <= 1e-12


@every_set
def test_rates_at_fixed_thresholds_lie_on_the_curve(name):
    fixed = EXPECTED["map_sets"][name]["fixed_thresholds"]
    subsets = {
        "all_images": list(images()),
        "logical_anomalies_plus_good": named("logical_anomalies", "good"),
        "structural_anomalies_plus_good": named("structural_anomalies", "good"),
    }
    for subset, chosen in subsets.items():
        rates, means = (np.array(fixed["subsets"][subset][key]) for key in ("fpr", "mean_spro"))
        curve = spro_curve([maps_of(name)[image] for image in chosen], [images()[image] for image in chosen], 1.0)
        assert max(distance(point, *curve) for point in zip(rates, means, strict=True)) <= 1e-12


def distance(point: tuple[float, float], x: np.ndarray, y: np.ndarray) -> float:
    """From the point to the nearest of the lines between vertices."""
    starts, steps = np.column_stack([x, y])[:-1], np.diff(np.column_stack([x, y]), axis=0)
    along = np.sum((point - starts) * steps, axis=1) / np.maximum(np.sum(steps**2, axis=1), 1e-300)
    nearest = starts + np.clip(along, 0, 1)[:, None] * steps
    return float(np.hypot(*(point - nearest).T).min())


@every_set
def test_false_positive_rate_of_all_pixels_is_golden_at_fixed_thresholds(name):
    fixed = EXPECTED["map_sets"][name]["fixed_thresholds"]
    heat = np.stack([maps_of(name)[image] for image in images()])
    truth = np.stack(
        [np.any([np.zeros(heat[0].shape, bool)] + [r.mask for r in rs], axis=0) for rs in images().values()]
    )
    good = [image.startswith("good") for image in images()]
    for column, threshold in enumerate(fixed["thresholds"]):
        for subset, chosen in (("all_images", slice(None)), ("good_only", good)):
            golden = fixed["subsets"][subset]
            found = false_positive_rate(heat[chosen] > threshold, truth[chosen])
            assert found == pytest.approx(golden["fpr"][column], abs=1e-12)
            assert round(found * golden["defect_free_pixels"]) == golden["false_positive_pixels"][column]


@every_set
def test_recall_of_a_region_is_golden_at_fixed_thresholds(name):
    fixed = EXPECTED["map_sets"][name]["fixed_thresholds"]
    pairs = [(maps_of(name)[image], region) for image, regions in images().items() for region in regions]
    found = [
        [round(recall(heat > threshold, region.mask) * region.mask.sum()) for threshold in fixed["thresholds"]]
        for heat, region in pairs
    ]
    assert found == fixed["region_true_positive_pixels"]


@needs_whole
def test_copies_here_are_the_originals():
    assert json.loads((WHOLE / "expected.json").read_text()) == EXPECTED
    for path in sorted((HERE / "maps").glob("*.npz")):
        with np.load(path) as copies, np.load(WHOLE / "maps" / path.name) as originals:
            assert all(np.array_equal(copies[image], originals[image]) for image in copies), path.name
    for path in sorted((HERE / "dataset").rglob("*.*")):
        assert path.read_bytes() == (WHOLE / path.relative_to(HERE)).read_bytes(), path.name
