"""What builds a plugin. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import Mapping

from zope.interface import Interface

from alluxio_s3.threads import Threads


class IPluginFactory(Interface):
    """What an entry point names: how to build a plugin. See ``alluxio_s3.plugins``."""

    def build(options: Mapping[str, str], reactor: object, threads: Threads) -> object:
        """A new plugin. Raises ValueError with a message for the operator when an option is wrong.

        ``options`` are the properties ``alluxio.worker.s3.plugin.<name>.<option>``; beside them an under-store gets ``uri`` (as
        configured) and ``buckets`` (``true`` when it is mounted at ``/``), an authenticator ``user`` (the daemon's own). The seconds of
        ``reactor`` are monotonic: see ``alluxio_s3.clocks``.
        """


class IForeseeingFactory(IPluginFactory):
    """A factory of an under-store some of whose building takes long, such as to import a library."""

    def foresee(uri: str) -> None:
        """Do that for a store at ``uri``, in a thread, before ``build``. Raises nothing; what is wrong ``build`` will say."""
