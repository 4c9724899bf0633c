import pytest
import torch
import torch.nn.functional as F

from iadlib.detectors.reverse_distillation import Bottleneck, Decoder, ReverseDistillation, distillation_loss

SMALL = {"blocks": (1, 1, 1, 1), "epochs": 2, "smoothing_sigma": 0}


@pytest.fixture(scope="module")
def fitted(normal_images):
    return ReverseDistillation(**SMALL, training_batch_size=4).fit(normal_images)


def maps_of(generator_seed, *shapes):
    generator = torch.Generator().manual_seed(generator_seed)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


def test_the_loss_is_zero_for_the_teachers_own_maps_and_two_a_scale_for_their_negatives():
    maps = maps_of(0, (2, 3, 8, 6), (2, 5, 4, 3))
    assert distillation_loss(maps, maps).abs() < 1e-6
    assert (distillation_loss(maps, [-m for m in maps]) - 4).abs() < 1e-6


def test_the_loss_does_not_see_the_scale_of_a_map():
    teacher, student = maps_of(0, (2, 3, 8, 6), (2, 5, 4, 3)), maps_of(1, (2, 3, 8, 6), (2, 5, 4, 3))
    torch.testing.assert_close(
        distillation_loss(teacher, [7 * student[0], 0.1 * student[1]]), distillation_loss(teacher, student)
    )


def test_the_loss_compares_an_images_whole_map_not_its_positions():
    (teacher,) = maps_of(0, (2, 3, 8, 6))
    louder = teacher.clone()
    louder[:, :, 0, 0] *= 50  # every position still points where the teacher's does
    assert (1 - F.cosine_similarity(teacher, louder, dim=1)).max() < 1e-6
    assert distillation_loss([teacher], [louder]) > 0.1
    product, *squares = ((a * b).sum((1, 2, 3)) for a, b in ((teacher, louder), (teacher, teacher), (louder, louder)))
    by_hand = 1 - product / (squares[0] * squares[1]).sqrt()
    torch.testing.assert_close(distillation_loss([teacher], [louder]), by_hand.mean())


def test_only_bottleneck_and_decoder_learn(normal_images):
    detector = ReverseDistillation(**SMALL)
    before = [parameter.clone() for parameter in detector._backbone.network.parameters()]
    detector.build()
    fresh = [p.clone() for module in (detector.bottleneck_, detector.decoder_) for p in module.parameters()]
    detector.fit(normal_images)
    learned = [p for module in (detector.bottleneck_, detector.decoder_) for p in module.parameters()]
    after = list(detector._backbone.network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None and not p.requires_grad for p in after)
    assert not any(torch.equal(a, b) for a, b in zip(fresh, learned, strict=True))
    assert not any(p.requires_grad for p in learned)


def test_the_student_learns(normal_images):
    losses = ReverseDistillation(**SMALL | {"epochs": 15}).fit(normal_images).losses_
    assert losses.shape == (15,)
    assert losses[0] > 2  # of at most 6, for three scales
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("size", [(64, 48), (71, 50), (90, 122)])
def test_the_decoder_mirrors_the_teachers_shapes(fitted, size):
    teacher_maps = fitted.teacher(torch.rand(2, 3, *size))
    embedding = fitted.bottleneck_(teacher_maps)
    student_maps = fitted.student(teacher_maps)
    height, width = teacher_maps[-1].shape[-2:]
    assert embedding.shape == (2, 2 * 112, (height + 1) // 2, (width + 1) // 2)
    assert [m.shape for m in student_maps] == [m.shape for m in teacher_maps]
    assert [m.shape[1] for m in student_maps] == [24, 40, 112]


def test_grids_that_are_rounded_down_fit_too():
    maps = maps_of(0, (2, 8, 15, 11), (2, 16, 7, 5), (2, 24, 3, 2))
    embedding = Bottleneck([8, 16, 24], 2)(maps)
    found = Decoder([8, 16, 24], [1, 2, 3], [True] * 3)(embedding, [m.shape[-2:] for m in maps])
    assert [m.shape for m in found] == [m.shape for m in maps]


def test_the_students_maps_are_rectified_where_the_teachers_are():
    maps = maps_of(0, (2, 8, 16, 12), (2, 16, 8, 6))
    found = Decoder([8, 16], [1, 1], [True, False])(Bottleneck([8, 16], 1)(maps), [m.shape[-2:] for m in maps])
    assert found[0].min() == 0
    assert found[1].min() < 0


def test_scores_are_the_sum_of_upsampled_cosine_distances(fitted, test_images):
    stations = dict(fitted.stations(test_images))
    teacher_maps = fitted.teacher(test_images)
    expected = torch.zeros(4, 1, 64, 48)
    for theirs, ours in zip(teacher_maps, fitted.student(teacher_maps), strict=True):
        cosine = torch.einsum("nchw,nchw->nhw", theirs, ours) / (theirs.norm(dim=1) * ours.norm(dim=1))
        expected += F.interpolate(1 - cosine[:, None], size=(64, 48), mode="bilinear")
    torch.testing.assert_close(stations["scores"], expected)
    finest = stations["difference"][:, :24].square().sum(dim=1) / 2  # as the docstring says
    cosine = F.cosine_similarity(teacher_maps[0], fitted.student(teacher_maps)[0], dim=1)
    torch.testing.assert_close(finest, 1 - cosine, atol=1e-5, rtol=1e-4)
    assert stations["difference"].shape == (4, 24 + 40 + 112, 16, 12)


def test_images_too_small_for_the_coarsest_layer_raise(fitted):
    with pytest.raises(ValueError, match="48 pixels or more are needed"):
        fitted.teacher(torch.rand(1, 3, 64, 32))


def test_layers_whose_grids_do_not_halve_raise(normal_images):
    with pytest.raises(ValueError, match="consecutive layers"):
        ReverseDistillation(layers=(0, 2), blocks=(1, 1, 1)).fit(normal_images)


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", (2, 1)), ("blocks", (1, 1, 1)), ("epochs", 0), ("training_batch_size", 0), ("learning_rate", 0)],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        ReverseDistillation(**{name: value})
