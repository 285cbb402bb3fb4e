"""Real Chromium: the one on PATH, else Debian's, unpacked into the user's cache with what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from tests.debian import unpacked

# Nothing of its own goes to the network: a page that works without internet is tested without.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<dir>{root}/usr/share/fonts</dir><cachedir>{cache}</cachedir>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias></fontconfig>
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser. Without one on PATH and without apt-get the test fails and names the remedy."""
    with TemporaryDirectory(prefix="stream-app-fonts-") as folder, sync_playwright() as playwright:
        path, environment = installed() or ours(Path(folder))
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS), env=environment)
        try:
            yield browser
        finally:
            browser.close()


def installed() -> tuple[Path, dict[str, str | float | bool]] | None:
    """The one on PATH."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return (Path(found), {**os.environ}) if found else None


def ours(folder: Path) -> tuple[Path, dict[str, str | float | bool]]:
    """Debian's, with its libraries and a font; `folder` takes what fontconfig writes."""
    root = unpacked("chromium", "fonts-dejavu-core")
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS.format(root=root, cache=folder / "cache"))
    libraries = [folder for folder in (root / "usr" / "lib").glob("*-linux-gnu*") if folder.is_dir()]
    paths = [str(path) for library in libraries for path in (library, library / "pulseaudio")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(paths), "FONTCONFIG_FILE": str(fonts)}
    return root / "usr" / "lib" / "chromium" / "chromium", {**environment}
