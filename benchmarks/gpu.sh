#!/bin/sh
# All that is measured on a GPU, by one command:   benchmarks/gpu.sh --data DIR --minutes 10 > tables.md
# PYTHON names another Python than python3. What is measured, and its options: benchmarks/gpu.sh --help
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu.py" "$@"
