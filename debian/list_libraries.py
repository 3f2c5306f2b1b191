# ruff: noqa: T201
"""Lists the libraries of a directory of packages: name, version, licence, where it comes from; a line each."""

import sys
from importlib.metadata import Distribution, distributions

CLASSIFIER = "License :: OSI Approved :: "


def licence(one: Distribution) -> str:
    """As short as its author says it."""
    told = one.metadata
    classified = [value.removeprefix(CLASSIFIER) for value in told.get_all("Classifier") or [] if value.startswith(CLASSIFIER)]
    return told["License-Expression"] or ", ".join(classified) or (told["License"] or "see its directory").partition("\n")[0]


def main() -> None:
    """Print those of the directory that the command line names, but the daemon itself."""
    found = [one for one in distributions(path=[sys.argv[1]]) if one.metadata["Name"] != "alluxio-s3"]
    for one in sorted(found, key=lambda one: one.metadata["Name"].lower()):
        name = one.metadata["Name"]
        print(f"{name} {one.version}: {licence(one)}; https://pypi.org/project/{name}/{one.version}/")


if __name__ == "__main__":
    main()
