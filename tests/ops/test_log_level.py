"""The level of the daemon's log."""

from __future__ import annotations

from twisted.logger import Logger, LogPublisher, formatEvent

from alluxio_s3.ops.log_level import LogThreshold


def test_what_is_below_the_level_is_not_told() -> None:
    """What was logged at a lower level reaches no observer; the access log always does; and it can be changed, and taken away."""
    heard: list[str] = []
    publisher = LogPublisher(lambda event: heard.append(formatEvent(event)))
    own, access = Logger("alluxio_s3.gateway", observer=publisher), Logger("alluxio_s3.access", observer=publisher)
    threshold = LogThreshold(publisher)

    def told() -> str:
        heard.clear()
        own.debug("d")
        own.info("i")
        own.warn("w")
        own.error("e")
        access.info("a")
        return "".join(heard)

    assert told() == "diwea"
    threshold.set("info")
    assert told() == "diwea"
    for level, expected in (("warn", "wea"), ("error", "ea"), ("debug", "diwea"), ("info", "iwea")):
        threshold.set(level)
        assert told() == expected
    threshold.clear()
    assert told() == "diwea"
