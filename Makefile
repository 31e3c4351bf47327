# Everything a newcomer needs: `make demo`, `make test`. `make help` lists the rest.
SHELL := /bin/bash
CARGO ?= cargo
DEMO_SECONDS ?= 15
DEMO_CALLS ?= 12
CAPACITY_ARGUMENTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-short test lint manual bench failover capacity package clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install what building and the demo need (Debian packages, by name)
	@scripts/setup.sh

build: setup ## build the release binaries, target/release/tandem and tandem-aws
	$(CARGO) build --release --locked -p tandem-gateway -p tandem-aws

demo: setup ## real SIP calls through the gateway, speech checked bit for bit
	$(CARGO) build --release --locked -p tandem-gateway -p tandem-demo
	scripts/demo.sh --seconds $(DEMO_SECONDS) --calls $(DEMO_CALLS)

demo-short: setup ## the demo with 4-second calls, on the build of the tests
	$(CARGO) build --workspace --locked --bins --tests
	scripts/demo.sh --profile debug --seconds 4 --calls $(DEMO_CALLS)

test: ## all tests
	@scripts/setup.sh build demo test
	$(CARGO) test --workspace --locked

lint: setup ## formatting and lints, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

manual: build ## renew what the manual takes from the program
	scripts/manual.sh $${CARGO_TARGET_DIR:-target}/release/tandem

bench: ## figures of this machine (minutes)
	@scripts/setup.sh build demo bench
	scripts/bench.sh

failover: ## two gateways, one dies in seven ways: calls lost, gaps of media, duplicates (needs root)
	@scripts/setup.sh build demo test
	benches/failover.sh

capacity: build ## the largest number of calls at a service level, five mixes (an hour and more)
	$${CARGO_TARGET_DIR:-target}/release/tandem capacity $(CAPACITY_ARGUMENTS)

package: build ## a Debian package of the release build (see docs/DEPLOY.md)
	scripts/package.sh

clean: ## remove build products
	$(CARGO) clean
