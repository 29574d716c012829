#!/usr/bin/env bash
# Holds the protos of the working tree against those of main: the last commit, or, where main's last commit has the
# same protos (a build of main itself), the commit before that changed them.
set -euo pipefail
cd "$(dirname "$0")/.."

main=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || true)
if [[ -z $main ]]; then
  echo "breaking: no main to compare with; skipped" >&2
  exit 0
fi
base=$(git log -1 --format=%H "$main" -- protos)
if [[ -n $base ]] && git diff --quiet "$base" -- protos; then
  base=$(git log -1 --format=%H --skip=1 "$main" -- protos)
fi
if [[ -z $base ]]; then
  echo "breaking: no earlier protos in this history; skipped" >&2
  exit 0
fi

# A commit that breaks them on purpose says so in its body (`Proto-Breaking: why`), and is what later trees are held against.
accepted=$(git log -1 --format=%H --grep='^Proto-Breaking: ' HEAD -- protos)
if [[ -n $accepted ]] && git merge-base --is-ancestor "$base" "$accepted"; then
  base=$accepted
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" -- protos buf.yaml | tar -x -C "$before"
"${BUF:-buf}" breaking --against "$before"
