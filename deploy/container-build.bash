#!/usr/bin/env bash
# Builds container images: deploy/container-build.bash [NAME | procession-NAME]... [doit's options]
# Without a name it builds all.  Makes .venv with the pinned packages when it is absent.
set -euo pipefail

case ${1-} in
    -h | --help)
        echo "usage: deploy/container-build.bash [NAME | procession-NAME]... [doit's options]"
        echo "Builds the named container images, or all; doit's options are: .venv/bin/doit run --help"
        exit
        ;;
esac


root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=deploy/environment.bash
source "$root/deploy/environment.bash"
make_environment "$root" constraints.txt || exit 1

cd "$root"
definitions=deploy/aci
options=() tasks=()
for word in "$@"; do
    if [ -d "$definitions/$word" ]; then
        tasks+=("build:$word")
    elif [ -d "$definitions/${word#procession-}" ]; then
        tasks+=("build:${word#procession-}")
    elif [[ $word == -* || ${#options[@]} -gt 0 ]]; then
        options+=("$word") # an option, or what may be the value of one
    elif [[ $word == *:* ]]; then
        tasks+=("$word")
    else
        tasks+=("build:${word#procession-}") # doit says that there is none, and which there are
    fi
done
exec .venv/bin/doit run "${options[@]}" "${tasks[@]}"
