# Bare `make` lists the targets. Every target installs what it needs first (bootstrap.sh).
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PATH := $(HOME)/.cargo/bin:$(PATH)
export PATH

FACILITY ?= osaka
HARDWARE ?= sim_x86
STORE ?= embedded
JOBS ?= 2

.PHONY: fleet bench-fleet help setup setup-test setup-image run image boot verify lock lock-image test-image test-image-sample accept-icount power-cut power-cut-sample test test-python test-rust test-sample test-slow test-anew test-root test-client test-mender fmt lint bench drill docs summary clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: ## install and build what `make run` needs
	@./bootstrap.sh run

setup-test:
	@./bootstrap.sh test

run: setup ## one robot at work in its simulated cell; the page's address is printed; Ctrl-C ends it
	@exec $(BIN)/bedplate run --facility $(FACILITY) --hardware $(HARDWARE) --store $(STORE) $(ARGS)

test: setup-test test-rust test-python ## lint, types, import rules, unit, flow, Rust, browser

# The gate says the same thing twice; `make test-anew` is the one that searches anew.
test-rust: export PROPTEST_RNG_SEED = 20261121
test-rust:
	cd runtime/controld && cargo test --locked --workspace --exclude python --quiet
	cd runtime/controld && cargo test --locked --package controld --features plant-faults --test law --quiet

# What fails beside other work is tried once more alone: a machine shared with others starves real processes now
# and then. Both runs are printed, so a test that needs its second chance is seen.
test-python:
	$(BIN)/python -m pytest -n $(JOBS) -q -rs --randomly-seed=20261121 || { \
	  echo "== once more, alone: what failed"; \
	  $(BIN)/python -m pytest -q -rs -p no:randomly --last-failed --last-failed-no-failures=none; }

# Of the long proofs those that end in half a minute each, by name, so that their time is known;
# `make test-slow` has them all.
SAMPLE := \
  tests/drills/test_drills.py::test_no_deadline_is_missed \
  tests/drills/test_drills.py::test_two_minutes_offline_lose_nothing \
  tests/drills/test_drills.py::test_perception_degrades_under_load_and_comes_back \
  tests/sim/test_whole_robot.py::test_whole_robot_with_its_eyes_and_a_task_repeats_to_the_byte \
  tests/fleet/test_endtoend.py::test_two_ingesters_share_the_work_and_lose_nothing_when_one_dies \
  tests/fleet/test_endtoend.py::test_store_that_fails_for_a_while_stops_acknowledgements_not_the_robot \
  tests/conf/test_tier1_accepts.py::test_all_ends_of_all_ranges

test-sample: setup-test ## a fixed few of the long proofs, in three to ten minutes
	$(BIN)/python -m pytest -q -rs -m slow -p no:randomly --durations=0 --durations-min=1 $(SAMPLE) || { \
	  echo "== once more: what failed"; \
	  $(BIN)/python -m pytest -q -rs -m slow -p no:randomly --last-failed --last-failed-no-failures=none $(SAMPLE); }

# A find goes into the tests by name: a regression file of seeds tells nobody what was wrong.
test-anew: ROUNDS = 20
test-anew: setup-test ## property tests with numbers not tried before: make test-anew ROUNDS=20
	cd runtime/controld && for round in $$(seq $(ROUNDS)); do \
	  echo "== round $$round of $(ROUNDS)"; \
	  cargo test --locked --workspace --exclude python --quiet || exit; \
	done
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n $(JOBS) -q -m "hypothesis and not slow"

test-slow: setup-test ## the long proofs: whole fault matrices, an offline hour, 200 tasks
	$(BIN)/python -m pytest -n $(JOBS) -q -rs -m slow

setup-image:
	@./bootstrap.sh image

image: HARDWARE = qemu_arm64
image: setup-image ## a disk image: make image HARDWARE=qemu_arm64 FACILITY=osaka
	@$(BIN)/bedplate image build --hardware $(HARDWARE) --facility $(FACILITY) $(ARGS)

# With a fleet side on this machine (`make run`, in another terminal) the guest is invited into it: approve it on
# the page, or with `bedplate fleet enrol approve qemu-01`. 10.0.2.2 is this machine, as the guest sees it.
boot: HARDWARE = qemu_arm64
boot: ROBOT = qemu-01
boot: INVITATION = var/image/$(HARDWARE)-$(FACILITY)/$(ROBOT).json
boot: setup-image ## that image in QEMU; the terminal is its serial port
	@if [ -e var/fleet/fleet.json ] && [ ! -s $(INVITATION) ]; then \
	  $(BIN)/bedplate fleet enrol invite $(ROBOT) --site $(FACILITY) --out $(INVITATION) \
	    --fleet-url https://10.0.2.2:8443 --broker 10.0.2.2:8883; fi
	@exec $(BIN)/bedplate image boot --hardware $(HARDWARE) --facility $(FACILITY) --robot $(ROBOT) \
	  $$(test ! -s $(INVITATION) || echo --invitation $(INVITATION)) $(ARGS)

verify: HARDWARE = qemu_arm64
verify: setup-image ## build it again elsewhere and compare bit for bit
	@$(BIN)/bedplate image verify --hardware $(HARDWARE) --facility $(FACILITY) $(ARGS)

lock: lock-image

lock-image: setup-image ## lock what the archive has now; prints what changed
	@$(BIN)/bedplate image lock $(ARGS)

test-image: setup-test setup-image ## build and boot an image: at work, CAN, watchdog, deadlines, an update, twice the same
	$(BIN)/python -m pytest -q -rs -m image -p no:randomly --durations=0 --durations-min=5

# A robot of its own image from power-on to work: the rest of `make test-image` is updates, most of an hour.
IMAGE_SAMPLE := $(addprefix tests/boot/test_, at_work.py image.py drives.py acceptance.py)
test-image-sample: setup-test setup-image ## build an image and boot it: its facts, at work, CAN, watchdog, deadlines, twice the same
	$(BIN)/python -m pytest -q -rs -m image -p no:randomly --durations=0 --durations-min=5 $(IMAGE_SAMPLE) || { \
	  echo "== once more: what failed"; \
	  $(BIN)/python -m pytest -q -rs -m image -p no:randomly --last-failed --last-failed-no-failures=none $(IMAGE_SAMPLE); }

accept-icount: setup-test setup-image ## the profile's million cycles in virtual time, quiet, and 100,000 under load
	ACCEPT_CYCLES=0 $(BIN)/python -m pytest -q -rs -s -m image -p no:randomly tests/boot/test_acceptance.py

# Ended at any moment it goes on where it was: what is done is kept in var/power-cut. `make power-cut STARTS=20` makes
# so many of the whole starts, STEPS="record judge" takes only those steps, JOBS=8 has so many guests at once in the
# long ones; else one for every two cores, for that is what it keeps busy. Each wants 2 GiB.
power-cut: setup-test setup-image ## an update in a guest, recorded, cut everywhere; writes the table of docs/power-cut.md; hours
	$(BIN)/python -m ota.power_cut --page docs/power-cut.md $(if $(STARTS),--starts $(STARTS)) $(if $(filter file,$(origin JOBS)),,--jobs $(JOBS)) $(STEPS)

# On a small disk, without a guest: what it covers and what not is in docs/power-cut.md.
power-cut-sample: setup-test ## the same on a small disk: real tool, real GRUB script, all cuts and damage; minutes
	$(BIN)/python -m pytest -q -rs -s -m "not image" -p no:randomly --durations=0 --durations-min=5 tests/ota/power_cut

test-mender: setup-test ## what the Mender double was built from, against a server: MENDER_URL=… MENDER_USER=…, MENDER_PASSWORD in the environment
	@test -n "$(MENDER_URL)$(DOUBLE)" || { echo "which server? make test-mender MENDER_URL=https://… MENDER_USER=…; its password is read from MENDER_PASSWORD, its authority from MENDER_CA; or DOUBLE=1"; exit 2; }
	MENDER_URL="$(MENDER_URL)" MENDER_USER="$(MENDER_USER)" $(BIN)/python -m pytest -q -rs -p no:randomly tests/ota/mender_api

fmt: setup-test ## format Python and Rust
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && cd runtime/controld && cargo fmt --all

lint: setup-test ## what the linters say, without the tests
	$(BIN)/python -m pytest -q tests/test_lint.py && cd runtime/controld && cargo clippy --locked --workspace --all-targets -- -D warnings

bench: setup-test ## speeds and sizes as JSON, peers beside them in the same run
	$(BIN)/bedplate bench $(ARGS)

fleet: setup ## the whole fleet side, real servers where installed; robots: bedplate fleet load --robots 100
	@exec $(BIN)/bedplate fleet up $(ARGS)

bench-fleet: setup-test ## what ingest, the live fleet and a storm cost, Telegraf beside it, as JSON; ARGS="--page docs/scale.md" writes its tables
	$(BIN)/python -m fleet.bench $(ARGS)

drill: setup ## the deployment criteria, each with a verdict: make drill NAME=offline_hour
	$(BIN)/bedplate drill run $(or $(NAME),all)

test-root: setup-test ## what needs root: the real client on loop devices, killed, doubled, forty updates in turn
	$(BIN)/python -m pytest -q -rs -m root -p no:randomly

test-client: setup-test ## as root, a later update client in place of Debian's: make test-client MENDER_UPDATE=/usr/bin/mender-update
	@test -x "$(MENDER_UPDATE)" || { echo "MENDER_UPDATE=$(MENDER_UPDATE) is no program; give the path of mender-update" >&2; exit 2; }
	MENDER_UPDATE=$(MENDER_UPDATE) $(BIN)/python -m pytest -q -rs -m "not image" -p no:randomly tests/ota/robot/test_client.py \
	  tests/ota/robot/test_client_rootfs.py tests/ota/robot/test_slots.py tests/ota/boot_env/test_client.py

docs: setup-test ## regenerate docs/config.md, docs/api.md and the JSON Schema
	$(BIN)/bedplate config schema --write
	$(BIN)/python -m fleet.api.reference

summary: setup ## the resolved configuration, with the file each value came from
	$(BIN)/bedplate config show --facility $(FACILITY) --hardware $(HARDWARE)

clean: ## remove what was built and what robots left behind (var/)
	rm -rf .venv var runtime/controld/target runtime/shm/_native*.so
