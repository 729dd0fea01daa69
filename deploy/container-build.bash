#!/usr/bin/env bash
# Builds container images: deploy/container-build.bash [NAME | procession-NAME]... [doit's options]
# Without a name it builds all.  Makes .venv with the pinned packages when it is absent.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=deploy/environment.bash
source "$root/deploy/environment.bash"
make_environment "$root" constraints.txt || exit 1

words=()
for word in "$@"; do
    case $word in
        -* | *:* | */*) words+=("$word") ;;
        *) words+=("build:${word#procession-}") ;;
    esac
done
cd "$root"
exec .venv/bin/doit run "${words[@]}"
