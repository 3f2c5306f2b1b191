"""The configuration: ``alluxio-site.properties``, with Alluxio's names.

``load`` finds and reads the file and gives ``Settings``, frozen and typed. ``properties`` is the list of all there is.
"""

from __future__ import annotations

from alluxio_s3.settings.loading import Loaded, load
from alluxio_s3.settings.properties import Settings
from alluxio_s3.settings.source import SettingsError

__all__ = ["Loaded", "Settings", "SettingsError", "load"]
