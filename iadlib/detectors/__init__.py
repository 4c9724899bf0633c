"""The detectors of the study, by name, in the order of the tables."""

import importlib

from iadlib.detectors.base import Detector
from iadlib.params import check_values

# name -> class in the module of that name, which is imported when it is needed
DETECTORS = {
    "patchcore": "PatchCore",
    "simplenet": "SimpleNet",
    "padim": "PaDiM",
    "reverse_distillation": "ReverseDistillation",
    "asymmetric_student_teacher": "AsymmetricStudentTeacher",
    "csflow": "CSFlow",
    "draem": "DRAEM",
    "anoddpm": "AnoDDPM",
    "set_features": "SetFeatures",
    "component_counts": "ComponentCounts",
    "pooled_gaussian": "PooledGaussian",
    "gcad": "GCAD",
}


def create(name: str, **hyperparameters) -> Detector:
    """A new detector; hyperparameters are the fields of its class and the keys of its params file."""
    detector = detector_class(name)
    return detector(**check_values(detector, hyperparameters, name))


def detector_class(name: str) -> type[Detector]:
    """The class of that name, for its class variables: title, cuts, paths, slow."""
    if name not in DETECTORS:
        raise ValueError(f"no detector {name!r}; there are {', '.join(DETECTORS)}")
    return getattr(importlib.import_module(f"iadlib.detectors.{name}"), DETECTORS[name])


def titles() -> dict[str, str]:
    """Every detector's name -> its title in tables and figures."""
    return {name: detector_class(name).title for name in DETECTORS}


def name_of(detector: Detector) -> str:
    """The name under which the detector's class is registered."""
    names = {class_name: name for name, class_name in DETECTORS.items()}
    return names[type(detector).__name__]
