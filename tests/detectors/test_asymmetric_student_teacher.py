import math

import numpy as np
import pytest
import torch

from iadlib.detectors.asymmetric_student_teacher import (
    AsymmetricStudentTeacher,
    Student,
    Teacher,
    negative_log_likelihood,
    positional_encoding,
)

SMALL = {
    "standardise": True,
    "teacher_blocks": 2,
    "teacher_hidden_channels": 8,
    "student_blocks": 1,
    "student_hidden_channels": 8,
    "teacher_epochs": 3,
    "student_epochs": 2,
    "learning_rate": 0.005,
}


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    teacher = Teacher(6, 8, blocks=2, hidden_channels=5, clamp=1.9).double()
    for name, parameter in teacher.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.normal_(parameter)  # it starts at 0
    return teacher.requires_grad_(False)


def drawn(count, *shape):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def jacobian(network, features):
    found = torch.autograd.functional.jacobian(network, features)
    return found.reshape(features.numel(), features.numel())


def test_the_teacher_inverts(teacher):
    features = drawn(3, 6, 4, 3)
    latent, there = teacher(features)
    again, back = teacher(latent, rev=True)
    assert (latent - features).abs().max() > 0.1
    torch.testing.assert_close(again, features)
    torch.testing.assert_close(back, -there)


def test_the_teachers_log_determinant_is_autograds(teacher):
    features = drawn(1, 6, 3, 2)
    expected = torch.linalg.slogdet(jacobian(lambda f: teacher(f)[0], features)).logabsdet
    torch.testing.assert_close(teacher(features)[1], expected.view(1))


def test_the_student_is_no_flow(teacher):
    features = drawn(1, 6, 3, 2)
    student = Student(6, 8, blocks=1, hidden_channels=2).double().eval().requires_grad_(False)
    assert torch.linalg.matrix_rank(jacobian(lambda f: teacher(f)[0], features)) == 36
    assert torch.linalg.matrix_rank(jacobian(student, features)) <= 12  # 2 hidden channels at 6 places


def test_the_teachers_output_depends_on_the_position(teacher):
    latent, _ = teacher(torch.zeros(1, 6, 6, 5, dtype=torch.float64))
    inner = latent[..., 2:-2, 2:-2]  # beyond the reach of the border's padding
    assert inner.shape[-2:] == (2, 1)
    assert not torch.allclose(inner[..., 0, :], inner[..., 1, :])


def test_positions_differ_in_sines_and_cosines():
    encoding = positional_encoding(8, 5, 4)
    assert encoding.shape == (8, 5, 4)
    assert encoding[0, 2, 3] == pytest.approx(math.sin(2))
    assert encoding[3, 2, 3] == pytest.approx(math.cos(2 / 100))
    assert encoding[4, 2, 3] == pytest.approx(math.sin(3))
    places = encoding.flatten(1).T
    assert (torch.cdist(places, places) + 9 * torch.eye(20) > 0.1).all()


def test_the_student_learns_from_the_teacher_and_the_teacher_not_from_the_student(normal_images):
    detectors = (AsymmetricStudentTeacher(**SMALL | {"student_epochs": n}) for n in (1, 20))
    first, second = (detector.fit(normal_images) for detector in detectors)
    weights = [list(d.teacher_.state_dict().values()) for d in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    of_student = second.losses["student"]  # 8 images are one step an epoch
    assert {name: len(losses) for name, losses in second.losses.items()} == {"teacher": 3, "student": 20}
    assert of_student[-1] < 0.8 * of_student[0]


def test_the_likelihood_is_the_standard_normals_by_change_of_variables(teacher):
    features = drawn(2, 6, 4, 3)
    latent, log_determinant = teacher(features)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(latent).flatten(1).sum(1) + log_determinant
    expected = -density.mean() / features[0].numel() - math.log(2 * math.pi) / 2
    torch.testing.assert_close(negative_log_likelihood(latent, log_determinant), expected)


def test_scores_are_the_distance_of_the_outputs(normal_images, test_images):
    detector = AsymmetricStudentTeacher(**SMALL, image_score="patch").fit(normal_images)
    stations = dict(detector.stations(test_images))
    features = detector._standardised(detector.embedding(test_images))
    latent, _ = detector.teacher_(features)
    expected = (latent - detector.student_(features)).square().mean(1, keepdim=True)
    torch.testing.assert_close(stations["scores"], expected)
    torch.testing.assert_close(stations["image_scores"], expected.flatten(1).amax(1))


def test_building_leaves_numpys_random_numbers_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    AsymmetricStudentTeacher(**SMALL).build()
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("name", "value"), [("position_channels", 6), ("student_epochs", 0), ("clamp", 0), ("learning_rate", -1)]
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        AsymmetricStudentTeacher(**{name: value})
