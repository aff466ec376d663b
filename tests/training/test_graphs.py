"""The bookkeeping around a CUDA graph, with a stand-in that runs the work again into the same memory, as a replay does."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from fakeface.training.graphs import GraphedPasses


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2)
    )


def passes_of(model: nn.Module, seen: list[int]):
    def passes(x, y, size):
        seen.append(len(y))
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss.detach() * size, y.sum()

    return passes


def stand_in(model: nn.Module):
    def record(work):
        work()  # warming up leaves traces in buffers and random numbers
        outputs = work()
        trained = [p for p in model.parameters() if p.requires_grad]
        memory = [p.grad for p in trained]

        def replay():
            for kept, new in zip(outputs, work(), strict=True):
                kept.copy_(new)
            for kept, p in zip(memory, trained, strict=True):
                kept.copy_(p.grad)
                p.grad = kept

        return outputs, replay

    return record


def cannot_record(work):
    work()
    raise RuntimeError("operation not permitted when stream is capturing")


def train(model: nn.Module, passes, sizes: tuple[int, ...]) -> list[float]:
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for n in sizes:
        x = torch.randn(n, 3, 8, 8, generator=generator)
        y = torch.randint(0, 2, (n,), generator=generator)
        optimizer.zero_grad(set_to_none=True)
        losses.append(passes(x, y, n)[0].item())
        optimizer.step()
    return losses


@pytest.mark.parametrize("sizes", [(4,), (4, 4, 4), (4, 4, 3, 4, 4, 3), (3,)])
def test_recorded_passes_train_as_plain_ones(sizes):
    plain, recorded = network(), network()
    wanted = train(plain, passes_of(plain, []), sizes)
    seen: list[int] = []
    got = train(recorded, GraphedPasses(passes_of(recorded, seen), recorded, stand_in(recorded)), sizes)
    assert got == wanted
    for a, b in zip(plain.state_dict().values(), recorded.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert seen == [sizes[0]] * 2 + list(sizes)


def test_what_cannot_be_recorded_is_said_once_and_trains_as_it_is(capsys):
    plain, other = network(), network()
    wanted = train(plain, passes_of(plain, []), (4, 4, 3))
    assert train(other, GraphedPasses(passes_of(other, []), other, cannot_record), (4, 4, 3)) == wanted
    assert capsys.readouterr().err.count("note: no CUDA graph") == 1
    for a, b in zip(plain.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_parameters_that_are_not_trained_stay_without_gradients():
    model = network()
    model[0].requires_grad_(False)
    passes = GraphedPasses(passes_of(model, []), model, stand_in(model))
    passes(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64), 4)
    assert model[0].weight.grad is None
    assert model[5].weight.grad is not None
