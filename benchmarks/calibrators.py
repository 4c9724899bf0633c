"""Calibrators on simulated scores of 30 normal and 60 anomalous images, cross-fitted: what the bounded sigmoid's few
fixed numbers were chosen by. No detector and no image is involved.

    python benchmarks/calibrators.py --draws 90

Three kinds of detectors, from blind to nearly perfect: normal classes of equal spread; a share of the anomalies that it
cannot see; scores with a heavy right tail, as maxima over a map have. *perfect*: the expected error that the same
probabilities would show if they were right, in samples of this size. `PAID_FOR` 0: no doubt at all.
"""

import argparse
from unittest import mock

import numpy as np
import pandas as pd
from tqdm import tqdm

from iadlib.calibration import (
    BayesianBinning,
    BoundedSigmoid,
    PlattScaling,
    brier_score,
    cross_fit,
    expected_calibration_error,
    log_loss,
    scaling,
)

NORMAL, ANOMALOUS = 30, 60
LABELS = np.repeat([0, 1], [NORMAL, ANOMALOUS])
NO_DOUBT = -np.inf
CHOICES = {  # pseudo-images, median of the slope's logarithm, parameters paid for
    "bounded, no doubt": (0.25, 0.5, NO_DOUBT),
    "bounded, one parameter": (0.25, 0.5, 1),
    "bounded, two parameters": (0.25, 0.5, 2),
    "bounded, three parameters": (0.25, 0.5, 3),
    "bounded, steeper prior": (0.25, 1.0, 2),
    "bounded, one pseudo-image": (1.0, 0.5, 2),
}


def drawn(kind: str, rng: np.random.Generator) -> np.ndarray:
    distance = rng.uniform(0, 2.5)
    if kind == "heavy tail":
        return np.concatenate([rng.gumbel(0, 1, NORMAL), rng.gumbel(distance, rng.uniform(1, 3), ANOMALOUS)])
    unseen = int(rng.integers(0, 45)) if kind == "partly blind" else 0
    seen = rng.normal(distance + (kind == "partly blind"), 1, ANOMALOUS - unseen)
    return np.concatenate([rng.normal(0, 1, NORMAL + unseen), seen])


def judged(probabilities: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    right = [(rng.random(len(LABELS)) < probabilities).astype(int) for _ in range(20)]
    return {
        "log loss": log_loss(probabilities, LABELS),
        "expected error": expected_calibration_error(probabilities, LABELS),
        "perfect": float(np.mean([expected_calibration_error(probabilities, labels) for labels in right])),
        "Brier score": brier_score(probabilities, LABELS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=90)
    rng, rows = np.random.default_rng(11), []
    for number in tqdm(range(parser.parse_args().draws), disable=None):
        kind = ("equal spread", "partly blind", "heavy tail")[number % 3]
        scores = drawn(kind, rng)
        for name, calibrator in {"Platt": PlattScaling(), "Bayesian binning": BayesianBinning()}.items():
            rows.append({"kind": kind, "calibrator": name, **judged(cross_fit(calibrator, scores, LABELS), rng)})
        for name, (pseudo_images, slope, paid_for) in CHOICES.items():
            with mock.patch.multiple(scaling, MEDIAN_LOG_SLOPE=slope, PAID_FOR=paid_for):
                said = cross_fit(BoundedSigmoid(pseudo_images), scores, LABELS)
            rows.append({"kind": kind, "calibrator": name, **judged(said, rng)})
    table = pd.DataFrame(rows)
    print(table.groupby("calibrator", sort=False).mean(numeric_only=True).round(4).to_string())
    print(table.groupby(["kind", "calibrator"], sort=False).mean(numeric_only=True).round(4).to_string())


if __name__ == "__main__":
    main()
