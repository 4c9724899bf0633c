"""Ensembles of detectors: of the features at their cuts (`feature`), and of their outputs (`output`)."""

from iadlib.ensemble.discriminator import Discriminator
from iadlib.ensemble.feature import PRESETS, FeatureEnsemble
from iadlib.ensemble.head import JointHead
from iadlib.ensemble.output import OutputEnsemble
from iadlib.ensemble.transforms import GlobalTransform, IndividualTransform
