# Sourced by the scripts that need doit: makes .venv with the pinned packages, once.

find_python() {
    local candidate
    for candidate in ${PROCESSION_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    local version
    candidate=${PROCESSION_PYTHON:-python3}
    version=$("$candidate" --version 2>&1) || version="which does not run"
    echo "procession: needs Python 3.11 or newer with venv, got $candidate (${version//$'\n'/ }); set PROCESSION_PYTHON to one" >&2
    return 1
}

# make_environment ROOT PINS: installs exactly what the file PINS pins, unless that was done.
make_environment() {
    local root=$1 pins=$2 stamp python
    stamp=$(cat "$root/$pins" "$root/pyproject.toml" | cksum)
    [ "$(cat "$root/.venv/.$pins" 2>/dev/null)" = "$stamp" ] && return
    python=$(find_python) || return
    (
        # Two scripts at once: the second waits, then finds it done.
        if command -v flock >/dev/null; then exec 9>"$root/.venv.lock" && flock 9; fi
        [ "$(cat "$root/.venv/.$pins" 2>/dev/null)" = "$stamp" ] && exit
        echo "making .venv with the packages of $pins" >&2
        "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$root/.venv" || exit
        pip=("$root/.venv/bin/python" -m pip --quiet --disable-pip-version-check install)
        "${pip[@]}" --require-hashes -r "$root/$pins" || exit
        "${pip[@]}" --no-deps --no-build-isolation --no-index -e "$root" || exit
        "$root/.venv/bin/python" -m compileall -q "$root/procession_tasks" || true # or every run does it
        printf '%s' "$stamp" >"$root/.venv/.$pins"
    ) || {
        echo "procession: .venv is not complete: mend what pip says above, then run the same command again" >&2
        return 1
    }
}
