"""The calibrators that the study compares, and the protocols: which images each of them may be fitted to.

- "cross-fitted": the other folds of the test images.
- "from logical" or "from structural": of the other folds only this kind of anomaly and the good images. Probabilities
  are judged by the good images and the other kind, and moved to their prevalence. "structural by itself" and "logical
  by itself" learn from the kind that they are judged by: the difference is the value of knowing future defects.
- "from artificial": the normal validation images, and the same with painted anomalies; no test image. Probabilities
  are moved to the prevalence of the test images.
- "uncalibrated": Gaussian scaling by the normal validation images, which needs no anomalous image.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from iadlib.calibration.binning import BayesianBinning, HistogramBinning, IsotonicCalibration
from iadlib.calibration.crossfit import Calibrator, cross_fit, folds_for, with_prevalence
from iadlib.calibration.scaling import BoundedSigmoid, PlattScaling, gaussian_scaling

PLATT, BOUNDED, NONE = "Platt scaling", "bounded sigmoid", "none"
CALIBRATORS: dict[str, Callable[[], Calibrator]] = {
    "histogram binning": HistogramBinning,
    "isotonic regression": IsotonicCalibration,
    "Bayesian binning": BayesianBinning,
    PLATT: PlattScaling,
    BOUNDED: BoundedSigmoid,
}
UNCALIBRATED, CROSS_FITTED, ARTIFICIAL = "uncalibrated", "cross-fitted", "from artificial"
FOLDS = 5


class Calibrated(NamedTuple):
    """Probabilities (J,) of the test images `judged` (J indices), by one calibrator in one protocol."""

    calibrator: str
    protocol: str
    judged: np.ndarray
    probabilities: np.ndarray


def calibrate_by_test_images(scores: np.ndarray, kinds: Sequence[str]) -> Iterator[Calibrated]:
    """The protocols that are fitted to other folds of the test images; all calibrators in each.

    `scores` (N,) and `kinds` (N,) of good, logical and structural. Folds are fewer where a kind has fewer images.
    """
    scores, kinds = np.asarray(scores), np.asarray(kinds)
    labels = (kinds != "good").astype(int)
    present = [kind for kind in ("logical", "structural") if kind in kinds]
    folds, everything = folds_for(kinds, FOLDS), np.arange(len(kinds))
    for name, create in CALIBRATORS.items():

        def crossed(learn_from: np.ndarray | None, calibrator: Calibrator) -> np.ndarray:
            return cross_fit(calibrator, scores, labels, folds, strata=kinds, learn_from=learn_from)

        yield Calibrated(name, CROSS_FITTED, everything, crossed(None, create()))
        for kind, other in (present, present[::-1]) if len(present) == 2 else ():
            judged, known = kinds != kind, kinds != other
            moved = with_prevalence(crossed(known, create()), labels[known].mean(), labels[judged].mean())
            yield Calibrated(name, f"from {kind}", everything[judged], moved[judged])
            yield Calibrated(name, f"{other} by itself", everything[judged], crossed(judged, create())[judged])


def calibrate_by_artificial_images(
    scores: np.ndarray, prevalence: float, normal: np.ndarray, painted: np.ndarray
) -> Iterator[Calibrated]:
    """All calibrators, fitted to scores of normal validation images (V,) and of painted ones (P,).

    The probabilities of the test images' `scores` (N,) are moved to the `prevalence` of anomalous test images.
    """
    learned = np.concatenate([normal, painted]), np.repeat([0, 1], [len(normal), len(painted)])
    for name, create in CALIBRATORS.items():
        probabilities = create().fit(*learned).predict_proba(scores)
        moved = with_prevalence(probabilities, learned[1].mean(), prevalence)
        yield Calibrated(name, ARTIFICIAL, np.arange(len(scores)), moved)


def scale_without_anomalies(scores: np.ndarray, normal: np.ndarray) -> Calibrated:
    """Gaussian scaling of the test images' scores (N,) by those of normal validation images (V,)."""
    return Calibrated(NONE, UNCALIBRATED, np.arange(len(scores)), gaussian_scaling(scores, normal))
