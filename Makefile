# The thin front: each target calls one script or one tool. `make help` lists them.
SHELL := /bin/bash
PRESET ?= dev
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := help

.PHONY: help deps configure build images test unit fleet-test demo bench soak check format clean

help: ## Lists the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Installs what is missing on a Debian 12 and says what (root)
	images/deps.sh

configure:
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET) >/dev/null

build: configure ## Builds everything (PRESET=dev|release|asan|tsan)
	cmake --build --preset $(PRESET) -j $(JOBS)

images: ## Builds the container images that tests and demo need, from a cache where it can (root)
	tests/fleet/fleet.py images

unit: build ## Unit and component tests alone
	ctest --preset $(PRESET) -j $(JOBS)

fleet-test: build ## The tests on three real Docker Engines (root)
	tests/fleet/all.sh

test: deps ## Installs, builds, then unit, component and fleet tests (root)
	$(MAKE) -j2 build images
	$(MAKE) unit
	$(MAKE) fleet-test

demo: deps build ## Three hosts, a database under load, a backup, a restore onto another host (root)
	python3 tests/fleet/demo.py

bench: build ## Prints the operator's memory, idle CPU and start time, and volumes' speed against rsync and restic (root)
	python3 tests/bench/bench.py
	python3 tests/bench/volumes.py

soak: build ## Longer: a restore broken at each single call; random kills on the fleet (root)
	ROADSTEAD_EVERY_CALL=1 ctest --preset $(PRESET) -R reconcilers_restore_request --timeout 3600
	python3 -m pytest -q -m soak tests/fleet

check: ## Formatting, lint and the sanitizer builds of unit and component tests
	tests/check.sh

format: ## Formats every source file
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

clean: ## Removes the build directories
	rm -rf build
