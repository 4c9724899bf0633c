"""The detectors of the study, by name, in the order of the tables."""

import importlib

from iadlib.detectors.base import Detector, check_hyperparameters

# name -> class in the module of that name; imported when it is asked for
DETECTORS = {
    "patchcore": "PatchCore",
    "simplenet": "SimpleNet",
    "padim": "PaDiM",
    "reverse_distillation": "ReverseDistillation",
    "asymmetric_student_teacher": "AsymmetricStudentTeacher",
    "csflow": "CSFlow",
    "draem": "DRAEM",
    "anoddpm": "AnoDDPM",
}


def create(name: str, **hyperparameters) -> Detector:
    """A new detector; hyperparameters are the keys of its params block, and an unknown one is an error."""
    if name not in DETECTORS:
        raise ValueError(f"no detector {name!r}; there are {', '.join(DETECTORS)}")
    detector = getattr(importlib.import_module(f"iadlib.detectors.{name}"), DETECTORS[name])
    check_hyperparameters(detector, list(hyperparameters))
    return detector(**hyperparameters)
