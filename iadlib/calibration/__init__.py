"""Scores into probabilities of being anomalous, and how far those can be trusted.

A calibrator is fitted to scores of any range and labels, 1 for anomalous, and gives probabilities. Which images it may
be fitted to is the question of `crossfit`; `errors` judges, `decisions` acts.
"""

from iadlib.calibration.binning import BayesianBinning, HistogramBinning, IsotonicCalibration
from iadlib.calibration.crossfit import cross_fit, with_prevalence
from iadlib.calibration.decisions import Costs, Outcome, decide
from iadlib.calibration.errors import (
    BrierParts,
    ReliabilityCurve,
    adaptive_calibration_error,
    brier_parts,
    brier_score,
    expected_calibration_error,
    log_loss,
    maximum_calibration_error,
    reliability_curve,
)
from iadlib.calibration.scaling import BoundedSigmoid, PlattScaling, gaussian_scaling

__all__ = [
    "BayesianBinning",
    "BoundedSigmoid",
    "BrierParts",
    "Costs",
    "HistogramBinning",
    "IsotonicCalibration",
    "Outcome",
    "PlattScaling",
    "ReliabilityCurve",
    "adaptive_calibration_error",
    "brier_parts",
    "brier_score",
    "cross_fit",
    "decide",
    "expected_calibration_error",
    "gaussian_scaling",
    "log_loss",
    "maximum_calibration_error",
    "reliability_curve",
    "with_prevalence",
]
