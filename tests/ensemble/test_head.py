import numpy as np
import pytest
import torch

from iadlib.detectors.base import to_maps, top_mean
from iadlib.ensemble import JointHead, head
from iadlib.ensemble.compositions import LEAST_WEIGHT
from iadlib.ensemble.head import Artificial
from iadlib.ensemble.transforms import covariances
from iadlib.metrics.combining import TEMPERATURE, combined
from iadlib.types import Prediction

KINDS = {"first": "distance", "second": "features"}
SMALL = {
    "kinds": KINDS,
    "steps": 80,
    "projection_steps": 30,
    "hidden_channels": 32,
    "batch_size": 3,
    "weights": "equal",
    "combination": "mean",
}
SIZE = (64, 48)


def members_maps(count: int, seed: int) -> list[torch.Tensor]:
    """Maps of two members, on two grids: distances (count, 6, 8, 6) and features (count, 5, 4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 6, 8, 6, generator=generator).abs(), torch.randn(count, 5, 4, 3, generator=generator)]


TRAIN, VALIDATION = members_maps(8, 1), members_maps(4, 2)
TEST = members_maps(4, 3)
TEST[0][2:, :, 4:6, 2:4] += 6  # a defect in the last two images
TEST[1][2:, :, 2, 1] += 6


@pytest.fixture(scope="module")
def fitted():
    return JointHead(**SMALL).fit(TRAIN, VALIDATION, SIZE)


def test_scores_and_maps_find_the_defect(fitted):
    prediction = fitted.predict(TEST, SIZE)
    assert prediction.maps.shape == (4, *SIZE)
    assert prediction.scores[2:].min() > prediction.scores[:2].max() + 1
    assert all(36 <= row < 44 for row in prediction.maps[2:].max(axis=2).argmax(axis=1))


@pytest.mark.parametrize(
    ("noise_place", "noise_shape"), [("members", "squared"), ("joint", "isotropic")], ids=["members", "joint"]
)
@pytest.mark.parametrize(
    ("projection", "transform"), [("adapter", "individual"), ("joint", "individual"), ("none", "global")]
)
def test_the_discriminator_of_every_design_finds_the_defect(projection, transform, noise_place, noise_shape):
    settings = SMALL | {"projection": projection, "transform": transform, "noise_place": noise_place}
    settings |= {"noise_shape": noise_shape, "noise_scale": 1.0}
    settings |= {"distances": False}  # which would find it without a discriminator
    fitted = JointHead(**settings).fit(TRAIN, None, SIZE)
    prediction = fitted.predict(TEST, SIZE)
    assert prediction.scores[2:].min() > prediction.scores[:2].max() + 0.5
    again = JointHead(**settings)
    again.load_state_dict(fitted.state_dict())
    assert np.array_equal(again.predict(TEST, SIZE).maps, prediction.maps)


def test_a_state_keeps_every_bit(fitted):
    again = JointHead(**SMALL)
    again.load_state_dict(fitted.state_dict())
    assert np.array_equal(again.predict(TEST, SIZE).maps, fitted.predict(TEST, SIZE).maps)
    assert np.array_equal(again.predict(TEST, SIZE).scores, fitted.predict(TEST, SIZE).scores)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(fitted):
    same = JointHead(**SMALL).fit(TRAIN, VALIDATION, SIZE).predict(TEST, SIZE)
    other = JointHead(**SMALL, seed=1).fit(TRAIN, VALIDATION, SIZE).predict(TEST, SIZE)
    assert np.array_equal(same.maps, fitted.predict(TEST, SIZE).maps)
    assert not np.allclose(other.maps, fitted.predict(TEST, SIZE).maps)


def test_known_covariances_change_nothing(fitted):
    batches = zip(*(maps.split(SMALL["batch_size"]) for maps in TRAIN), strict=True)
    again = JointHead(**SMALL).fit(TRAIN, VALIDATION, SIZE, covariances=covariances(batches))
    assert np.array_equal(again.predict(TEST, SIZE).maps, fitted.predict(TEST, SIZE).maps)


def test_what_is_called_after_every_step_sees_the_training_and_changes_nothing(fitted):
    norms = []
    watched = JointHead(**SMALL)
    watched.fit(
        TRAIN,
        VALIDATION,
        SIZE,
        after_step=lambda: norms.append(float(watched.discriminator_.heads[0][0].weight.detach().norm())),
    )
    assert len(norms) == len(set(norms)) == SMALL["steps"]
    assert np.array_equal(watched.predict(TEST, SIZE).maps, fitted.predict(TEST, SIZE).maps)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("distances", False), ("image_score", "map"), ("smoothing_sigma", 0.0)),
        *(("weights", "artificial"), ("combination", "soft maximum")),
    ],
)
def test_another_scoring_is_what_a_training_with_it_gives(fitted, name, value):
    changes = {name: value}
    artificial = Artificial(TEST, np.indices((len(TEST[0]), *SIZE)).sum(axis=0) < 20)
    trained = JointHead(**SMALL | changes).fit(TRAIN, VALIDATION, SIZE, artificial).predict(TEST, SIZE)
    rescored = fitted.with_scoring(VALIDATION, SIZE, artificial, **changes).predict(TEST, SIZE)
    assert np.array_equal(rescored.maps, trained.maps)
    assert np.array_equal(rescored.scores, trained.scores)


def test_a_distance_is_averaged_with_the_discriminator_on_one_scale(fitted):
    def parts(maps):
        discriminator = -fitted.discriminator_(fitted.joint(maps))
        return discriminator, maps[0].norm(dim=1, keepdim=True)

    def standardised(values, normal):
        return (values - normal.mean()) / normal.std()

    pairs = list(zip(parts(TEST), parts(VALIDATION), strict=True))
    pixels = [standardised(to_maps(found, SIZE, 4.0), to_maps(normal, SIZE, 4.0)) for found, normal in pairs]
    images = [
        standardised(*(top_mean(torch.from_numpy(to_maps(part, SIZE, 4.0))).numpy() for part in pair)) for pair in pairs
    ]
    prediction = fitted.predict(TEST, SIZE)
    np.testing.assert_allclose(prediction.maps, np.mean(pixels, axis=0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(prediction.scores, np.mean(images, axis=0), rtol=1e-3, atol=1e-3)


def test_the_soft_maximum_of_image_scores_is_between_the_mean_and_the_highest_part(fitted):
    soft = fitted.with_scoring(VALIDATION, SIZE, combination="soft maximum")
    found, mean = soft.predict(TEST, SIZE), fitted.predict(TEST, SIZE)
    assert np.array_equal(found.maps, mean.maps)
    parts = soft._parts(soft.joint(TEST), TEST)
    of_images = torch.stack([soft.image_scores(part, SIZE) for part in parts])
    relative = (of_images - soft.scales_[:, 2:3]) / soft.scales_[:, 3:4]
    expected = TEMPERATURE * (relative / TEMPERATURE).exp().mean(dim=0).log()
    np.testing.assert_allclose(found.scores, expected.numpy(), rtol=1e-4, atol=1e-4)
    assert (found.scores >= mean.scores).all()
    assert (found.scores <= relative.amax(dim=0).numpy() + 1e-4).all()


def test_members_with_weights_are_combined_as_outputs_are():
    generator = np.random.default_rng(0)
    values = [generator.normal(0, 5, 4).astype(np.float32) for _ in range(3)]
    weights = [3.0, 1.0, 0.5]
    normal = Prediction(np.array([-1, 1], np.float32), None)  # mean 0, standard deviation 1
    expected = combined(
        [Prediction(each, None) for each in values], [normal] * 3, "soft maximum", [[w, w] for w in weights]
    )
    found = head.soft_maximum([(w, torch.from_numpy(each)) for w, each in zip(weights, values, strict=True)])
    np.testing.assert_allclose(found.numpy(), expected.scores, rtol=1e-5)
    assert head.soft_maximum([(1.0, torch.tensor([1e6])), (1.0, torch.tensor([0.0]))]).isfinite().all()


def test_a_deviations_norm_is_a_distance_too():
    settings = SMALL | {"kinds": {"first": "deviation", "second": "features"}, "steps": 2}
    parts = JointHead(**settings).fit(TRAIN, VALIDATION, SIZE)._parts(torch.zeros(4, 6, 8, 6), TEST)
    assert len(parts) == 2
    torch.testing.assert_close(parts[1], TEST[0].norm(dim=1, keepdim=True))


def test_distances_need_validation_images():
    with pytest.raises(ValueError, match="validation images"):
        JointHead(**SMALL).fit(TRAIN, None, SIZE)


def test_what_finds_no_artificial_anomaly_counts_next_to_nothing(fitted):
    artificial, places = members_maps(8, 4), np.zeros((8, *SIZE), bool)
    artificial[0][:, :, 4:6, 2:4] += 6  # seen by the distance, and by the discriminator
    rows, columns = (side // count for side, count in zip(SIZE, (8, 6), strict=True))
    places[:, 4 * rows : 6 * rows, 2 * columns : 4 * columns] = True
    distances = JointHead(**SMALL | {"kinds": KINDS | WHOLE, "weights": "artificial"})
    whole = whole_image_distances([1.0, 2.0, 1.5, 2.5])
    maps = [*VALIDATION, whole]
    changed = Artificial([*artificial, whole.repeat(2, 1, 1, 1)], places)
    distances.fit([*TRAIN, whole_image_distances([1.0] * 8)], maps, SIZE, changed)
    assert distances.scales_[:, 4].tolist() == pytest.approx([1.0, 1.0, LEAST_WEIGHT])
    assert distances.scales_[0, 5] > 0.1
    assert distances.scales_[2, 5] == LEAST_WEIGHT


def test_weights_need_artificial_anomalies():
    with pytest.raises(ValueError, match="artificial anomalies"):
        JointHead(**SMALL | {"weights": "artificial"}).fit(TRAIN, VALIDATION, SIZE)


def test_an_images_score_is_its_maps_maximum_if_the_setting_says_so():
    fitted = JointHead(**SMALL | {"steps": 2}, distances=False, image_score="map").fit(TRAIN, None, SIZE)
    prediction = fitted.predict(TEST, SIZE)
    assert prediction.scores.tolist() == prediction.maps.max(axis=(1, 2)).tolist()


def test_the_noise_of_an_adapter_is_the_same_in_all_channels_behind_it(monkeypatch):
    used = []
    fit = head.fit_discriminator
    monkeypatch.setattr(head, "fit_discriminator", lambda *a, **k: used.append(a[2].noise_shape) or fit(*a, **k))
    settings = SMALL | {"steps": 2, "projection_steps": 2, "projection": "adapter", "distances": False}
    JointHead(**settings).fit(TRAIN, None, SIZE)
    assert used == ["isotropic", "squared"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"transform": "local"}, "transform"),
        ({"projection": "adapter", "kinds": {"second": "features"}}, "no member has a cut of the kind 'distance'"),
        ({"projection": "joint", "noise_place": "joint"}, "mixes the channels"),
        ({"projection": "linear"}, "projection"),
        ({"noise": "perlin"}, "noise"),
        ({"noise_shape": "round"}, "noise_shape"),
        ({"noise_place": "images"}, "noise_place"),
        ({"equalise": "all"}, "equalise"),
        ({"noise_scale": 0}, "noise_scale"),
        ({"patches_per_step": 0}, "patches_per_step"),
    ],
)
def test_a_hyperparameter_out_of_range_raises(values, message):
    with pytest.raises(ValueError, match=message):
        JointHead(**{"kinds": KINDS} | values)


WHOLE = {"whole": "distance"}


def whole_image_distances(distances: list[float]) -> torch.Tensor:
    return torch.tensor(distances)[:, None, None, None] + torch.tensor([0.0, 0.01])[:, None, None]


def test_a_member_that_sees_the_image_as_a_whole_counts_for_the_image_score_alone(fitted):
    head = JointHead(**SMALL | {"kinds": KINDS | WHOLE})
    train, validation = whole_image_distances([1.0] * 8), whole_image_distances([1.0, 2.0, 1.0, 2.0])
    head.fit([*TRAIN, train], [*VALIDATION, validation], SIZE)
    found = head.predict([*TEST, whole_image_distances([1.0, 9.0, 1.0, 9.0])], SIZE)
    assert np.array_equal(found.maps, fitted.predict(TEST, SIZE).maps)
    normal = validation.norm(dim=1).flatten().numpy()
    distances = (
        whole_image_distances([1.0, 9.0, 1.0, 9.0]).norm(dim=1).flatten().numpy() - normal.mean()
    ) / normal.std()
    assert found.scores == pytest.approx((2 * fitted.predict(TEST, SIZE).scores + distances) / 3, rel=1e-4)
    again = JointHead(**SMALL | {"kinds": KINDS | WHOLE})
    again.load_state_dict(head.state_dict())
    assert np.array_equal(again.predict([*TEST, train[:4]], SIZE).scores, head.predict([*TEST, train[:4]], SIZE).scores)


def test_a_member_that_sees_the_image_as_a_whole_may_join_after_the_training(fitted):
    validation, test = [[*maps, whole_image_distances([1.0, 2.0, 1.0, 3.0])] for maps in (VALIDATION, TEST)]
    trained = JointHead(**SMALL | {"kinds": KINDS | WHOLE})
    trained.fit([*TRAIN, whole_image_distances([1.0] * 8)], validation, SIZE)
    joined = fitted.with_scoring(validation, SIZE, kinds=KINDS | WHOLE)
    assert np.array_equal(joined.predict(test, SIZE).scores, trained.predict(test, SIZE).scores)
    assert np.array_equal(joined.predict(test, SIZE).maps, trained.predict(test, SIZE).maps)
    with pytest.raises(ValueError, match="joins other members"):
        fitted.with_scoring(VALIDATION[:1], SIZE, kinds={"first": "distance"})
