#compdef doit container-build.bash build-oci.bash
# Completion of doit for zsh, written by `doit completion zsh`.  It starts neither doit nor Python:
# what can be typed stands here, and images are the folders with definitions.

# @tables@

# Finds the repository, here or above, and its folder of definitions: sets root and definitions.
_doit_repository() {
    local line table
    root=$PWD definitions=deploy/aci
    while [[ ! -e $root/dodo.py && $root == /*/* ]]; do root=${root:h}; done
    [[ -r $root/pyproject.toml ]] || return 0
    for line in "${(@f)$(<$root/pyproject.toml)}"; do
        case $line in
            '['*) table=$line ;;
            definitions*) [[ $table == '[tool.procession]'* && $line =~ "=[[:space:]]*[\"']([^\"']+)" ]] &&
                definitions=$match[1] ;;
        esac
    done
    return 0
}

# Lists the images that a kind of stage is for: sets images.
_doit_images() {
    local folder
    local -a found=($root/$definitions/*(N/))
    local -a files=($root/$definitions/*/image.yaml(N) /dev/null)
    case $1 in
        programs) found=(${(f)"$(grep -slE '^go:' $files)"}) ;;
        packages) found=(${(f)"$(grep -slE '^debian:' $files)"}) ;;
        budgets) found=(${(f)"$(grep -slE '^size-budget:' $files)"}) ;;
        unpackaged) found=(${(f)"$(grep -sLE '^debian:' $files)"}) ;;
    esac
    images=()
    for folder in $found; do
        folder=${folder%/image.yaml}
        [[ -e $folder/image.yaml || -e $folder/manifest ]] || continue
        # A name goes to the command line as it is, so it must be a plain one.
        [[ ${folder:t} =~ '^[A-Za-z0-9][A-Za-z0-9._+-]*$' ]] && images+=(${folder:t})
    done
    return 0
}

# Lists the platforms that an image declares beside this machine's: sets platforms.
_doit_platforms() {
    local line inside here=$CPUTYPE
    platforms=()
    case $here in x86_64) here=amd64 ;; aarch64) here=arm64 ;; i?86) here=386 ;; esac
    [[ -r $root/$definitions/$1/image.yaml ]] || return 0
    for line in "${(@f)$(<$root/$definitions/$1/image.yaml)}"; do
        line=${line%%\#*}
        case $line in platforms:*) inside=1 ;; [^\ -]*) inside= ;; esac
        while [[ -n $inside && $line =~ 'linux/([a-z0-9]+)(.*)' ]]; do
            line=$match[2]
            [[ $match[1] == $here ]] || platforms+=(linux-$match[1])
        done
    done
    return 0
}

# Lists what an image is called in a stage, once for each program and platform: adds to found.
_doit_subjects() {
    local program platform
    local -aU names=($2)
    if [[ $of == programs ]]; then
        for program in $root/build/state/inputs/$2/*@*.inputs(N:t); do names+=($2/${program%@*}); done
    fi
    for program in $names; do
        found+=($1:$program)
        [[ -n $once ]] || for platform in $platforms; do found+=($1:$program@$platform); done
    done
}

# Lists the tasks that a word may become: adds to found.
_doit_tasks() {
    local word=$1 stage=${1%%:*} image of once
    local -a images platforms near
    _doit_stage $stage || return 0
    _doit_images $of
    for image in $images; do
        [[ $word == $stage || $stage:$image == ${word}* || $word == $stage:${image}[@/]* ]] && near+=($image)
    done
    if [[ $#near == 1 && $word == *:* ]]; then
        _doit_platforms $near[1]
        _doit_subjects $stage $near[1]
    else
        found+=($stage:${^near})
    fi
}

# Offers what stands for a value or an argument.
_doit_place() {
    local of=all once option
    local -a images found shown
    case $1 in
        TASK)
            if [[ $PREFIX != *:* ]]; then # a stage may go on with an image, so no blank after it
                for option in $_doit_described_stages; do shown+=("${(r:17:)option%%:*} -- ${option#*:}"); done
                compadd -S '' -l -d shown -- ${_doit_described_stages%%:*}
            fi
            _doit_tasks "$PREFIX"
            compadd -a found ;;
        COMMAND) _describe -t commands command _doit_described_commands ;;
        IMAGE) _doit_stage $command; _doit_images $of; compadd -a images ;;
        FILE) _files ;;
        FOLDER) _files -/ ;;
        *'|'*) compadd ${(s:|:)1} ;;
        ARG) ;;
        *) compadd -- $1 ;;
    esac
}

# Says what an option of the command takes: sets value, to nothing for one that takes nothing.
_doit_value() {
    local option takes options
    value=
    _doit_command ${command:-run}
    for option in ${=options}; do [[ $option == $1=* ]] && value=${option#*=}; done
    return 0
}

_doit() {
    emulate -L zsh
    local command word value option root definitions takes options
    local -a match mbegin mend images named valued
    [[ $service == doit ]] || command=run
    for word in ${words[2,CURRENT-1]}; do
        if [[ -n $value ]]; then value= && continue; fi
        case $word in
            -*=*) ;;
            -*) _doit_value $word ;;
            *) [[ -n $command ]] || { command=run && [[ " $_doit_commands " == *" $word "* ]] && command=$word } ;;
        esac
    done
    _doit_repository
    _doit_command ${command:-run}
    if [[ -z $value && $PREFIX == --*=* ]]; then
        _doit_value ${PREFIX%%=*}
        compset -P '*='
    fi
    if [[ -n $value ]]; then
        _doit_place $value
    elif [[ $PREFIX == -* ]]; then
        valued=(${(M)${=options}:#--*=*}) named=(${${(M)${=options}:#--*}:#*=*})
        compadd -S '=' -- ${valued%%=*}
        compadd -- $named
    elif [[ $service != doit && $PREFIX != *:* ]]; then
        _doit_images all
        compadd -a images
    else
        [[ -n $command ]] || _doit_place COMMAND
        for option in ${=takes}; do _doit_place $option; done
    fi
}

if [[ $funcstack[1] == _doit ]]; then
    _doit "$@"
else
    compdef _doit doit container-build.bash build-oci.bash
fi
