#!/usr/bin/env bash
# Put Debian's Prometheus and promtool into a folder, without installing a service:
#
#     tools/install_prometheus.sh .venv/prometheus
#     PATH=$PWD/.venv/prometheus/usr/bin:$PATH pytest -m slow tests/export/test_real_prometheus.py
#
# Needs apt and about 100 MB.
set -euo pipefail
target=$1
mkdir -p "$target"
target=$(cd "$target" && pwd)
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
cd "$packages"
apt-get download prometheus
dpkg -x prometheus_*.deb "$target"
"$target/usr/bin/prometheus" --version | head -1
