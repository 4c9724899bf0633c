"""The detectors of the study, by name, in the order of the tables, and the ensembles of them."""

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
# Ensembles answer to the same calls: `fit` and `detect` take their names, too. They are no rows of the tables.
ENSEMBLES = {
    "feature_ensemble": ("iadlib.ensemble.feature", "FeatureEnsemble"),
    "output_ensemble": ("iadlib.ensemble.output", "OutputEnsemble"),
}


def create(name: str, **hyperparameters) -> Detector:
    """A new detector; hyperparameters are the fields of its class and the keys of its params file."""
    detector = detector_class(name)
    return detector(**check_values(detector, hyperparameters, name))


def detector_class(name: str) -> type[Detector]:
    """The class of a detector's or an ensemble's name, for its class variables: title, cuts, paths, slow."""
    if name in ENSEMBLES:
        module, class_name = ENSEMBLES[name]
    elif name in DETECTORS:
        module, class_name = f"iadlib.detectors.{name}", DETECTORS[name]
    else:
        known = ", ".join(f"{each} ({detector_class(each).title})" for each in (*DETECTORS, *ENSEMBLES))
        raise ValueError(f"no detector {name!r}; there are {known}")
    return getattr(importlib.import_module(module), class_name)


def titles() -> dict[str, str]:
    """Every detector's name -> its title in tables and figures."""
    return {name: detector_class(name).title for name in DETECTORS}


def name_of(detector: Detector) -> str:
    """The name under which the detector's class is registered."""
    names = {class_name: name for name, class_name in DETECTORS.items()}
    names |= {class_name: name for name, (_, class_name) in ENSEMBLES.items()}
    return names[type(detector).__name__]
