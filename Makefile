# The front door. Every verb is one line to scripts/; `make help` lists them.
.PHONY: help run test lint build bench perf faults fuzz wheel image docs
help:   ; @sed -n 's/^\([a-z]*\): .* \{2,\}# /  make \1\t/p' Makefile
run:    ; @exec scripts/run.sh    # set everything up and start a node on the defaults
test:   ; @scripts/test.sh    # set everything up and run every test; T='-k name' passes options to pytest
lint:   ; @scripts/lint.sh    # formats, types, clippy, stubs against binaries, import directions
build:  ; @scripts/setup.sh dev    # environment with the development tools, both extensions, nothing else
bench:  ; @scripts/bench.sh   # how fast is it now, beside its peers
perf:   ; @scripts/perf.sh    # how fast must it be: compare with perf/budgets.toml
faults: ; @scripts/faults.sh  # break a node in every way for hours, and count what it lost
fuzz:   ; @scripts/fuzz.sh    # each fuzz target for FUZZ_S seconds (60)
wheel:  ; @scripts/wheel.sh   # sdist, wheel from it, and proof of the wheel in an empty directory
image:  ; @scripts/image.sh   # container image, or proof of the Dockerfile without an engine
docs:   ; @scripts/docs.sh    # docs/reference from the tables in the source
