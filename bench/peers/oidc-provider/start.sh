#!/usr/bin/env bash
# Starts oidc-provider on 127.0.0.1:$PORT; `scripts/tools.sh bench-oidc-provider`
# installs it. It keeps nothing in DATA.
# Token endpoint: POST /token; no parameters beyond grant_type, scope optional.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
NODE_ENV=production exec "$root/.tools/bin/node" "$root/.tools/bench-oidc-provider/server.js"
