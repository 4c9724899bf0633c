"""The hyperparameters of what joins the members of a feature-level ensemble."""

from dataclasses import dataclass, fields

from iadlib.ensemble.transforms import EQUALISED, Kept
from iadlib.metrics.entries import MEAN, SOFT

CHOICES = {
    "transform": ("individual", "global"),
    "projection": ("none", "adapter", "joint"),
    "equalise": EQUALISED,
    "noise": ("gaussian", "simplex"),
    "noise_place": ("members", "joint"),
    "noise_shape": ("isotropic", "proportional", "squared"),
    "image_score": ("top", "map", "patch"),
    "weights": ("artificial", "equal"),
    "combination": (SOFT, MEAN),
}
SCORING = ("distances", "weights", "combination", "image_score", "smoothing_sigma")  # settings that change no training


@dataclass(kw_only=True, eq=False)
class HeadSettings:
    """The hyperparameters of the head."""

    transform: str = "individual"  # or "global": see `transforms`
    kept: Kept = "thesis"  # number of principal components: see `transforms`
    equalise: str = "channels"  # what is brought to one scale before the PCA: see `transforms`
    # "adapter": a linear layer for every member whose cut is of the kind "distance", trained before the PCA with a
    # discriminator of its own and isotropic noise; "joint": one for the first member's components, trained with the
    # ensemble's discriminator; or "none".
    projection: str = "none"
    projection_steps: int = 100  # training steps of an adapter
    noise: str = "gaussian"  # or "simplex": see `discriminator`, as for the next three
    noise_place: str = "members"
    noise_shape: str = "squared"
    noise_scale: float = 0.25  # relative to the features' spread
    distances: bool = True  # combine the discriminator's score with the norms of "distance" and "deviation" cuts
    combination: str = SOFT  # of image scores, with the weights: see `iadlib.metrics.combining`; or "mean"
    weights: str = "artificial"  # by how well each part finds artificial anomalies: see `compositions`; or "equal"
    # The mean of the "top" 0.5 % of the smoothed map, its maximum ("map"), or the largest score of a "patch".
    image_score: str = "top"
    heads: int = 3  # networks whose mean is the discriminator's output
    hidden_channels: int = 256
    margin: float = 0.5
    steps: int = 200
    images_per_step: int = 8
    patches_per_step: int = 512  # of all images of a step together
    learning_rate: float = 0.002
    weight_decay: float = 1e-5
    smoothing_sigma: float = 4.0  # pixels of the image
    batch_size: int = 16
    device: str = "auto"
    seed: int = 0


def settings_of(settings: HeadSettings) -> dict:
    """The hyperparameters of the head among the fields of `settings`, by name."""
    return {each.name: getattr(settings, each.name) for each in fields(HeadSettings)}
