"""Takes the screenshots of the pages again, from this project's results: `python docs/pictures.py`, after `make repro`.

It needs Chromium. The pictures show the embedded sample alone; `data/sample` must be what the models were trained on."""

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
MLFLOW = [
    "mlflow",
    "ui",
    "--host",
    "127.0.0.1",
    "--port",
    "5000",
    "--workers",
    "1",
]  # one names its address when it answers
PHOTOS = ["data/sample/0_real/0001.jpg", "data/sample/1_fake/0005.jpg", "README.md"]


@contextmanager
def started(*command: str) -> Iterator[str]:
    """Runs a program until the picture is taken; yields what it wrote up to its first address."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield found[0]
                    break
        finally:
            process.terminate()


def opened(browser: Browser, address: str, width: int, height: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.set_default_timeout(120_000)  # MLflow starts slowly beside other work
    page.goto(address)
    return page


def save(image: Any, name: str) -> None:
    """PNG with 256 colours, or JPEG where the picture holds faces."""
    picture = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image).convert("RGB")
    if name.endswith(".png"):
        picture = picture.quantize(256)
    picture.save(IMAGES / name, optimize=True, quality=85)


def main() -> None:
    table = subprocess.run(
        [sys.executable, "-m", "fakeface.tracking.store"], capture_output=True, text=True, check=True
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        save(opened(browser, Path("reports/index.html").resolve().as_uri(), 1080, 752).screenshot(), "report.png")
        with started("fakeface", "web", "--model", "finetune", "--port", "0", "--no-browser") as address:
            page = opened(browser, address, 1000, 990)
            page.set_input_files("#photos", PHOTOS)
            page.locator("#answers").wait_for()
            page.evaluate("scrollTo(0, 0)")
            save(page.screenshot(), "web.jpg")
        with started(*MLFLOW):
            page = opened(browser, table.stdout.split()[-1], 1300, 560)
            page.get_by_role("link", name="finetune").first.wait_for()
            for button in ("Hide banner", "Close"):  # of the saved view, and of MLflow's assistant
                page.get_by_role("button", name=button, exact=True).click()
            page.wait_for_timeout(1000)  # while the table grows
            save(page.screenshot(), "mlflow_runs.png")
        browser.close()
    save("reports/explain/figures/gradcam_finetune.jpg", "heat_maps.jpg")


if __name__ == "__main__":
    main()
