#!/usr/bin/env bash
# Installs the pinned clients under target/clients, once per change of the pins.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}/clients
stamp=$(cat "$here"/requirements*.txt "$here"/package*.json | cksum)
if [ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi
rm -rf "$target"
mkdir -p "$target/node"
python3 -m venv "$target/venv"
for pins in requirements requirements-old; do
  "$target/venv/bin/pip" install --quiet --disable-pip-version-check --no-input \
    --target "$target/$pins" -r "$here/$pins.txt"
done
cp "$here/package.json" "$here/package-lock.json" "$target/node/"
(cd "$target/node" && npm ci --silent --no-audit --no-fund --ignore-scripts)
echo "$stamp" >"$target/stamp"
