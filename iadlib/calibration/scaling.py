"""Calibrators with a formula: Platt's sigmoid, and a bounded one that stays a confidence where classes are apart.

Platt, "Probabilistic outputs for support vector machines", 1999: q(z) = sigmoid(a z + b) by maximum likelihood, with
targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) in place of 1 and 0. Where the classes are perfectly separated even that
becomes steep: the sigmoid may step from one target to the other anywhere in the gap, and what lies beyond is 0 or 1.

The bounded sigmoid is a generalised logistic, Richards, "A flexible growth function", 1959:

    q(z) = L + (U - L) * sigmoid(a (z - z0)) ** (1 / nu)

- L and U, the bounds: nobody has seen more than the sample. After n0 normal images, the next image from their side is
  anomalous with probability 1 / (n0 + 2) by Laplace's rule of succession: no score, however low, deserves less. So
  L = 1 / (n0 + 2), and U = 1 - 1 / (n1 + 2).
- z0, the place: where the two sides balance.
- a, the slope, no steeper than the sample can tell: in a gap of width g without any score, the boundary is as likely
  here as there, so that the mean over its possible places is a ramp across the gap. The logistic of the same slope in
  the middle has a = 4 / g. Where the classes overlap, there is no gap and no limit.
- nu, the asymmetry: 1 is Platt's shape; held near 1 by a normal prior on its logarithm, so that only data which ask
  for it bend the curve.

With overlap and many images L -> 0, U -> 1, nu -> 1: Platt's sigmoid. All is done on standardised scores, so that a shift
or a change of unit of the scores changes nothing.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from iadlib.calibration.checks import checked, checked_scores
