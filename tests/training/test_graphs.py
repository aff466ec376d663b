"""The bookkeeping around a CUDA graph, without a GPU: the recorder is stood in for. test_cuda.py records true graphs."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from fakeface.training import graphs


class Plain:
    """A small network, of which one weight is frozen, and its passes; `seen`: images in each call."""

    def __init__(self):
        torch.manual_seed(0)
        flat = (nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *flat)
        self.model[0].weight.requires_grad_(False)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.seen = []

    def passes(self, x, y, size):
        self.seen.append(len(y))
        loss = cross_entropy(self.model(x), y)
        loss.backward()
        return loss.detach() * size, y.sum()

    def cannot_record(self, work):
        work()  # warming up leaves traces in buffers and random numbers
        raise RuntimeError("operation not permitted when stream is capturing")

    def record(self, work):
        """The replay runs the work again into the memory of the recorded outputs and gradients."""
        work()
        outputs = work()
        memory = [p.grad for p in self.trained]

        def replay():
            new = [*work(), *(p.grad for p in self.trained)]
            for kept, value in zip([*outputs, *memory], new, strict=True):
                kept.copy_(value)
            for p, kept in zip(self.trained, memory, strict=True):
                p.grad = kept

        return outputs, replay


def train(network, passes):
    """Losses of batches of 4, and of smaller ones as at an epoch's end."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(network.trained, lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for n in (4, 4, 3, 4, 3):
        x, y = torch.randn(n, 3, 8, 8, generator=generator), torch.randint(0, 2, (n,), generator=generator)
        losses.append(passes(x, y, n)[0].item())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


@pytest.mark.parametrize(("way", "warm_up", "notes"), [("record", [4, 4], 0), ("cannot_record", [4], 1)])
def test_passes_that_are_recorded_or_cannot_be_train_as_plain_ones(way, warm_up, notes, monkeypatch, capsys):
    plain, ours = Plain(), Plain()
    monkeypatch.setattr(graphs, "record", getattr(ours, way))
    wanted = train(plain, plain.passes)
    assert train(ours, graphs.GraphedPasses(ours.passes, ours.model)) == wanted
    assert ours.seen == warm_up + plain.seen
    assert capsys.readouterr().err.count("note: no CUDA graph") == notes
    assert ours.model[0].weight.grad is None
    for a, b in zip(plain.model.state_dict().values(), ours.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
