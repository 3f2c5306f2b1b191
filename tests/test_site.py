"""The pages as a site (make docs-site)."""

from __future__ import annotations

import subprocess

import pytest

from tests.running import ROOT

INSTALLED = ROOT / ".tools" / "docs-site" / ".installed"


@pytest.mark.skipif(not INSTALLED.exists(), reason="make test installs what renders the site")
def test_the_site_renders() -> None:
    """Every page is in the list of the site, every link between pages leads somewhere, and nothing is remarked upon."""
    done = subprocess.run(["make", "docs-site"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index"}
    assert pages <= {page.stem for page in (ROOT / "build" / "site").glob("*.html")}
