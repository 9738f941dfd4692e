#!/usr/bin/env bash
# Train, convert and measure a model on a rented GPU. Each step pushes the model to the Hub, so that
# a failure loses nothing of the steps before it.
#
#     bash job.sh USER/NAME [OPTION ...]     options of train.py, such as --seed 1
#
# docs/jobs.md has the command that rents a GPU for it, the price, and what has not been tried. It
# needs Python 3.11 and a token in HF_TOKEN that may write to USER/NAME. The run lies in runs/NAME of
# the current folder: repeated there, the same command goes on with it.
#
# JAX_BUILD names the build of JAX: cuda12 (default), cuda13, or cpu for a machine without a GPU.
set -euo pipefail
[[ ${1:-} == [^-]*/?* ]] || { echo "job.sh: name the model to push to: bash job.sh USER/NAME" >&2; exit 2; }
code=$(cd "$(dirname "$0")" && pwd)
model=$1
run=runs/${model#*/}
build=${JAX_BUILD:-cuda12}
shift

python -m pip install -q -r "$code/requirements-train.txt" "jax[$build]==0.10.*"
# Without a GPU, JAX would train on the CPU and say nothing.
[ "$build" = cpu ] || python -c 'import jax, sys
jax.default_backend() == "gpu" or sys.exit("job.sh: JAX finds no GPU: choose a --flavor with one, or another JAX_BUILD.")'

KERAS_BACKEND=jax \
  python "$code/train.py" --recipe gpu --output "$run" --resume --push-to-hub "$model" "$@"
# TensorFlow stays off the GPU, since the CUDA libraries here are those that JAX brought.
export KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES=
python "$code/convert.py" "$run" --push-to-hub "$model"
python "$code/evaluate.py" "$run" --push-to-hub "$model"
