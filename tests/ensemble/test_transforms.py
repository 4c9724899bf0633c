import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from iadlib.ensemble.transforms import (
    GlobalTransform,
    IndividualTransform,
    PrincipalComponents,
    covariances,
    kept_by_rule,
)

GENERATOR = torch.Generator().manual_seed(0)
MIXING = torch.randn(12, 12, generator=GENERATOR)
FIRST = torch.einsum("nchw,kc->nkhw", torch.randn(6, 12, 8, 5, generator=GENERATOR), MIXING) + 100
SECOND = 40 * torch.randn(6, 7, 4, 3, generator=GENERATOR)


def stream():
    for start in (0, 4):
        yield [FIRST[start : start + 4], SECOND[start : start + 4]]


def principal_components(stream) -> list[PrincipalComponents]:
    return [each.components() for each in covariances(stream)]


def vectors(maps: torch.Tensor) -> np.ndarray:
    return maps.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()


def test_components_equal_scikit_learns_up_to_sign():
    found, _ = principal_components(stream())
    reference = PCA(svd_solver="full").fit(vectors(FIRST))
    np.testing.assert_allclose(found.variances, reference.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(found.cumulative(), reference.explained_variance_ratio_.cumsum(), rtol=1e-5)
    np.testing.assert_allclose(np.abs((found.axes.double().numpy() * reference.components_).sum(1)), 1, atol=1e-5)
    expected = np.abs(reference.transform(vectors(FIRST)))[:, :5]
    np.testing.assert_allclose(np.abs(vectors(found.project(FIRST, 5))), expected, atol=2e-4)


def test_batches_do_not_matter():
    (whole,) = principal_components([[FIRST]])
    (parts,) = principal_components([part] for part in FIRST.split(1))
    torch.testing.assert_close(whole.axes, parts.axes)


def test_the_largest_entry_of_every_axis_is_positive():
    axes = principal_components([[FIRST]])[0].axes
    assert (axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_the_count_for_a_share_of_the_variance_is_the_smallest_that_reaches_it():
    (found,) = principal_components([[FIRST]])
    for share in (0.3, 0.9, 1.0):
        count = found.count_for(share)
        assert found.cumulative()[count - 1] >= share - 1e-5
        assert count == 1 or found.cumulative()[count - 2] < share


def test_one_vector_is_too_few():
    with pytest.raises(ValueError, match="two vectors"):
        principal_components([[torch.ones(1, 3, 1, 1)]])


@pytest.mark.parametrize(
    ("channels", "kept"), [([12, 7], [6, 6]), ([13, 50], [7, 6]), ([100, 40, 64], [34, 33, 33]), ([12, 3], [6, 3])]
)
def test_the_rule_shares_the_first_members_channels(channels, kept):
    assert kept_by_rule(channels) == kept


@pytest.mark.parametrize("transform", [IndividualTransform(), GlobalTransform()], ids=["individual", "global"])
def test_all_members_come_to_the_largest_grid(transform):
    joint = transform.fit(stream)([FIRST, SECOND])
    assert joint.shape == (6, 12, 8, 5)


def test_individual_keeps_each_members_own_components():
    joint = IndividualTransform(kept=[3, 2]).fit(stream)([FIRST, SECOND])
    (components,) = principal_components([[FIRST]])
    torch.testing.assert_close(joint[:, :3], components.project(FIRST, 3), rtol=1e-3, atol=1e-3)


def test_a_loud_member_takes_the_joint_components_unless_members_are_equalised():
    def share_of_second(transform: GlobalTransform) -> float:
        axes = transform.fit(stream).components_[0].axes[: transform.counts_[0]]
        return float((axes[:, 12:] ** 2).sum() / (axes**2).sum())

    quiet = [FIRST - 100, SECOND]
    assert quiet[1].var() > 10 * quiet[0].var()
    assert share_of_second(GlobalTransform(kept=4)) > 0.9
    assert share_of_second(GlobalTransform(kept=4, equalise="members")) < 0.9


@pytest.mark.parametrize("transform", [IndividualTransform, GlobalTransform])
def test_what_was_fitted_is_kept(transform):
    fitted = transform(kept=5, equalise="channels").fit(stream)
    again = transform(kept=5, equalise="channels")
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(fitted([FIRST, SECOND]), again([FIRST, SECOND]))


def test_equalised_channels_are_those_that_scikit_learn_standardises():
    transform = IndividualTransform(kept=12, equalise="channels").fit(stream)
    reference = PCA(svd_solver="full").fit(StandardScaler().fit_transform(vectors(FIRST)))
    # the sample's variance here, the population's there
    count = len(vectors(FIRST))
    expected = reference.explained_variance_ * (count - 1) / count
    np.testing.assert_allclose(transform.components_[0].variances, expected, rtol=1e-5)


def test_a_channel_that_never_changes_is_left_alone():
    maps = torch.cat([FIRST, torch.full((6, 1, 8, 5), 3.0)], dim=1)
    transform = IndividualTransform(kept=13, equalise="channels").fit(lambda: [[maps]])
    assert transform([maps]).isfinite().all()


def test_what_is_no_scale_raises():
    with pytest.raises(ValueError, match="equalise"):
        GlobalTransform(equalise="both")
