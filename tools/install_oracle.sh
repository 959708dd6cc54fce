#!/usr/bin/env bash
# Make a virtual environment in which the real vLLM scheduler runs, without a GPU and without vLLM's compiled code:
#
#     tools/install_oracle.sh .venv-oracle
#     .venv-oracle/bin/python -m pytest -m slow -rP tests/conformance/test_live.py
#
# vLLM's own wheel brings CUDA libraries of several GB as dependencies. The scheduler is plain Python, so its files are
# taken out of the wheel and a CPU build of PyTorch is put beside them. About 1.4 GB and two minutes.
set -euo pipefail
target=$1
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
vllm=0.33.0

"$python" -m venv "$target"
pip() { "$target/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

pip install torch==2.13.0
# Their dependencies are compilers for GPUs.
pip install --no-deps xgrammar==0.2.8 compressed-tensors==0.17.0
pip install regex 'pydantic>=2.12' psutil cbor2 'pyzmq>=25' 'transformers>=5.16.1,<5.20' 'aiohttp>=3.14.3' \
    'requests>=2.33' 'oss-harmony>=0.0.11' 'openai>=2.25' 'pillow>=12.3' pybase64 cachetools prometheus_client msgspec \
    cloudpickle uvloop py-cpuinfo apache-tvm-ffi 'fastapi[standard]>=0.133,<0.137' partial-json-parser \
    'llguidance>=1.7,<1.8' einops loguru \
    'prometheus-fastapi-instrumentator>=8' 'model-hosting-container-standards>=0.1.14,<1' orjson

site=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 --dest "$wheels" "vllm==$vllm"
"$target/bin/python" - "$wheels"/vllm-*.whl "$site" <<'PYTHON'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith("vllm/") and name.endswith(".py")])
PYTHON
# The version's tail makes vLLM choose its CPU platform.
mkdir -p "$site/vllm-$vllm+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm" >"$site/vllm-$vllm+cpu.dist-info/METADATA"
pip install --constraint "$root/constraints.txt" --editable "$root[test]"
