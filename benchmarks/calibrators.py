"""Cross-fitted calibrators on simulated scores: the fixed numbers of the bounded sigmoid were chosen by this table.

    python benchmarks/calibrators.py

Five kinds of simulated detectors: near chance; normal distributions of equal spread, from AUROC 0.5 on; detectors that
cannot see a share of the anomalies; scores with a heavy right tail, as maxima over a map have; classes far apart. 30
normal images, and 15 to 60 anomalous ones. *perfect*: the expected error of the same probabilities in samples of this
size if they were right. Writes benchmarks/calibrators.csv.
"""

import argparse
from pathlib import Path

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
)

NORMAL, ANOMALOUS = 30, (15, 30, 60)
KINDS = ("near chance", "equal spread", "partly blind", "heavy tail", "apart")
DISTANCES = {"near chance": (0, 0.7), "apart": (4, 10)}
CHOICES = {  # pseudo-images, the spread of the slope's logarithm, the prior probability of scores without information
    "bounded sigmoid": (0.25, 1.0, 0.5),
    "bounded, one pseudo-image": (1.0, 1.0, 0.5),
    "bounded, narrower prior": (0.25, 0.5, 0.5),
    "bounded, never blind": (0.25, 1.0, 0.0),
    "bounded, mostly blind": (0.25, 1.0, 0.8),
}


def drawn(kind: str, anomalous: int, rng: np.random.Generator) -> np.ndarray:
    lowest, highest = DISTANCES.get(kind, (0, 2.5))
    distance = rng.uniform(lowest, highest)
    if kind == "heavy tail":
        return np.concatenate([rng.gumbel(0, 1, NORMAL), rng.gumbel(distance, rng.uniform(1, 3), anomalous)])
    unseen = int(rng.integers(0, anomalous * 3 // 4)) if kind == "partly blind" else 0
    seen = rng.normal(distance + (kind == "partly blind"), 1, anomalous - unseen)
    return np.concatenate([rng.normal(0, 1, NORMAL + unseen), seen])


def judged(probabilities: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    right = [(rng.random(len(labels)) < probabilities).astype(int) for _ in range(20)]
    return {
        "log loss": log_loss(probabilities, labels),
        "expected error": expected_calibration_error(probabilities, labels),
        "perfect": float(np.mean([expected_calibration_error(probabilities, each) for each in right])),
        "Brier score": brier_score(probabilities, labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    rng, rows = np.random.default_rng(11), []
    for number in tqdm(range(parser.parse_args().draws), disable=None):
        kind, anomalous = KINDS[number % len(KINDS)], int(rng.choice(ANOMALOUS))
        scores, labels = drawn(kind, anomalous, rng), np.repeat([0, 1], [NORMAL, anomalous])
        for name, calibrator in {"Platt scaling": PlattScaling(), "Bayesian binning": BayesianBinning()}.items():
            rows.append(
                {"kind": kind, "calibrator": name, **judged(cross_fit(calibrator, scores, labels), labels, rng)}
            )
        for name, choice in CHOICES.items():
            probabilities = cross_fit(BoundedSigmoid(*choice), scores, labels)
            rows.append({"kind": kind, "calibrator": name, **judged(probabilities, labels, rng)})
    table = pd.DataFrame(rows)
    whole = table.groupby("calibrator", sort=False).mean(numeric_only=True).round(4).assign(kind="all").reset_index()
    parts = table.groupby(["kind", "calibrator"], sort=False).mean(numeric_only=True).round(4).reset_index()
    both = pd.concat([whole, parts])[["kind", "calibrator", "log loss", "expected error", "perfect", "Brier score"]]
    both.to_csv(Path(__file__).with_suffix(".csv"), index=False)
    print(both.to_string(index=False))


if __name__ == "__main__":
    main()
