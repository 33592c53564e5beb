#!/bin/sh
# The studio, where the Space's proxy shows it. A Space sets SPACE_HOST, such as you-attnscope-studio.hf.space.
set -eu
port=${PORT:-7860}
runs=$HOME/runs
if [ -w /data ]; then # persistent storage, if the Space has it
    runs=/data/runs
    export HF_HOME="${HF_HOME:-/data/huggingface}"
fi
if [ -n "${SPACE_HOST:-}" ]; then
    address="https://$SPACE_HOST"
else
    address="http://localhost:$port"
fi
if [ -n "${ATTNSCOPE_TOKEN:-}" ]; then
    set -- --token "$ATTNSCOPE_TOKEN"
else
    # only requests for this address are answered, and none that another site's page makes
    set -- --no-token --guests --no-files --keep 50
fi
exec attnscope studio "${ATTNSCOPE_MODEL:-demo}" --output "$runs" --host 0.0.0.0 --port "$port" \
    --address "$address" --framed-by https://huggingface.co --no-browser "$@"
