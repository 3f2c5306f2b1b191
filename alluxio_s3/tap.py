"""The options of ``twistd alluxio-s3``, and the service that it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve
from twisted.application.service import IService
from twisted.python import usage


class Options(usage.Options):
    """Where the configuration is."""

    synopsis = "[--config FILE] [-o NAME=VALUE]..."
    longdesc = "Serves the S3 API of an Alluxio worker. Properties come from alluxio-site.properties; -o overrides them one by one."
    optParameters: ClassVar[list[list[str | None]]] = [  # noqa: N815  # Twisted's name
        ["config", "c", None, "The properties file; else it is looked for as Alluxio does."]
    ]

    def __init__(self) -> None:
        super().__init__()
        self["overrides"] = []

    def opt_option(self, assignment: str) -> None:
        """Set a property: name=value. May be given again for others."""
        self["overrides"].append(assignment)

    opt_o = opt_option


def makeService(options: Options, reactor: Any = None) -> IService:  # noqa: N802  # twistd's name
    """The gateway, configured. Raises SystemExit with what is wrong with the configuration (twistd shows a trace for any other error)."""
    from alluxio_s3.clustering import SETTINGS_COPY, build_settings_copy  # noqa: PLC0415  # twistd imports this module for its help text too
    from alluxio_s3.gateway import Gateway  # noqa: PLC0415
    from alluxio_s3.listening import Inherited  # noqa: PLC0415
    from alluxio_s3.ops.attendance import Attendance  # noqa: PLC0415
    from alluxio_s3.ops.service_manager import ServiceManager  # noqa: PLC0415
    from alluxio_s3.settings import Loaded, SettingsError, load  # noqa: PLC0415
    from alluxio_s3.supervisor.parent import Supervisor  # noqa: PLC0415

    if reactor is None:
        from twisted.internet import reactor  # noqa: PLC0415  # the one place that names the global reactor

        _settle(reactor)
    directory = str(Path.cwd())

    def configuration() -> Loaded:
        return load(options["config"], options["overrides"], os.environ, directory)

    try:
        loaded = configuration()
        inherited = Inherited.of(os.environ, reactor, loaded.settings)

        def read() -> Loaded:
            found = configuration()
            return evolve(found, settings=inherited.applied(found.settings))

        loaded = evolve(loaded, settings=inherited.applied(loaded.settings))
        daemon = (
            Gateway.build(loaded, reactor, inherited=inherited, read=read)
            if loaded.settings.processes == 1
            else Supervisor.build(loaded, reactor, inherited, read)
        )

        def check(copy: Path) -> None:
            load(options["config"], [*options["overrides"], f"{SETTINGS_COPY}={copy}"], os.environ, directory)

        shared = build_settings_copy(loaded.settings, reactor, check, daemon.reload)
    except SettingsError as problem:
        raise SystemExit(f"alluxio-s3: {problem}") from None
    attendance = Attendance(daemon, ServiceManager.of(os.environ, os.getpid()), reactor)
    if shared is not None:
        shared.setServiceParent(attendance)
    return attendance


def work() -> None:
    """The main program of each of several processes."""
    from twisted.internet import reactor  # noqa: PLC0415

    from alluxio_s3.supervisor.worker import serve  # noqa: PLC0415

    _settle(reactor)
    serve(reactor)


def _settle(reactor: Any) -> None:
    """Make ready the reactor, and the threads, of a process that is all ours, before it has anything to do."""
    from alluxio_s3.clocks import go_steadily  # noqa: PLC0415
    from alluxio_s3.http.event_loop import quicken  # noqa: PLC0415
    from alluxio_s3.memory import keep_awake, set_apart  # noqa: PLC0415
    from alluxio_s3.threads import give_way  # noqa: PLC0415

    go_steadily(reactor)
    quicken(reactor)
    keep_awake(reactor)
    give_way()
    reactor.callWhenRunning(set_apart)
