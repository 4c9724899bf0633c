"""A headless Chromium, where the machine has one."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Every picture has content and a text for those who do not see it; nothing is wider than the screen.
LOOK = """() => ({
    broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).map(image => image.alt),
    without: [...document.images].filter(image => !image.alt).length,
    pictures: document.images.length,
    wide: document.documentElement.scrollWidth - window.innerWidth,
})"""


@dataclass
class Opened:
    """A page in the browser and what it has complained about."""

    page: object
    errors: list[str] = field(default_factory=list)

    def look(self) -> dict:
        self.page.wait_for_timeout(300)
        return self.page.evaluate(LOOK)


@pytest.fixture(scope="session")
def browser() -> Iterator:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Opened]]:
    """Open a file, without a network, in a window of some width; "dark" or "light" is what its reader prefers."""
    contexts = []

    def visit(path: Path, width: int, scheme: str = "light") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True, has_touch=True
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda line: opened.errors.append(line.text) if line.type == "error" else None)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.on("requestfailed", lambda request: opened.errors.append(request.url[:80]))
        opened.page.goto(path.resolve().as_uri())
        return opened

    yield visit
    for context in contexts:
        context.close()
