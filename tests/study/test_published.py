import pandas as pd
import pytest

from iadlib.study import published

METRICS = pd.DataFrame(
    [
        ("metal_nut", "patchcore", "image_auroc", "structural", 0.9),
        ("pushpins", "patchcore", "image_auroc", "logical", 0.6),
        ("pushpins", "patchcore", "image_auroc", "structural", 0.8),
        ("juice_bottle", "patchcore", "image_auroc", "logical", 0.9),
        ("juice_bottle", "patchcore", "image_auroc", "structural", 0.9),
        ("flat_connector", "patchcore", "image_auroc", "logical", 0.75),
        ("flat_connector", "patchcore", "image_auroc", "structural", 0.85),
        ("metal_nut", "unheard_of", "image_auroc", "structural", 0.5),
    ],
    columns=["category", "method", "metric", "kind", "mean"],
)


def test_the_drop_is_from_structural_only_to_the_mean_of_both_kinds():
    row = published.drops(METRICS).loc["PatchCore"]
    assert row["rendered", "structural only"] == "0.900"
    assert row["rendered", "both kinds"].startswith("0.800")
    assert row["rendered", "drop"] == "0.100"


def test_published_numbers_stand_beside_it_and_none_is_made_up():
    table = published.drops(METRICS)
    assert table.loc["PatchCore", ("published", "MVTec AD")] == "0.992"
    assert table.loc["PatchCore", ("published", "drop")] == "0.175"
    assert table.loc["unheard of", "published"].tolist() == ["", "", ""]


def test_every_published_number_has_a_source_and_is_a_share():
    table = published.published()
    assert table["source"].str.len().min() > 5
    assert table["value"].between(0.2, 1).all()
    assert not table.duplicated(["method", "dataset", "category", "metric", "source"]).any()
    sources = published.sources(list(table["method"].unique()))
    assert sources.loc["PatchCore", "value"].max() == pytest.approx(0.992)
    assert not sources[["dataset", "metric"]].stack().str.contains("_").any()
