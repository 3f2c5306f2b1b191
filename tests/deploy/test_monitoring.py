"""The alerts and the dashboard in deploy/, beside the metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools import print_metrics, rooms

DEPLOY = rooms.ROOT / "deploy"
HERE = Path(__file__).parent
PROMTOOL = HERE / "prometheus.sh"
NAME = re.compile(r"\balluxio_s3_[a-z0-9_]+\b")
SELECTED = re.compile(r"\b(alluxio_s3_[a-z0-9_]+)\{([^}]*)\}")
LABEL = re.compile(r"\b([a-z_]+)(?:=~|!~|!=|=)")
# What Prometheus adds.
TARGETS = {"instance", "job"}


def metrics() -> dict[str, set[str]]:
    """The labels of every series that the daemon has, by name."""
    found = {"alluxio_s3_build_info": {"version", "python", "twisted"}}
    for row in print_metrics.found():
        if row.kind == "histogram":
            found |= {f"{row.name}_bucket": {*row.labels, "le"}, f"{row.name}_sum": set(row.labels), f"{row.name}_count": set(row.labels)}
        else:
            found[row.name] = set(row.labels)
    return found


def expressions() -> Iterator[str]:
    """All that is asked of Prometheus."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    board = json.loads((DEPLOY / "grafana" / "alluxio-s3.json").read_text())
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    yield from (one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query")


def test_every_metric_exists() -> None:
    """What alerts and dashboard ask for is what the daemon has, and so are the labels they choose by."""
    known = metrics()
    asked = list(expressions())
    assert len(asked) > 30
    for expression in asked:
        assert set(NAME.findall(expression)) <= set(known), expression
        for name, chosen in SELECTED.findall(expression):
            assert set(LABEL.findall(re.sub(r'"[^"]*"', "", chosen))) <= known[name] | TARGETS, expression


def test_the_dashboard_is_whole() -> None:
    """Its panels have ids and places of their own, and every one asks something of the data source that its user chooses."""
    board = json.loads((DEPLOY / "grafana" / "alluxio-s3.json").read_text())
    places = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & places
        assert place["x"] + place["w"] <= 24
        places |= cells
        assert panel["targets"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.skipif(subprocess.run([PROMTOOL, "installed"], check=False).returncode != 0, reason=f"{PROMTOOL} install")
def test_alerts_fire() -> None:
    """Every alert fires for its fault and for no daemon that is well, and Prometheus takes the configuration, by its own tool."""
    for arguments in (["check", "config", DEPLOY / "prometheus" / "prometheus.yml"], ["test", "rules", HERE / "alerts.yml"]):
        done = subprocess.run([PROMTOOL, "promtool", *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    alerts = {
        rule["alert"] for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    }
    tried = yaml.safe_load((HERE / "alerts.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tried for one in test["alert_rule_test"] if one.get("exp_alerts")}
    quiet = {one["alertname"] for test in tried for one in test["alert_rule_test"] if not one.get("exp_alerts")}
    assert fired == quiet == alerts
