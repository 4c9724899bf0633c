"""Calibration: from scores to probabilities of being anomalous, and the errors of such probabilities.

A calibrator is fitted to scores of any range and labels, 1 for anomalous, and returns probabilities. `crossfit` and
`protocols` choose the images that it is fitted to, `errors` judges probabilities, `decisions` acts on them.
"""

from iadlib.calibration.binning import BayesianBinning, HistogramBinning, IsotonicCalibration
from iadlib.calibration.crossfit import calibrated_twice, cross_fit, folds_for, with_prevalence
from iadlib.calibration.decisions import Costs, Outcome, decide
from iadlib.calibration.errors import (
    BrierParts,
    ReliabilityCurve,
    adaptive_calibration_error,
    brier_parts,
    brier_score,
    expected_calibration_error,
    expected_error_if_right,
    log_loss,
    log_losses,
    maximum_calibration_error,
    reliability_curve,
    squared_errors,
)
from iadlib.calibration.protocols import (
    ARTIFICIAL,
    BOUNDED,
    CALIBRATORS,
    CROSS_FITTED,
    NONE,
    PLATT,
    UNCALIBRATED,
    calibrate_by_artificial_images,
    calibrate_by_test_images,
    scale_without_anomalies,
)
from iadlib.calibration.scaling import BoundedSigmoid, PlattScaling, gaussian_scaling
