# The commands of this project; `make` alone lists them. Everything is installed into .venv and .tools.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What `make run` serves, and where.
HOST ?= 127.0.0.1
PORT ?= 29998
DATA ?= run/data
# The port of metrics and health; none beside a daemon that may be running at the usual ports.
ADMIN_PORT ?= $(if $(filter 29998,$(PORT)),29997)
ENDPOINT := $(if $(filter 0,$(PORT)),ENDPOINT,http://$(HOST):$(PORT))

# Passed on to pytest: make test ARGS="tests/s3 -x"
ARGS ?=
# What is under the daemon in make test-clients, and whether the page cache is before it.
STORE ?= local
CACHED ?=

.PHONY: help
help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

.PHONY: run
run: $(VENV)/.installed ## Serve S3 from a local directory (HOST=127.0.0.1 PORT=29998 DATA=run/data)
	@mkdir -p '$(DATA)'
	@echo
	@echo "  Serving the directory $(DATA). Stop with Ctrl-C. In another terminal:"
	@echo
	@echo "    curl -X PUT $(ENDPOINT)/first"
	@echo "    curl -T README.md $(ENDPOINT)/first/README.md"
	@echo "    curl '$(ENDPOINT)/first?list-type=2'"
	@echo
	@exec $(VENV)/bin/twistd --nodaemon --pidfile= alluxio-s3 --config etc/alluxio-site.properties \
	    -o alluxio.worker.s3.bind.host='$(HOST)' -o alluxio.worker.rest.port='$(PORT)' -o alluxio.dora.client.ufs.root='$(DATA)' \
	    -o alluxio.worker.s3.admin.port='$(ADMIN_PORT)'

.PHONY: test
test: $(VENV)/.dev ## Run the tests, with the clients of the CI subset
	tests/clients/install.sh --ci || echo "The tests of what could not be installed are skipped." >&2
	tests/deploy/prometheus.sh install || echo "The test that alerts fire is skipped." >&2
	tests/deploy/balancers.sh install || echo "The tests of load balancers are skipped." >&2
	tests/cluster/servers/etcd.sh install || echo "The tests with etcd are skipped." >&2
	$(MAKE) -s .tools/docs-site/.installed || echo "The test of the site is skipped." >&2
	@for server in tests/ufs/servers/*.sh; do $$server installed || echo "make test-ufs installs $$server; till then its tests are skipped." >&2; done
	$(PYTHON) -m pytest -m "not (clients or ui) or ci" $(ARGS)
	$(PYTHON) -m pytest --store=s3 --page-cache tests/clients/test_boto3_objects.py tests/clients/test_boto3_tags.py

.PHONY: test-clients
test-clients: $(VENV)/.dev ## Run the tests with every client program (STORE=s3, ceph, hdfs, fsspec; CACHED=1)
	tests/clients/install.sh || echo "The tests of what could not be installed are skipped." >&2
	$(PYTHON) -m pytest -m clients tests/clients --store=$(STORE) $(if $(CACHED),--page-cache) $(ARGS)

.PHONY: test-ufs
test-ufs: $(VENV)/.dev ## Run the tests of under-stores against real servers (HDFS and others), which are installed
	@for server in tests/ufs/servers/*.sh; do $$server install || echo "The tests with $$server are skipped." >&2; done
	$(PYTHON) -m pytest -m servers tests $(ARGS)

.PHONY: test-ui
test-ui: $(VENV)/.dev ## Run the tests of the dashboard in Chromium, which is installed (as root)
	$(PYTHON) -m pip install -q -e '.[ui]'
	tests/ui/install.sh || echo "The tests of what could not be installed are skipped." >&2
	$(PYTHON) -m pytest -m ui tests/ui $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Take the pictures of docs/dashboard.md anew
	$(PYTHON) -m pip install -q -e '.[ui]'
	tests/ui/install.sh
	$(PYTHON) -m tests.ui.screenshots

.PHONY: test-cluster
test-cluster: $(VENV)/.dev ## Try three workers: every client under every policy, kills and stops for 20 minutes (SEED=8)
	tests/cluster/servers/etcd.sh install || echo "The tests with etcd are skipped." >&2
	tests/clients/install.sh || echo "The tests of what could not be installed are skipped." >&2
	FAULTS=long $(PYTHON) -m pytest -s -m "clients or not clients" tests/cluster $(ARGS)

.PHONY: test-nemeses
test-nemeses: $(VENV)/.dev ## Kill, stop, cut off and restart three workers in networks of their own, MINUTES=10 each (needs root; SEED=8, ARGS="--only cut")
	tests/cluster/servers/etcd.sh install
	$(PYTHON) -m tests.cluster.nemeses --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Lint, format, types, the rules of the house, generated docs
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(PYTHON) -m pytest -q tests/test_house.py

.PHONY: format
format: $(VENV)/.dev ## Format the code
	$(VENV)/bin/ruff check --fix-only --quiet
	$(VENV)/bin/ruff format

.PHONY: docs
docs: $(VENV)/.dev ## Print the generated pages of docs/ from the code
	$(PYTHON) -m tools.print_configuration > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md
	$(PYTHON) -m tools.print_actions > docs/actions.md.new && mv docs/actions.md.new docs/actions.md
	$(PYTHON) -m tools.print_metrics > docs/metrics.md.new && mv docs/metrics.md.new docs/metrics.md
	$(PYTHON) -m tools.print_redirects > docs/redirects.md.new && mv docs/redirects.md.new docs/redirects.md
	$(PYTHON) -m tools.draw_architecture > docs/architecture.svg.new && mv docs/architecture.svg.new docs/architecture.svg

.PHONY: test-faults
test-faults: $(VENV)/.dev ## Cut the power, kill, fill and break things for some 50 minutes; nothing may be lost (needs root; SEED=8)
	tests/faults/install.sh || echo "The tests of what could not be installed are skipped." >&2
	FAULTS=long $(PYTHON) -m pytest -q -s tests/faults $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev ## Load and everything bad at random for HOURS=1 (SEED=), then a verdict on every byte (as root disks are filled, too)
	$(PYTHON) -m tests.soak --hours $(or $(HOURS),1) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Fuzz every parser of foreign bytes, SECONDS=60 or RUNS=1000000 each (ARGS=--keep: what is found goes to the tests)
	$(PYTHON) -m pip install -q -e '.[fuzz]'
	$(PYTHON) -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(RUNS),--runs $(RUNS)) $(ARGS)

.PHONY: test-load
test-load: $(VENV)/.dev ## Measure what 10,000 idle connections, 5,000 slow clients, 1,200 slow transfers and a flood cost (ARGS=--write: into docs/limits.md)
	$(PYTHON) -m benchmarks.load $(ARGS)

.PHONY: docs-site
docs-site: .tools/docs-site/.installed ## Render docs/ as a site in build/site
	rm -rf build/docs && mkdir -p build && cp -r docs build/docs && sed 's,](docs/,](,g' README.md >build/docs/index.md
	NO_MKDOCS_2_WARNING=1 .tools/docs-site/bin/mkdocs build --quiet --strict

.PHONY: bench
bench: $(VENV)/.dev ## Compare requests with nginx and rclone (ARGS=--quick; ARGS=--write: into docs/performance.md)
	benchmarks/http/install.sh
	$(PYTHON) -m benchmarks.http $(ARGS)

.PHONY: bench-processes
bench-processes: $(VENV)/.dev ## Compare two processes with one
	benchmarks/http/install.sh
	$(PYTHON) -m benchmarks.http.processes $(ARGS)

.PHONY: bench-listing
bench-listing: $(VENV)/.dev ## Measure listings (ARGS=--write: into docs/listing.md)
	$(PYTHON) -m benchmarks.listing $(ARGS)

.PHONY: bench-cluster
bench-cluster: $(VENV)/.dev ## Compare reads through another worker with those of the owner
	tests/cluster/servers/etcd.sh install
	$(PYTHON) -m benchmarks.cluster $(ARGS)

.PHONY: demo-cluster
demo-cluster: $(VENV)/.dev ## Start three workers, etcd, nginx and a store on this machine
	tests/cluster/servers/etcd.sh install
	tests/deploy/balancers.sh install
	$(PYTHON) -m tools.demo_cluster $(ARGS)

.PHONY: bench-cache
bench-cache: $(VENV)/.dev ## Measure reads through the cache
	benchmarks/http/install.sh
	$(PYTHON) -m benchmarks.cache $(ARGS)

.PHONY: bench-cache-links
bench-cache-links: $(VENV)/.dev ## Measure first reads of a store behind links of 10, 5 and 2.5 Gbit/s (root)
	benchmarks/http/install.sh
	$(PYTHON) -m benchmarks.cache_links $(ARGS)

.PHONY: bench-cache-ceph
bench-cache-ceph: $(VENV)/.dev ## Measure first reads of Ceph's S3, which is installed (root)
	tests/ufs/servers/ceph.sh install
	$(PYTHON) -m benchmarks.cache_ceph $(ARGS)

.PHONY: test-cache-faults
test-cache-faults: $(VENV)/.dev ## Make 100,000 reads through the cache of a store that misbehaves, while bits of the cache flip (some minutes)
	$(PYTHON) -m benchmarks.cache_faults $(ARGS)

.PHONY: test-cache-faults-http
test-cache-faults-http: $(VENV)/.dev ## The same over HTTP: a daemon before such a store, objects that change (some minutes)
	$(PYTHON) -m benchmarks.cache_faults_http $(ARGS)

.PHONY: soak-cache
soak-cache: $(VENV)/.dev ## Read and write 10 GiB through a cache of 2 GiB for an hour (MINUTES=): quota, memory, descriptors, bytes
	$(PYTHON) -m benchmarks.cache_soak --minutes $(or $(MINUTES),60) $(ARGS)

.PHONY: bench-eviction
bench-eviction: $(VENV)/.dev ## Compare what stays in the cache with LRU and the optimum (ARGS=--write: into docs/eviction.md)
	$(PYTHON) -m benchmarks.eviction $(ARGS)

.PHONY: bench-scaling
bench-scaling: $(VENV)/.dev ## Simulate 1,000 workers and 10^9 keys (ARGS=--write: into docs/scaling.md)
	$(PYTHON) -m benchmarks.scaling $(ARGS)

.PHONY: wheel
wheel: $(VENV)/.installed ## Build dist/*.whl
	$(PYTHON) -m pip wheel -q --no-deps -w dist .
	@ls dist/*.whl

.PHONY: deb
deb: ## Build dist/alluxio-s3_*.deb, for Debian 12 (needs debhelper)
	tools/build_deb.sh

.PHONY: deb-lock
deb-lock: ## Choose anew the versions of the libraries in the package
	tools/lock_requirements.sh

.PHONY: test-deb
test-deb: ## Try the package in clean Debian systems, with systemd and with sysvinit (needs root, mmdebstrap, systemd-container)
	[ -z "$(wildcard dist/alluxio-s3_*.deb)" ] && tools/build_deb.sh || true
	/usr/bin/python3 -m tests.deb.run $(ARGS)

.PHONY: clean
clean: ## Remove what was built and installed; ./run stays
	rm -rf $(VENV) .tools build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .coverage docs/*.new
	find . -name __pycache__ -prune -exec rm -rf {} +

.tools/docs-site/.installed: tools/make_venv.sh
	tools/make_venv.sh .tools/docs-site
	.tools/docs-site/bin/python -m pip install -q 'mkdocs-material>=9.8,<10'
	@touch $@

$(VENV)/.made: tools/make_venv.sh
	tools/make_venv.sh $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made setup.py pyproject.toml
	$(PYTHON) -m pip install -q -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made setup.py pyproject.toml
	$(PYTHON) -m pip install -q -e '.[dev]'
	@touch $@ $(VENV)/.installed
