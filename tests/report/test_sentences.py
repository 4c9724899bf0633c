"""Sentences say what the numbers are, also when the numbers turn round."""

import pandas as pd
import pytest

from iadlib.report import Findings, best_by_category, best_by_defect, cards, layout, sentences
from iadlib.study import Study
from tests.study.conftest import study  # noqa: F401


@pytest.fixture
def findings(study) -> Findings:  # noqa: F811
    """PatchCore separates logical anomalies alone, PaDiM structural ones alone."""
    made = Findings(study)
    kind = made.values["entry"].map({"patchcore": "structural", "padim": "logical"})
    lower = made.values["label"] == kind
    made.__dict__["values"] = made.values.assign(score=made.values["score"] - 0.7 * lower)
    return made


def row(difference: float, low: float, high: float) -> pd.Series:
    return pd.Series({"difference": difference, "low": low, "high": high})


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((0.1, 0.05, 0.2), "better"),
        ((-0.1, -0.2, -0.05), "worse"),
        ((0.1, -0.1, 0.3), "the same"),
        ((0, 0, 0), "the same"),
    ],
)
def test_a_difference_is_a_finding_only_beyond_its_interval(values, word):
    assert sentences.verdict(row(*values), "the same") == word


def test_the_answer_names_the_best_detectors_of_the_tables(findings):
    loss, best, *_ = sentences.answer(findings)
    assert "1 of 2 detectors find logical anomalies less well" in loss
    assert "PaDiM, the best on structural anomalies" in loss
    assert "On logical anomalies, PatchCore is the best detector" in best


def test_the_answer_turns_with_the_results(findings):
    turned = findings.values.replace({"label": {"logical": "structural", "structural": "logical"}})
    other = Findings(findings.study)
    other.__dict__["values"] = turned
    loss, best, *_ = sentences.answer(other)
    assert "PatchCore, the best on structural anomalies" in loss
    assert "On logical anomalies, PaDiM is the best detector" in best


def test_every_number_of_the_answer_is_in_the_tables(findings):
    tables = [findings.main, findings.leads, findings.by_category]
    known = {sentences.number(value) for table in tables for value in table.select_dtypes("number").to_numpy().ravel()}
    text = " ".join(sentences.answer(findings))
    found = pd.Series(text).str.findall(r"−?\d\.\d{3}").iloc[0]
    assert found
    assert set(found) <= known


def test_defects_name_the_missing_part(findings):
    table = best_by_defect(findings.by_defect, "PaDiM", "logical", ["PatchCore", "PaDiM"])
    assert "In 1 defect a part is missing. The best detector is PatchCore in 1 (parts)." in sentences.logical(table)[0]
    assert list(layout.best_by_defect(table)["defect"]) == ["missing hole (parts)"]


def test_detectors_have_the_values_and_intervals_of_their_tables(findings):
    rows = findings.by_category.set_index(["entry", "category", "kind"])[["value", "low", "high"]]
    assert rows.loc[("PatchCore", "parts", "logical")].tolist() == pytest.approx([0.9, 0.8, 1.0])
    assert rows.loc[("PaDiM", "nuts", "structural")].tolist() == pytest.approx([0.6, 0.5, 0.7])


def test_the_best_detector_of_every_category_and_kind():
    rows = [("parts", "logical", 0.9, 0.6), ("parts", "structural", 0.6, 0.9), ("nuts", "structural", 0.6, 0.9)]
    known = [
        {"entry": entry, "category": category, "kind": kind, "value": value, "low": value - 0.1, "high": value + 0.1}
        for category, kind, *values in rows
        for entry, value in zip(("PatchCore", "PaDiM"), values, strict=True)
    ]
    table = best_by_category(pd.DataFrame(known), ["PatchCore", "PaDiM"])
    assert list(table["entry"]) == ["PatchCore", "PaDiM", "PaDiM"]
    assert "PaDiM is the best detector in 2" in sentences.benchmark(table)[0]


def test_ranks_need_three_entries_and_say_so(findings):
    assert findings.ranks.empty
    assert sentences.ranks(findings) == ["Average ranks need at least two categories and three detectors."]


def test_studies_without_results_say_nothing_or_that(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("methods: []\ncategories: {}\nbackgrounds: []\n")
    nothing = Findings(Study("quick", tmp_path))
    assert sentences.calibration(nothing) == []
    assert sentences.comparisons(nothing) == {}
    assert sentences.ensembles(nothing) == []
    assert sentences.masking(pd.DataFrame()) == ["There are no results with a masked background."]
    assert sentences.costs(pd.DataFrame()) == ["There is no measurement for this profile."]


def test_a_score_that_is_worse_than_a_constant_is_called_no_probability(findings, tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/grid.yaml").write_text("methods: []\ncategories: {}\n")
    folder = tmp_path / "reports/quick/calibration_tables"
    folder.mkdir(parents=True)
    names = ["none", "Platt scaling", "bounded sigmoid"]
    for raw, head in ((2.0, "no probability until"), (0.5, "a rough probability")):
        losses = {"log loss": [raw, 0.4, 0.3], "expected error": 0.1, "expected error if right": 0.2}
        pd.DataFrame({"calibrator": names} | losses).to_csv(folder / "overall.csv", index=False)
        first, *_ = sentences.calibration(Findings(Study("quick", tmp_path)))
        assert head in first
        assert "the bounded sigmoid has the lowest, 0.300, and Platt scaling has 0.400" in first


def test_masking_is_told_and_shown_by_ground_and_radius():
    rows = [("flat_connector_folds", radius, "image AUROC", kind) for radius in ("0", "8") for kind in ("logical", "x")]
    table = pd.DataFrame(rows, columns=["category", "radius", "metric", "kind"])
    table = table.assign(difference=[0.25, 0.5, -0.5, 0.0], low=[0.125, -0.5, -0.75, -1], high=[0.75, 0.75, -0.25, 1])
    [said] = sentences.masking_by_ground(table)
    assert "On the folded cloth, mean over the detectors, masking" in said
    assert (
        "helps on logical anomalies at radius 0 (+0.250 [0.125, 0.750]), harms on logical anomalies at radius 8" in said
    )
    assert said.endswith("no effect beyond the interval in 2 of 4 comparisons.")
    shown = layout.masked(table)
    assert list(shown.iloc[:, 0]) == ["folded cloth, 0", "folded cloth, 8"]
    assert shown["image AUROC, logical"].tolist() == ["+0.250 [0.125, 0.750]", "−0.500 [−0.750, −0.250]"]


def differences_of(*against: str) -> pd.DataFrame:
    rows = [("feature ensemble", metric, other) for other in against for metric in ("image AUROC", "AU-sPRO")]
    table = pd.DataFrame(rows, columns=["ensemble", "metric", "against"])
    return table.assign(difference=0.0, low=-0.5, high=0.5)


def test_the_answer_has_five_sentences_and_compares_with_the_mean_and_the_soft_maximum_of_outputs(
    findings, monkeypatch
):
    tables = {
        "differences.csv": differences_of(
            "alone: PatchCore (best)", "output level: mean", "output level: soft maximum"
        ),
        "overall.csv": pd.DataFrame(
            {"calibrator": ["none", "Platt scaling", "bounded sigmoid"], "log loss": [2.0, 0.4, 0.3]}
        ).assign(**{"expected error": 0.1, "expected error if right": 0.2}),
    }
    table = Study.table
    monkeypatch.setattr(
        Study,
        "table",
        lambda self, *parts, empty=(): tables.get(parts[-1], table(self, *parts, empty=empty)),
    )
    said = sentences.answer(findings)
    assert len(said) == 5
    assert not [sentence for sentence in said if ". " in sentence]
    assert "the mean of its members' outputs" in said[3]
    assert "compared with the soft maximum of its members' outputs" in said[3]


def test_the_cost_of_an_ensemble_includes_its_members():
    detectors = pd.DataFrame(
        {"method": ["PaDiM"], "fit s": [2.0], "images/s, one by one": [50.0], "threads": [1], "image": "9 x 9"}
    )
    rows = {"method": ["PaDiM", "mean of outputs"], "members s": [0.0, 8.0], "fit s": [3.0, 0.5]}
    ensembles = pd.DataFrame(rows | {"images/s, one by one": [40.0, 10.0]})
    tables = [table.set_index("method") for table in (detectors, ensembles)]
    costs = cards.costs_of(tables)
    _, members = sentences.costs(costs)
    assert "mean of outputs 8.5 s, 8.0 s of them for its members" in members
    shown = layout.costs(costs).set_index("detector or ensemble")
    assert shown.loc["mean of outputs"].tolist()[:4] == ["8.0", "0.5", "8.5", "100.0"]
    assert shown.loc["PaDiM", ["members, s", "fit in all, s", "threads"]].tolist() == ["", "2.0", "1"]
    assert layout.costs(cards.costs_of([table.iloc[:0] for table in tables])).empty
