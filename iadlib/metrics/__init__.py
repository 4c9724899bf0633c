"""Metrics of images (`detection`), of pixels and regions (`localisation`), and of whole predictions (`judging`).

Intervals by resampling images are in `bootstrap`, paired differences of entries in `differences`, sizes at which half
of the defects are found in `sizes`, where the highest scores of defect-free pixels lie in `background`, predictions of
several detectors as one in `combining`, and designs and pairs of an ensemble in `comparisons`.
"""

from iadlib.metrics.background import background_share
from iadlib.metrics.bootstrap import bootstrap_interval, percentiles, resampled_images, resampling_counts
from iadlib.metrics.detection import (
    alarm_interval,
    expected_alarm_share,
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
from iadlib.metrics.differences import DIFFERENCE_METRICS, Cells, Judged, collect, difference, differences_to
from iadlib.metrics.ground_truth import GroundTruth, ground_truths
from iadlib.metrics.judging import judge_images, summarise
from iadlib.metrics.localisation import au_pro, au_spro, chance_au_spro, pixel_aupr, pixel_auroc, spro, spro_curve
from iadlib.metrics.maps import resize_maps
from iadlib.metrics.report import KINDS, flat, format_report, image_report, map_report
from iadlib.metrics.sizes import found_share, half_size, half_sizes
