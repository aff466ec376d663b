"""How fast a training is alone and beside another process that computes, by where OpenMP's threads run and how they wait.

    python benchmarks/waiting.py [--rounds 3] [--seconds 3]

Each way is timed in a process of its own, in turn: steps of mynet, batch 16, crop 128, bf16, one thread for each core.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

WAYS = {
    "any core": {"OMP_PROC_BIND": "false"},
    "a core each, as the stages do": {"OMP_PROC_BIND": "true"},
    "any core, OMP_WAIT_POLICY=passive": {"OMP_PROC_BIND": "false", "OMP_WAIT_POLICY": "passive"},
}
BATCH, CROP = 16, 128


def train(seconds: float) -> float:
    """Images/s of training steps on noise."""
    import torch
    from torch.nn.functional import cross_entropy

    from fakeface.detector.networks import build

    torch.set_num_threads(os.cpu_count() or 1)
    model = build("mynet", CROP).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    x, y = torch.randn(BATCH, 3, CROP, CROP), torch.randint(0, 2, (BATCH,))
    steps, started = -3, time.perf_counter()
    while (now := time.perf_counter()) - started < seconds:
        if steps < 0:  # not timed
            started = now
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        cross_entropy(logits.float(), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return BATCH * steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(train(options.seconds))
        return
    command = [sys.executable, __file__, "--train", "--seconds", str(options.seconds)]
    spinning = [sys.executable, "-c", "while True: pass"]
    training = [sys.executable, __file__, "--train", "--seconds", "3600"]
    besides = {"alone": None, "beside a process that computes": spinning, "beside another training": training}
    for title, beside in besides.items():
        other = subprocess.Popen(beside, stdout=subprocess.DEVNULL) if beside else None
        try:
            found: dict[str, list[float]] = {name: [] for name in WAYS}
            for _ in range(options.rounds):
                for name, settings in WAYS.items():
                    said = subprocess.run(
                        command, env=os.environ | settings, capture_output=True, text=True, check=True
                    )
                    found[name].append(float(said.stdout))
        finally:
            if other is not None:
                other.kill()
        for name, speeds in found.items():
            print(
                f"{title}: {name}: {median(speeds):.0f} images/s ({min(speeds):.0f} to {max(speeds):.0f})", flush=True
            )


if __name__ == "__main__":
    main()
