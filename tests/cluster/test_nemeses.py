"""Three workers in networks of their own, of which some die, stand still, leave and are cut off (promises D4, D5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.nemeses.__main__ import Trial
from tests.cluster.nemeses.nemeses import NEMESES
from tests.cluster.nemeses.network import is_possible
from tests.cluster.servers.etcd import SCRIPT, is_installed
from tests.faults.daemons import LONG, SEED, report

SECONDS = 25 if LONG else 4
# On a busy machine nothing is quick.
PATIENCE_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("nemesis", NEMESES if LONG else ["cut"])
def test_nemesis(tmp_path: Path, nemesis: str) -> None:
    """Nothing is lost, torn, wrong or old, whoever is asked; and no read is lost by a client whose own worker is there."""
    if not is_possible():
        pytest.skip("networks take root, iproute2 and util-linux")
    if not is_installed():
        pytest.skip(f"etcd is not installed: {SCRIPT} install")
    verdict, told = Trial(nemesis, SECONDS / 60, SEED, timeout=PATIENCE_SECONDS).run(tmp_path / nemesis)
    assert verdict.clean, verdict.told()
    report("cluster", told)
