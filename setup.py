"""Packages, entry points and requirements; the tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

about: dict[str, str] = {}
for line in Path(__file__).with_name("alluxio_s3").joinpath("__init__.py").read_text().splitlines():
    if line.startswith("__version__"):
        about["version"] = line.split('"')[1]

TESTING = ["pytest>=9", "pytest-twisted>=1.14.3", "hypothesis>=6.150"]

setup(
    name="alluxio-s3",
    version=about["version"],
    description="The S3 API of an Alluxio worker, as a Twisted daemon",
    long_description=Path(__file__).with_name("README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # "." makes setuptools write a plain .pth for editable installs, which twistd's plugin search needs.
    package_dir={"": "."},
    packages=[*find_packages(include=["alluxio_s3", "alluxio_s3.*"]), "twisted.plugins"],
    package_data={"alluxio_s3": ["py.typed"], "alluxio_s3.cluster": ["clients.toml"], "alluxio_s3.dashboard": ["static/*"]},
    zip_safe=False,
    # Each floor is the series that the tests run with; tests/test_house.py compares the names with the imports.
    install_requires=[
        "twisted>=26.10",
        "klein>=24.8",
        "attrs>=26.1",
        "zope.interface>=8.7",
        "javaproperties>=0.8.2",
        "awscrt>=0.38",
        # The index of the cache, which all processes of a worker share.
        "lmdb>=3",
        "click>=8.5",
        "rich>=15",
        "prometheus-client>=0.26",
        "cryptography>=50",
        "joserfc>=1.8",
        # TLS endpoints, and the HTTP client of what talks to other machines.
        "pyopenssl>=26",
        "service-identity>=26",
        "treq>=26",
        # Forms: browsers' uploads.
        "multipart>=2",
        # Credentials and signatures of AWS, for under-stores on S3.
        "botocore>=1.44",
    ],
    extras_require={
        # Under-stores of fsspec+PROTOCOL:// URIs; what a protocol needs is installed beside it.
        "fsspec": ["fsspec>=2026.9"],
        # What make fuzz needs; there are wheels for x86-64.
        "fuzz": ["atheris>=3"],
        # What alluxio_s3.testing needs: the contract suites for authors of plugins.
        "testing": TESTING,
        # Drives a browser; of use with tests/ui/install.sh.
        "ui": ["playwright>=1.65"],
        "dev": [
            *TESTING,
            "boto3>=1.44",
            "coverage>=7",
            "fsspec>=2026.9",
            "kubernetes-validate>=1.34",
            "moto[server]>=5.2",
            "mypy>=2.4",
            "mypy-zope>=1.0.17",
            "PyYAML>=6",
            # A client of forms.
            "requests>=2.34",
            "ruff>=0.17",
            "setuptools>=77",
            "towncrier>=25",
            "xxhash>=4",
        ],
    },
    entry_points={
        "console_scripts": ["alluxio-s3 = alluxio_s3.cli.main:main"],
        "alluxio_s3.ufs": [
            "local = alluxio_s3.ufs.local.filesystem:LocalFactory",
            "memory = alluxio_s3.ufs.memory:MemoryFactory",
            "s3 = alluxio_s3.ufs.s3.filesystem:S3Factory",
            "s3a = alluxio_s3.ufs.s3.filesystem:S3Factory",
            "hdfs = alluxio_s3.ufs.webhdfs.filesystem:WebHdfsFactory",
            "webhdfs = alluxio_s3.ufs.webhdfs.filesystem:WebHdfsFactory",
            "swebhdfs = alluxio_s3.ufs.webhdfs.filesystem:WebHdfsFactory",
            "fsspec = alluxio_s3.ufs.fsspec_store.filesystem:FsspecFactory",
        ],
        "alluxio_s3.authenticators": [
            "simple = alluxio_s3.auth.simple:SimpleFactory",
            "audit = alluxio_s3.auth.audit:AuditFactory",
            "sigv4 = alluxio_s3.auth.sigv4:SigV4Factory",
            "oidc = alluxio_s3.auth.oidc:OidcFactory",
        ],
        "alluxio_s3.authorizers": [
            "open = alluxio_s3.auth.authorizers:OpenFactory",
            "policy = alluxio_s3.auth.authorizers:PolicyFactory",
            "opa = alluxio_s3.auth.opa:OpaFactory",
        ],
        "alluxio_s3.tag_stores": [
            "object = alluxio_s3.tags.carried:CarriedFactory",
            "embedded = alluxio_s3.tags.embedded:EmbeddedFactory",
        ],
    },
    classifiers=[
        "Framework :: Twisted",
        "Programming Language :: Python :: 3.11",
        "Operating System :: POSIX :: Linux",
        "Topic :: System :: Distributed Computing",
    ],
)
