"""Trainers answer the same bits to the same question, and a vector is exactly the floating-point state of a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from participant.models import MODELS, check_base_model, model_named
from participant.trainers import DEFAULT_TRAINER, Trainer, random_seed, trainer_class
from participant.trainers.softmax import SoftmaxTrainer
from participant.trainers.torch_trainer import TorchTrainer, build, load_vector, vector_of
from protocol.charter import Charter
from protocol.errors import EncodingError, LengthError, RangeError, UnavailableError, UnknownNameError
from tests.unit.participant_world import CNN, SOFTMAX, setup, shard

BOTH = [(TorchTrainer, CNN), (SoftmaxTrainer, SOFTMAX)]


@pytest.mark.parametrize(("trainer", "charter"), BOTH)
def test_the_same_question_gets_the_same_bits(trainer: type[Trainer], charter: Charter) -> None:
    model = trainer.initial(charter, 1)
    first, metrics = trainer(setup(charter)).fit(model, 1)
    again, same = trainer(setup(charter)).fit(model, 1)
    assert first.tobytes() == again.tobytes()
    assert metrics == same
    assert first.shape == (charter.dimension,)
    assert first.dtype == np.float64


@pytest.mark.parametrize(("trainer", "charter"), BOTH)
def test_round_index_and_seed_each_change_the_order_of_batches(trainer: type[Trainer], charter: Charter) -> None:
    model = trainer.initial(charter, 1)
    updates = [
        trainer(setup(charter)).fit(model, 1)[0],
        trainer(setup(charter)).fit(model, 2)[0],
        trainer(setup(charter, index=1)).fit(model, 1)[0],
        trainer(setup(charter, seed=2)).fit(model, 1)[0],
    ]
    assert len({update.tobytes() for update in updates}) == 4


@pytest.mark.parametrize(("trainer", "charter"), BOTH)
def test_training_twice_in_one_process_changes_nothing(trainer: type[Trainer], charter: Charter) -> None:
    one = trainer(setup(charter))
    model = trainer.initial(charter, 1)
    first = one.fit(model, 1)[0]
    one.fit(model + first, 2)
    torch.rand(3)  # somebody else's random numbers
    assert one.fit(model, 1)[0].tobytes() == first.tobytes()


@pytest.mark.parametrize(("trainer", "charter"), BOTH)
def test_a_trained_model_is_better_and_the_base_is_not_touched(trainer: type[Trainer], charter: Charter) -> None:
    one, samples = trainer(setup(charter)), shard()
    model = trainer.initial(charter, 1)
    before = model.copy()
    update, _ = one.fit(model, 1)
    assert np.array_equal(model, before)
    assert one.evaluate(model + update, samples)["accuracy"] > one.evaluate(model, samples)["accuracy"] + 0.3


def test_the_initial_model_is_a_function_of_the_seed_and_leaves_global_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (TorchTrainer.initial(CNN, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_demo_model_has_6090_coordinates() -> None:
    assert model_named("cnn-8x8").dimension == 6090


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("softmax")])
def test_every_network_is_the_one_that_models_describe(name: str) -> None:
    assert len(vector_of(build(model_named(name)))) == model_named(name).dimension


def test_a_vector_splits_into_named_tensors_and_a_wrong_length_does_not() -> None:
    model = model_named("softmax-30")
    parts = model.split(np.arange(62.0))
    assert {name: part.shape for name, part in parts.items()} == {"linear.weight": (2, 30), "linear.bias": (2,)}
    assert parts["linear.bias"].tolist() == [60.0, 61.0]
    with pytest.raises(LengthError):
        model.split(np.arange(63.0))


def test_integer_buffers_stay_local_and_running_variances_are_clamped() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        network.state_dict()["1.num_batches_tracked"].fill_(7)
    vector = vector_of(network)
    assert len(vector) == 6 + 3 + 4 * 3  # weight, bias, and of the normalisation: scale, shift, mean, variance
    load_vector(network, np.full(len(vector), -1.0))
    state = network.state_dict()
    assert state["1.running_var"].tolist() == [0.0, 0.0, 0.0]
    assert state["1.running_mean"].tolist() == [-1.0, -1.0, -1.0]
    assert int(state["1.num_batches_tracked"]) == 7


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(LengthError, match="expected 6090, got 3"):
        load_vector(build(model_named("cnn-8x8")), np.zeros(3))


@pytest.mark.parametrize("value", [128.5, -1e9, float("nan"), float("inf")])
def test_a_base_model_outside_128_is_refused(value: float) -> None:
    model = np.zeros(SOFTMAX.dimension)
    model[3] = value
    with pytest.raises(RangeError, match="base model"):
        check_base_model(model)
    for trainer, charter in BOTH:
        base = np.zeros(charter.dimension)
        base[3] = value
        with pytest.raises(RangeError, match="base model"):
            trainer(setup(charter)).fit(base, 1)


def test_a_trainer_is_found_by_its_path() -> None:
    assert trainer_class(DEFAULT_TRAINER) is TorchTrainer
    assert trainer_class("participant.trainers.softmax:SoftmaxTrainer") is SoftmaxTrainer


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("participant.trainers.softmax", EncodingError),
        ("participant.trainers.softmax:Nothing", EncodingError),
        ("participant.trainers.softmax:BATCH", EncodingError),
        ("participant.data:Samples", EncodingError),
        ("participant/trainers:X", EncodingError),
        ("no.such.module:X", UnavailableError),
    ],
)
def test_what_is_not_a_trainer_is_refused(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        trainer_class(path)


def test_models_and_trainers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown model"):
        model_named("resnet")
    with pytest.raises(UnknownNameError, match="model for TorchTrainer"):
        TorchTrainer.initial(SOFTMAX, 1)
    with pytest.raises(LengthError, match="for SoftmaxTrainer"):
        SoftmaxTrainer.initial(CNN, 1)


def test_seeds_of_different_purposes_and_numbers_differ() -> None:
    seeds = {random_seed("a", 1, 2), random_seed("b", 1, 2), random_seed("a", 2, 1), random_seed("a", 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
