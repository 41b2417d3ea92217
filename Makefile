# `make check` is what the build server runs.
.PHONY: check run
check:
	bash .ci/run
run:
	cargo run --release
