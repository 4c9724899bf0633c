"""Every detector runs with its published settings, at full size, for two training steps.

The backbones have random weights: scores mean nothing here. `python -m pytest -m slow` runs this, one detector after
the other; allow an hour of processor time and 16 GiB of memory.
"""

import pandas as pd
import pytest

from iadlib.detectors import DETECTORS, titles
from tests.test_benchmarks import ROOT, script

SAMPLE = "tests/sample/flat_connector"


@pytest.fixture(scope="module")
def profile():
    return script("paper_profile")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DETECTORS))
def test_a_detector_is_fitted_with_its_published_settings_and_predicts(profile, name):
    row = profile.measured_apart(name, SAMPLE, count=1 if name == "anoddpm" else 3)  # three of these take 18 GB
    assert row["error"] == ""
    assert row["image"] == row["published"]
    assert row["GFLOP predict, an image"] > 0
    assert (row["steps"] > 0) == (row["GFLOP steps, an image"] > 0)


@pytest.mark.parametrize("name", list(DETECTORS))
def test_only_schedules_are_shortened(profile, name, tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "random_weights", lambda backbone, folder: f"{backbone}-RANDOM.pth")
    published = profile.paper_settings(name)
    detector, size = profile.paper_detector(name, tmp_path, profile.FEWER)
    assert list(size) == published["image_size"]
    changed = {
        key
        for key, value in published["hyperparameters"].items()
        if getattr(detector, key) != (tuple(value) if isinstance(value, list) else value)
    }
    assert changed <= {*profile.FEWER, "checkpoint"}


def test_the_estimate_follows_from_the_measured_rows(profile):
    rows = pd.read_csv(profile.ROWS)
    pd.testing.assert_frame_equal(profile.estimate(rows), pd.read_csv(profile.ESTIMATE), check_dtype=False)


def test_the_page_prints_the_committed_estimate(profile):
    page = (ROOT / "docs/paper-profile.md").read_text()
    table = pd.read_csv(profile.ESTIMATE)
    for row in table.to_dict("records"):
        cells = [titles()[row["method"]], *(f"{row[key]:.4g}" for key in ("fit h", "predict h", "h"))]
        assert f"| {' | '.join(cells)} |" in page
    assert f"{table['h'].sum():.0f} hours" in page
    assert set(table["method"]) == set(DETECTORS)
