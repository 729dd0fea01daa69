# Completion of doit for bash, written by `doit completion bash`.  It starts neither doit nor Python:
# what can be typed stands here, and images are the folders with definitions.
# shellcheck shell=bash disable=SC2034,SC2154 # functions set variables of their callers

# @tables@

# Finds the repository, here or above, and its folder of definitions: sets root and definitions.
_doit_repository() {
    local line table=
    root=$PWD definitions=deploy/aci
    while [[ ! -e $root/dodo.py && $root == /*/* ]]; do root=${root%/*}; done
    [[ -r $root/pyproject.toml ]] || return
    while IFS= read -r line; do
        case $line in
            '['*) table=$line ;;
            definitions*) [[ $table == '[tool.procession]'* && $line =~ =[[:space:]]*[\"\']([^\"\']+) ]] &&
                definitions=${BASH_REMATCH[1]} ;;
        esac
    done <"$root/pyproject.toml"
}

# Lists the images that a kind of stage is for: sets images.
_doit_images() {
    local folder found=("$root/$definitions"/*/)
    images=()
    case $1 in
        programs) mapfile -t found < <(grep -slE '^go:' "$root/$definitions"/*/image.yaml) ;;
        packages) mapfile -t found < <(grep -slE '^debian:' "$root/$definitions"/*/image.yaml) ;;
        budgets) mapfile -t found < <(grep -slE '^size-budget:' "$root/$definitions"/*/image.yaml) ;;
        unpackaged) mapfile -t found < <(grep -sLE '^debian:' "$root/$definitions"/*/image.yaml) ;;
    esac
    for folder in "${found[@]}"; do
        folder=${folder%/image.yaml} folder=${folder%/}
        [[ -e $folder/image.yaml || -e $folder/manifest ]] || continue
        # A name goes to the command line as it is, so it must be a plain one.
        [[ ${folder##*/} =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] && images+=("${folder##*/}")
    done
}

# Lists the platforms that an image declares beside this machine's: sets platforms.
_doit_platforms() {
    local line inside='' here=$HOSTTYPE
    platforms=()
    case $here in x86_64) here=amd64 ;; aarch64) here=arm64 ;; i?86) here=386 ;; powerpc64le) here=ppc64le ;; esac
    [[ -r $root/$definitions/$1/image.yaml ]] || return
    while IFS= read -r line; do
        line=${line%%#*}
        case $line in platforms:*) inside=1 ;; [!\ -]*) inside= ;; esac
        while [[ $inside && $line =~ linux/([a-z0-9]+)(.*) ]]; do
            line=${BASH_REMATCH[2]}
            [[ ${BASH_REMATCH[1]} == "$here" ]] || platforms+=("linux-${BASH_REMATCH[1]}")
        done
    done <"$root/$definitions/$1/image.yaml"
}

# Lists what an image is called in a stage, once for each program and platform: adds to found.
_doit_subjects() {
    local stage=$1 image=$2 program platform
    local names=("$image")
    if [[ $of == programs ]]; then
        for program in "$root/build/state/inputs/$image"/*@*.inputs; do
            program=${program##*/}
            [[ $program == '*'* || " ${names[*]} " == *" $image/${program%@*} "* ]] || names+=("$image/${program%@*}")
        done
    fi
    for program in "${names[@]}"; do
        found+=("$stage:$program")
        [[ $once ]] || for platform in "${platforms[@]}"; do found+=("$stage:$program@$platform"); done
    done
}

# Lists the tasks that a word may become: adds to found.
_doit_tasks() {
    local word=$1 stage=${1%%:*} image of once images platforms=() near=()
    # shellcheck disable=SC2206 # words without blanks
    [[ $word == *:* ]] || found+=($_doit_stages)
    _doit_stage "$stage" || return
    _doit_images "$of"
    for image in "${images[@]}"; do
        [[ $word == "$stage" || $stage:$image == "$word"* || $word == "$stage:$image"[@/]* ]] && near+=("$image")
    done
    if [[ ${#near[@]} == 1 && $word == *:* ]]; then
        _doit_platforms "${near[0]}"
        _doit_subjects "$stage" "${near[0]}"
    else
        found+=("${near[@]/#/$stage:}")
    fi
}

# Lists what stands for a value or an argument: adds to found.
_doit_place() {
    local path images of=all once
    case $1 in
        TASK) _doit_tasks "$word" ;;
        COMMAND) for path in $_doit_commands; do found+=("$path"); done ;;
        IMAGE) _doit_stage "$command"; _doit_images "$of"; found+=("${images[@]}") ;;
        FILE) compopt -o filenames 2>/dev/null; while IFS= read -r path; do found+=("$head$path"); done < <(compgen -f -- "$word") ;;
        FOLDER) compopt -o filenames 2>/dev/null; while IFS= read -r path; do found+=("$head$path"); done < <(compgen -d -- "$word") ;;
        *'|'*) for path in ${1//|/ }; do found+=("$head$path"); done ;;
        ARG) ;;
        *) found+=("$1") ;;
    esac
}

# Says what an option of the command takes: sets value, to nothing for one that takes nothing.
_doit_value() {
    local option takes options
    value=
    _doit_command "${command:-run}"
    for option in $options; do [[ $option == "$1="* ]] && value=${option#*=}; done
}

# Completes the words of a command line, of which the last is begun: sets COMPREPLY.
_doit_complete() {
    local words=("$@") command=$_doit_given word head='' value='' option root definitions takes options found=()
    for word in "${words[@]:0:$#-1}"; do
        if [[ $value ]]; then value= && continue; fi
        case $word in
            -*=*) ;;
            -*) _doit_value "$word" ;;
            *) [[ $command ]] || case " $_doit_commands " in *" $word "*) command=$word ;; *) command=run ;; esac ;;
        esac
    done
    word=${words[$#-1]}
    _doit_repository
    if [[ ! $value && $word == --*=* ]]; then
        head=${word%%=*}= && word=${word#*=}
        _doit_value "${head%=}"
    fi
    if [[ $value ]]; then
        _doit_place "$value"
    elif [[ $word == -* ]]; then
        _doit_command "${command:-run}"
        for option in $options; do
            case $option in
                --*=*) found+=("${option%%=*}=") ;;
                --*) found+=("$option") ;;
            esac
        done
    else
        _doit_command "${command:-run}"
        [[ $command ]] || _doit_place COMMAND
        for option in $takes; do _doit_place "$option"; done
    fi
    _doit_answer "$head$word"
}

# Answers with what begins with the word, without what stands before its last break: sets COMPREPLY.
_doit_answer() {
    local one kept='' breaks=${COMP_WORDBREAKS//[!:=]/}
    COMPREPLY=()
    [[ $breaks ]] && kept=${1%"${1##*["$breaks"]}"}
    [[ $COMP_WORDBREAKS == *@* && ${1#"$kept"} == *@* ]] && kept=${1%@*} # an @ begins a word
    for one in "${found[@]}"; do
        [[ $one == "$1"* && " ${COMPREPLY[*]} " != *" ${one#"$kept"} "* ]] && COMPREPLY+=("${one#"$kept"}")
    done
    if [[ ${#COMPREPLY[@]} == 1 ]]; then
        one=${COMPREPLY[0]}
        case " $_doit_commands " in *" $one "*) return ;; esac
        case " $_doit_stages " in *" $one "*) compopt -o nospace 2>/dev/null ;; esac
        [[ $one == *= ]] && compopt -o nospace 2>/dev/null
    fi
    return 0
}

_doit() {
    local line=${COMP_LINE:0:COMP_POINT} _doit_given='' words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    while [[ ${#words[@]} -gt 1 && ${words[0]##*/} != "${1##*/}" ]]; do words=("${words[@]:1}"); done
    _doit_complete "${words[@]:1}"
}

# deploy/container-build.bash takes names of images as well.
_doit_door() {
    local line=${COMP_LINE:0:COMP_POINT} _doit_given=run words images root definitions found=()
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    while [[ ${#words[@]} -gt 1 && ${words[0]##*/} != "${1##*/}" ]]; do words=("${words[@]:1}"); done
    local word=${words[${#words[@]} - 1]}
    if [[ $word == -* || $word == *:* ]]; then
        _doit_complete "${words[@]:1}"
    else
        _doit_repository
        _doit_images all
        found=("${images[@]}")
        _doit_answer "$word"
    fi
}

complete -F _doit doit
complete -F _doit_door container-build.bash build-oci.bash
