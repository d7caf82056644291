#!/bin/bash
# launch/tpu_vm.sh NAME ZONE [OPTIONS] runs panorax on every host of a TPU VM.
# The hosts have panorax in ~/panorax and a shared disk at /shared.
set -eu
name=$1 zone=$2
shift 2
options=""
if [ $# -gt 0 ]; then options=$(printf ' %q' "$@"); fi

gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all --command "
  workdir=/shared/runs/$name
  resume=()
  if [ -f \$workdir/config.json ]; then resume=(--resume); fi
  ~/panorax/.venv/bin/panorax run lm/llama --distributed --mesh fsdp=16 --workdir \$workdir \"\${resume[@]}\"$options"
