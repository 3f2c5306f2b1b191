"""The daemon's own log in a file that can be renamed away: SIGUSR1 has it opened anew.

It is ``twistd --logger=alluxio_s3.ops.log_file.observer``, with the file in ``$ALLUXIO_S3_LOG_FILE``. Twisted's own ``--logfile`` takes the
same signal for a wish to rename the file itself, which who rotates logs has done already.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

from twisted.logger import ILogObserver, textFileLogObserver

VARIABLE = "ALLUXIO_S3_LOG_FILE"


class LogFile:
    """A file that is appended to, for ``textFileLogObserver``. Raises OSError when it can't be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._opened()

    def write(self, text: str) -> int:
        """Append. A full disk loses lines, not the service."""
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand it all to the kernel."""
        with suppress(OSError):
            self._file.flush()

    def reopen(self) -> None:
        """Go on in a file of the same name, or where it was if that can't be opened."""
        with suppress(OSError):
            before, self._file = self._file, self._opened()
            before.close()

    def _opened(self) -> TextIO:
        return Path(self._path).open("a", encoding="utf-8", errors="backslashreplace")


def observer() -> ILogObserver:
    """Writes to the file that the environment names. Raises SystemExit when it names none, or one that can't be opened."""
    path = os.environ.get(VARIABLE)
    if not path:
        raise SystemExit(f"alluxio-s3: {VARIABLE} has to name the log file.")
    try:
        file = LogFile(path)
    except OSError as problem:
        raise SystemExit(f"alluxio-s3: {path}: {problem.strerror}") from None

    def reopen(*_: Any) -> None:
        file.reopen()

    signal.signal(signal.SIGUSR1, reopen)
    return textFileLogObserver(cast("Any", file))
