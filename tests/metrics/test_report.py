"""All metrics of one set of maps: by kind, overall, by defect; and to read."""

import numpy as np
import pytest

from iadlib.metrics import au_pro, au_spro, flat, format_report, image_report, map_report
from iadlib.types import Region

KINDS = ["good", "good", "logical", "structural", "structural"]


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 20, (5, 8, 6)).astype(np.float32)


@pytest.fixture
def regions() -> list[list[Region]]:
    rng = np.random.default_rng(1)
    masks = rng.random((4, 8, 6)) < 0.3
    missing, scratch, dent, other_dent = (
        Region(mask, 3, name) for mask, name in zip(masks, ("missing", "scratch", "dent", "dent"), strict=True)
    )
    return [[], [], [missing], [scratch, dent], [other_dent]]


def everything(maps: np.ndarray, regions: list[list[Region]], kinds: list[str]) -> dict[str, dict[str, float]]:
    return image_report(maps.max(axis=(1, 2)), kinds) | map_report(maps, regions, kinds)[0]


def test_a_kind_is_judged_with_the_good_images(maps, regions):
    report, _ = map_report(maps, regions, KINDS)
    logical, structural = [0, 1, 2], [0, 1, 3, 4]
    for limit in (0.05, 0.3):
        found = report[f"au_spro_{limit}"]
        assert found["logical"] == au_spro(maps[logical], [regions[i] for i in logical], limit)
        assert found["structural"] == au_spro(maps[structural], [regions[i] for i in structural], limit)
        assert found["mean"] == (found["logical"] + found["structural"]) / 2
    assert report["au_pro_0.3"]["overall"] == au_pro(maps, regions, 0.3)


def test_a_defect_is_judged_in_its_images_and_the_good_ones(maps, regions):
    report = map_report(maps, regions, KINDS)[0]["au_spro_0.05"]
    assert [key for key in report if key.startswith("defect")] == ["defect dent", "defect missing", "defect scratch"]
    chosen = [0, 1, 3]
    assert report["defect scratch"] == au_spro(maps[chosen], [regions[i] for i in chosen], 0.05, "scratch")


def test_a_kind_without_images_is_left_out_of_the_mean(maps, regions):
    report = everything(maps[[0, 1, 2]], regions[:3], KINDS[:3])
    assert report["image_auroc"].keys() == {"logical", "mean"}
    assert report["au_spro_0.05"]["mean"] == report["au_spro_0.05"]["logical"]
    assert "structural" in format_report(flat(report))


def test_nan_is_a_dash_in_the_table(maps, regions):
    report = everything(maps[:2], regions[:2], KINDS[:2])  # good images alone
    assert np.isnan([report["image_auroc"]["mean"], report["pixel_auroc"]["overall"]]).all()
    table = format_report(flat(report))
    assert "-" in table
    assert "nan" not in table.lower()


def test_table_shows_every_metric_once_in_lines_of_one_width(maps, regions):
    lines = format_report(flat(everything(maps, regions, KINDS))).splitlines()
    starts = ("image AUROC", "image AU-PR", "AU-sPRO, FPR up to 0.05", "AU-sPRO, FPR up to 0.3")
    assert [sum(line.startswith(start) for line in lines) for start in starts] == [1, 1, 1, 1]
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[4] for line in lines[-3:]] == ["dent", "missing", "scratch"]


def test_kinds_that_do_not_fit_the_images_raise(maps, regions):
    with pytest.raises(ValueError, match="kinds of 5 images"):
        image_report(np.arange(5), KINDS[:4])
    with pytest.raises(ValueError, match="not 'scratch'"):
        image_report(np.arange(5), ["scratch", *KINDS[1:]])
    with pytest.raises(ValueError, match="image 0 is logical, but the number of its regions is 0"):
        map_report(maps, regions, ["logical", *KINDS[1:]])
    with pytest.raises(ValueError, match="image 2 is good, but the number of its regions is 1"):
        map_report(maps, regions, ["good", "good", "good", *KINDS[3:]])
