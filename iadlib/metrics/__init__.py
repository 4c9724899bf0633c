"""Metrics: of images (`detection`), of pixels and regions (`localisation`), with intervals (`bootstrap`)."""

from iadlib.metrics.bootstrap import bootstrap_interval, paired_difference_interval, percentiles, resampled_images
from iadlib.metrics.detection import (
    f1_score,
    false_positive_rate,
    image_aupr,
    image_auroc,
    iou,
    precision,
    recall,
    threshold_from_normals,
    threshold_report,
    true_positive_rate,
)
from iadlib.metrics.localisation import (
    au_pro,
    au_spro,
    au_spro_by_image,
    chance_au_spro,
    pixel_aupr,
    pixel_auroc,
    spro,
    spro_curve,
)
from iadlib.metrics.report import evaluate_maps, format_report, image_report, map_report

__all__ = [
    "au_pro",
    "au_spro",
    "au_spro_by_image",
    "bootstrap_interval",
    "chance_au_spro",
    "evaluate_maps",
    "f1_score",
    "false_positive_rate",
    "format_report",
    "image_aupr",
    "image_auroc",
    "image_report",
    "iou",
    "map_report",
    "paired_difference_interval",
    "percentiles",
    "pixel_aupr",
    "pixel_auroc",
    "precision",
    "recall",
    "resampled_images",
    "spro",
    "spro_curve",
    "threshold_from_normals",
    "threshold_report",
    "true_positive_rate",
]
