"""Images/s of each network as it is and fused for scoring on a CPU (`fakeface/detector/backbones/fused.py`), in turn.

    python benchmarks/fused.py --turns 15

One thread, batches of 8 random images, processor time. ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 or AVX2 shows other processors.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from fakeface.detector.backbones.fused import for_scoring
from fakeface.detector.device import Compute, configure
from fakeface.detector.networks import build

CROPS = {"efficientnet_lite0": 160, "resnet18": 224, "vgg11": 96, "mynet": 128}
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--precision", choices=("bf16", "fp32"), action="append", help="both if not given")
    args = parser.parse_args()
    print(
        "| network, crop | precision | images/s | ratio, median | error of logits, plain -> fused |\n|---|---|---|---|---|"
    )
    for precision in args.precision or ("bf16", "fp32"):
        compute = configure(0, 1, "cpu", precision)
        for name, side in CROPS.items():
            print(row(name, side, compute, args.turns), flush=True)


def row(name: str, side: int, compute: Compute, turns: int) -> str:
    model = build(name, side).eval().to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):  # else folding is a multiplication by one
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.1)
    networks = (model, for_scoring(model, compute))
    images = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = model(images)
        with compute.autocast():
            errors = [float((network(images).float() - exact).abs().max()) for network in networks]
            seconds: list[list[float]] = [[], []]
            for _ in range(turns):
                for network, taken in zip(networks, seconds, strict=True):
                    start = time.process_time()
                    network(images)
                    taken.append(time.process_time() - start)
    plain, fused = (BATCH / statistics.median(taken) for taken in seconds)
    ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
    speed, error = f"{plain:.0f} -> {fused:.0f}", f"{errors[0]:.2g} -> {errors[1]:.2g}"
    return f"| {name}, {side} | {compute.precision} | {speed} | {ratio:.2f} | {error} |"


if __name__ == "__main__":
    main()
