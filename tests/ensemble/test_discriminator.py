import pytest
import torch
from sklearn.metrics import roc_auc_score

from iadlib.ensemble.discriminator import (
    CHUNK,
    Discriminator,
    fit_discriminator,
    separation,
    simplex_fields,
    vectors_of,
)
from iadlib.ensemble.settings import HeadSettings


def test_separation_is_the_auroc():
    generator = torch.Generator().manual_seed(0)
    normal, anomalous = torch.randn(40, generator=generator).round(), torch.randn(30, generator=generator).round() - 1
    labels = [1] * 40 + [0] * 30
    expected = roc_auc_score(labels, torch.cat([normal, anomalous]).numpy())
    assert separation(normal, anomalous) == pytest.approx(expected)


def test_simplex_noise_has_unit_variance_and_structures():
    torch.manual_seed(0)
    fields = simplex_fields(20, 8, (16, 12), torch.device("cpu"))
    assert fields.shape == (20, 8, 16, 12)
    assert float(fields.var()) == pytest.approx(1, abs=0.1)
    assert float((fields[..., 1:] * fields[..., :-1]).mean() / fields.var()) > 0.3


def test_scores_do_not_depend_on_chunks():
    torch.manual_seed(0)
    discriminator = Discriminator(4, 8, heads=2).eval()
    maps = torch.randn(3, 4, 30, 25)
    assert len(vectors_of(maps)) > 2 * CHUNK
    with torch.inference_mode():
        expected = discriminator.scores_by_head(vectors_of(maps)).mean(dim=1).view(3, 1, 30, 25)
        torch.testing.assert_close(discriminator(maps), expected)


def learned_from(maps, monkeypatch, **settings):
    """The normal and the artificial vectors of all steps, (steps, patches, C) each, that a discriminator is given."""
    given = []
    discriminator = Discriminator(sum(each.shape[1] for each in maps), 4)
    score = discriminator.scores_by_head
    monkeypatch.setattr(discriminator, "scores_by_head", lambda both: given.append(both.detach()) or score(both))
    how = {name: settings.pop(name) for name in ("join", "distances") if name in settings}
    settings = HeadSettings(noise_scale=0.5, steps=20, patches_per_step=384, learning_rate=0.01, **settings)
    fit_discriminator(discriminator, maps, settings, "test", **how)
    return torch.stack(given).chunk(2, dim=1)


UNEQUAL = torch.randn(8, 2, 8, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0]).view(2, 1, 1)


@pytest.mark.parametrize(("noise_shape", "ratio"), [("isotropic", 1.0), ("proportional", 10.0), ("squared", 100.0)])
def test_noise_is_relative_to_the_features_own_spread(noise_shape, ratio, monkeypatch):
    normal, anomalous = learned_from([UNEQUAL], monkeypatch, noise_shape=noise_shape)
    spread = (anomalous - normal).flatten(0, 1).std(dim=0)
    assert float(spread[1] / spread[0]) == pytest.approx(ratio, rel=0.05)
    if noise_shape == "proportional":
        assert float(spread[0]) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("noise", ["gaussian", "simplex"])
def test_noise_on_members_passes_through_what_joins_them(noise, monkeypatch):
    normal, anomalous = learned_from(
        [UNEQUAL, 5 * UNEQUAL],
        monkeypatch,
        noise=noise,
        noise_shape="proportional",
        join=lambda maps: torch.cat([maps[0], maps[1] / 5], dim=1),
        distances=(False, False),
    )
    spread = (anomalous - normal).flatten(0, 1).std(dim=0)
    torch.testing.assert_close(spread, torch.tensor([0.5, 5.0, 0.5, 5.0]), rtol=0.25, atol=0)


def test_a_step_takes_its_patches_from_all_members_at_the_same_places(monkeypatch):
    rows = torch.arange(8.0).view(1, 1, 8, 1).expand(8, 1, 8, 6)
    normal, _ = learned_from(
        [rows.contiguous(), 10 * rows.contiguous()],
        monkeypatch,
        noise_shape="isotropic",
        join=lambda maps: torch.cat(list(maps), dim=1),
        distances=(False, False),
    )
    torch.testing.assert_close(normal[..., 1], 10 * normal[..., 0])


def test_a_distance_with_noise_is_never_negative(monkeypatch):
    _, anomalous = learned_from(
        [UNEQUAL.abs(), UNEQUAL],
        monkeypatch,
        noise_shape="proportional",
        join=lambda maps: torch.cat(list(maps), dim=1),
        distances=(True, False),
    )
    assert (anomalous[..., :2] >= 0).all()
    assert (anomalous[..., 2:] < 0).any()
    # what a signed difference with noise would give, without its sign
    signed = UNEQUAL + 0.5 * UNEQUAL.square().mean(dim=(0, 2, 3)).sqrt().view(-1, 1, 1) * torch.randn(
        50, *UNEQUAL.shape, generator=torch.Generator().manual_seed(1)
    )
    assert float(anomalous[..., 1].mean()) == pytest.approx(float(signed[:, :, 1].abs().mean()), rel=0.05)
