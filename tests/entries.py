"""Made-up values of test images, with one row for each image, entry and seed."""

import numpy as np
import pandas as pd

LABELS = {"pins": np.repeat(["good", "logical", "structural"], 8), "nut": np.repeat(["good", "structural"], 8)}
ENTRIES = {  # entry -> group, distance between good and anomalous scores
    "patchcore": ("member", 2.0),
    "padim": ("member", 0.5),
    "mean": ("output", 1.5),
    "feature ensemble": ("feature", 4.0),
    "features alone": ("feature", 1.0),
    "thesis design": ("feature", 0.0),
    "one head": ("design", 3.0),
    "patchcore + padim: features": ("pair", 3.0),
    "patchcore + padim: outputs": ("pair", 1.0),
}


def values_of(category: str, labels: np.ndarray, entries: dict[str, tuple[str, float]]) -> pd.DataFrame:
    """Rows as in values.csv: two seeds, of designs and pairs the first alone."""
    rng = np.random.default_rng(0)
    image = pd.DataFrame(
        {
            "name": [f"{label}/{i:03d}" for i, label in enumerate(labels)],
            "label": labels,
            "defect": np.where(np.arange(len(labels)) % 2, "dent", "scratch"),
            "regions": (labels != "good").astype(int),
        }
    )
    image.loc[labels == "good", "defect"] = "good"
    parts = []
    for entry, (group, distance) in entries.items():
        for seed in (0,) if group in ("design", "pair") else (0, 1):
            anomalous = labels != "good"
            parts.append(
                image.assign(
                    score=rng.normal(0, 1, len(labels)) + distance * anomalous,
                    au_spro=np.where(anomalous, np.clip(distance / 5 + rng.normal(0, 0.05, len(labels)), 0, 1), np.nan),
                    category=category,
                    group=group,
                    entry=entry,
                    seed=seed,
                )
            )
    return pd.concat(parts, ignore_index=True)


def values_of_all() -> pd.DataFrame:
    """The values of both categories."""
    return pd.concat([values_of(name, labels, ENTRIES) for name, labels in LABELS.items()], ignore_index=True)
