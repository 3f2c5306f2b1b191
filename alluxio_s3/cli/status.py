"""``alluxio-s3 status``: how the daemon is, on one screen."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.filesize import decimal

from alluxio_s3.cli.admin_client import AdminClient, Figures
from alluxio_s3.cli.configuration import configured
from alluxio_s3.cli.screen import json_option, show_json, show_pairs
from alluxio_s3.settings import Loaded


@click.command()
@click.option("--admin", "address", metavar="HOST:PORT", help="The admin port; else the one of the configuration.")
@click.option("--interval", type=click.FloatRange(0, 60), default=1.0, show_default=True, help="Seconds over which rates are taken.")
@json_option
@configured
def status(loaded: Loaded, address: str | None, interval: float, *, as_json: bool) -> None:
    """Tell how the daemon is: version, health, rates, cache, mounts. Ends with 0 if it is ready for requests, with 1 if not."""
    client = AdminClient.of(loaded, address)
    before = client.figures()
    time.sleep(interval)
    now = client.figures()
    found = {"admin": f"{client.host}:{client.port}", **client.ready(), **_document(now, now.since(before), interval)}
    if as_json:
        show_json(found)
    else:
        _show(found)
    sys.exit(0 if found["ready"] else 1)


def _document(now: Figures, news: Figures, interval: float) -> dict[str, Any]:
    build: dict[str, str] = next((dict(has) for has in now.samples.get("alluxio_s3_build_info", {})), {})
    started = now.total("alluxio_s3_started_timestamp_seconds")
    rate = (lambda value: value / interval) if interval else (lambda _: 0.0)
    latency = news if news.total("alluxio_s3_request_duration_seconds_count") else now
    reads = now.by("alluxio_s3_cache_reads_total", "result")
    return {
        "version": build.get("version", "?"),
        "uptime_seconds": round(time.time() - started) if started else None,
        "processes": int(now.total("alluxio_s3_processes")),
        "rates": {
            "requests": rate(news.total("alluxio_s3_requests_total")),
            "server_errors": rate(news.total("alluxio_s3_requests_total", status="5xx")),
            "bytes_in": rate(news.total("alluxio_s3_received_bytes_total")),
            "bytes_out": rate(news.total("alluxio_s3_sent_bytes_total")),
        },
        "latency_seconds": {
            name: latency.quantile("alluxio_s3_request_duration_seconds", part) for name, part in (("p50", 0.5), ("p99", 0.99))
        },
        "requests": {"total": int(now.total("alluxio_s3_requests_total")), "in_flight": int(now.total("alluxio_s3_requests_in_flight"))},
        "connections": int(now.total("alluxio_s3_connections")),
        "memory_bytes": int(now.total("alluxio_s3_resident_bytes")),
        "threads": {"busy": int(now.total("alluxio_s3_threads_busy")), "waiting": int(now.total("alluxio_s3_threads_waiting"))},
        "cache": {
            "used_bytes": int(now.total("alluxio_s3_cache_used_bytes")),
            "size_bytes": int(now.total("alluxio_s3_cache_size_bytes")),
            "pages": int(now.total("alluxio_s3_cache_pages")),
            "reads": {name: int(value) for name, value in reads.items()},
        },
        "mounts": {"mounted": int(now.total("alluxio_s3_mounts")), "broken": int(now.total("alluxio_s3_mounts_broken"))},
        "under_store_errors": int(now.total("alluxio_s3_ufs_calls_total") - now.total("alluxio_s3_ufs_calls_total", result="ok")),
        "cluster": {
            name.removeprefix("alluxio_s3_cluster_"): sum(found.values())
            for name, found in now.samples.items()
            if name.startswith("alluxio_s3_cluster_") and not name.endswith(("_bucket", "_total", "_sum", "_count"))
        },
    }


def _show(found: dict[str, Any]) -> None:
    rates, cache = found["rates"], found["cache"]
    pairs = [
        ("health", "ready" if found["ready"] else "NOT READY"),
        *((f"  {name}", reason) for name, reason in found["reasons"].items()),
        *((f"  look at {name}", warning) for name, warning in found["warnings"].items()),
        ("up", "?" if found["uptime_seconds"] is None else _duration(found["uptime_seconds"])),
        ("processes", f"{found['processes']}, {decimal(found['memory_bytes'])} of memory"),
        ("requests", f"{rates['requests']:.0f}/s, {rates['server_errors']:.1f}/s failed here; {found['requests']['in_flight']} under way"),
        ("traffic", f"{decimal(int(rates['bytes_out']))}/s out, {decimal(int(rates['bytes_in']))}/s in"),
        ("latency", f"half within {_latency(found, 'p50')}, 99 % within {_latency(found, 'p99')}"),
        ("connections", str(found["connections"])),
        ("threads", f"{found['threads']['busy']} busy, {found['threads']['waiting']} calls wait"),
        ("cache", _cache(cache) if cache["size_bytes"] else "off"),
        ("mounts", f"{found['mounts']['mounted']}, {found['mounts']['broken']} broken"),
        *((f"cluster {name}", f"{value:g}") for name, value in found["cluster"].items()),
    ]
    show_pairs(f"alluxio-s3 {found['version']} at {found['admin']}", pairs)


def _cache(cache: dict[str, Any]) -> str:
    text = f"{decimal(cache['used_bytes'])} of {decimal(cache['size_bytes'])}"
    count = sum(cache["reads"].values())
    return f"{text}, {100 * cache['reads'].get('hit', 0) / count:.0f} % of reads hit" if count else text


def _latency(found: dict[str, Any], name: str) -> str:
    seconds = found["latency_seconds"][name]
    return "?" if seconds is None else f"{seconds * 1000:g} ms"


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    return f"{days} d {hours} h" if days else f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
