"""Prints docs/configuration.md from the list of properties: python -m tools.print_configuration"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alluxio_s3.settings.definition import Property
from alluxio_s3.settings.properties import SECTIONS, properties_of

PREFACE = """\
# Configuration

<!-- Printed by `make docs` from alluxio_s3/settings/properties.py. Do not edit. -->

The daemon reads `alluxio-site.properties`: the file that `--config` names, or else the first that is there of

1. `$ALLUXIO_CONF_DIR/alluxio-site.properties`
2. `./conf/alluxio-site.properties`
3. `~/.alluxio/alluxio-site.properties`
4. `/etc/alluxio/alluxio-site.properties`

`-o name=value`, as often as needed, wins over the file:

    twistd -n alluxio-s3 --config etc/alluxio-site.properties -o alluxio.worker.rest.port=0

The file has the syntax of Java properties. Names and notation are Alluxio's, so it may be the very file that Alluxio reads:

- What is called `alluxio.worker.s3.…` may be spelled `alluxio.proxy.s3.…`, and the other way round; of both, the worker's wins.
- A **boolean** is `true` or `false`, in any case. Anything else is an error.
- A **duration** is a whole number and a unit, without a space: `300ms`, `10sec`, `5min`, `2hr`, `7day`. A bare number is milliseconds.
- A **size** is a number of bytes, or a number and a unit: `512`, `2KB`, `5MB`, `1.5GB`. Units are powers of 1,024.
- A **location** is a path or a URI. A relative path is seen from the directory in which the daemon was started; `~` is the home directory.
- A **list** is separated by commas.
- `${other.name}` stands for the value of another property.

A value that is wrong stops the start, with the file, the line and what was expected. A name below the two prefixes above that is
not known is a warning, with the nearest name that is; any other name is taken for another part of Alluxio's.

Options of [third-party plugins](architecture.md#plugins) are written `alluxio.worker.s3.plugin.<plugin>.<option>`.

A property with ↻ can be changed while the daemon runs: `SIGHUP` (`systemctl reload alluxio-s3`) has it read the file again
([operating](operating.md#changing-things-while-it-runs)). A change of any other waits for a restart, and the log says so.

In the tables, ° marks a name of this project's, there being no published one of Alluxio's. *Not acted upon yet* means what it
says: the value is read and checked, and a warning at start repeats that it has no effect.
"""


def page() -> str:
    """The whole page."""
    return PREFACE + "".join(_section(section) for section in SECTIONS)


def _section(section: type) -> str:
    heading = {"Api": "S3 API", "Tls": "TLS", "UnderStores": "Under-stores"}.get(section.__name__, section.__name__)
    rows = "".join(_rows(properties_of(section).values()))
    return f"\n## {heading}\n\n{section.__doc__}\n\n| Property | ↻ | Kind | Default | Meaning |\n| --- | --- | --- | --- | --- |\n{rows}"


def _rows(listed: Iterable[Property]) -> Iterator[str]:
    for one in listed:
        name = f"`{one.name}`" + (" °" if one.ours else "") + "".join(f"<br>also `{alias}`" for alias in one.aliases)
        kind = one.kind.expected if one.kind.name == "choice" else one.kind.name
        default = f"`{one.default}`" if one.default else ""
        meaning = one.meaning + ("" if one.acted_on else " *Not acted upon yet.*")
        yield f"| {name} | {'↻' if one.reload else ''} | {kind} | {default} | {meaning} |\n"


if __name__ == "__main__":
    print(page(), end="")
