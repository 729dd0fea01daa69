# Completion of doit for fish, written by `doit completion fish`.  It starts neither doit nor Python:
# what can be typed stands here, and images are the folders with definitions.

# @tables@

# Finds the repository, here or above, and its folder of definitions: sets root and definitions.
function __doit_repository --no-scope-shadowing
    set root $PWD
    set definitions deploy/aci
    while not test -e $root/dodo.py; and string match -q '/*/*' $root
        set root (string replace -r '/[^/]*$' '' $root)
    end
    if test -r $root/pyproject.toml
        set -l table
        while read -l line
            switch $line
                case '[*'
                    set table $line
                case 'definitions*'
                    if string match -q '[tool.procession]*' -- $table
                        set -l named (string match -r '=\s*["\']([^"\']+)' -- $line)
                        and set definitions $named[2]
                    end
            end
        end <$root/pyproject.toml
    end
end

# Prints the images that a kind of stage is for.
function __doit_images -a root definitions of
    set -l files $root/$definitions/*/image.yaml
    switch $of
        case programs
            set files (grep -slE '^go:' $files /dev/null)
        case packages
            set files (grep -slE '^debian:' $files /dev/null)
        case budgets
            set files (grep -slE '^size-budget:' $files /dev/null)
        case unpackaged
            set files (grep -sLE '^debian:' $files /dev/null)
        case '*'
            set -a files $root/$definitions/*/manifest
    end
    # A name goes to the command line as it is, so it must be a plain one.
    string match -v /dev/null -- $files | string match -r '[^/]+/[^/]+$' | string replace -r '/[^/]+$' '' | string match -r '^[A-Za-z0-9][A-Za-z0-9._+-]*$' | sort -u
end

# Prints the platforms that an image declares beside this machine's.
function __doit_platforms -a file
    set -l here (uname -m | string replace x86_64 amd64 | string replace aarch64 arm64 | string replace -r 'i.86' 386)
    set -l inside
    test -r $file; or return
    while read -l line
        set line (string replace -r '#.*' '' -- $line)
        switch $line
            case 'platforms:*'
                set inside 1
            case ' *' '-*' ''
            case '*'
                set inside
        end
        test -n "$inside"; and string match -ra 'linux/[a-z0-9]+' -- $line | string replace / - | string match -v linux-$here
    end <$file
end

# Prints the tasks that a word may become.
function __doit_tasks -a root definitions word
    set -l stage (string split -m1 : -- $word)[1]
    set -l of
    set -l once
    if not string match -q '*:*' -- $word
        for at in (seq (count $__doit_stages))
            echo $__doit_stages[$at]\t$__doit_stage_purposes[$at]
        end
    end
    contains -- $stage $__doit_stages; or return
    __doit_stage $stage
    set -l images (__doit_images $root $definitions $of)
    set -l begun (string replace -r '^[^:]*:?' '' -- $word)
    set -l near
    for image in $images
        if string match -q -- "$begun*" $image; or string match -qr -- '^'(string escape --style=regex -- $image)'[@/]' $begun
            set -a near $image
        end
    end
    if test (count $near) = 1; and string match -q '*:*' -- $word
        set -l names $near
        if test $of = programs
            for list in $root/build/state/inputs/$near/*@*.inputs
                set -l named $near/(string replace -r '.*/([^/]*)@[^@]*$' '$1' -- $list)
                contains -- $named $names; or set -a names $named
            end
        end
        set -l platforms
        test -n "$once"; or set platforms (__doit_platforms $root/$definitions/$near/image.yaml)
        for name in $names
            echo $stage:$name
            for platform in $platforms
                echo $stage:$name@$platform
            end
        end
    else
        for image in $near
            echo $stage:$image
        end
    end
end

# Prints what stands for a value or an argument; head is what stands before it in the same word.
function __doit_place -a root definitions place command word head
    switch $place
        case TASK
            __doit_tasks $root $definitions $word
        case COMMAND
            for at in (seq (count $__doit_commands))
                echo $__doit_commands[$at]\t$__doit_command_purposes[$at]
            end
        case IMAGE
            set -l of all
            set -l once
            contains -- $command $__doit_stages; and __doit_stage $command
            __doit_images $root $definitions $of
        case FILE
            __fish_complete_path $word | string replace -r '^' -- $head
        case FOLDER
            __fish_complete_directories $word | string replace -r '^' -- $head
        case '*|*'
            for one in (string split '|' -- $place)
                echo $head$one
            end
        case ARG
        case '*'
            echo $place
    end
end

# Says what an option takes: sets value, to nothing for one that takes nothing.
function __doit_value --no-scope-shadowing
    set value
    for option in $options
        if string match -q -- "$argv[1]=*" $option
            set value (string replace -r '^[^=]*=' '' -- $option)
        end
    end
end

function __doit_complete -a given
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l command $given
    set -l value
    set -l takes
    set -l options
    set -l root
    set -l definitions
    set -e words[1]
    __doit_command run
    for one in $words
        if test -n "$value"
            set value
            continue
        end
        switch $one
            case '-*=*'
            case '-*'
                __doit_value $one
            case '*'
                if test -z "$command"
                    set command run
                    contains -- $one $__doit_commands; and set command $one
                    __doit_command $command
                end
        end
    end
    __doit_repository
    set -l head ''
    if test -z "$value"; and string match -q -- '--*=*' $word
        set head (string replace -r '=.*' '=' -- $word)
        set word (string replace -r '^[^=]*=' '' -- $word)
        __doit_value (string trim -r -c = -- $head)
    end
    if test -n "$value"
        __doit_place $root $definitions $value "$command" "$word" $head
    else if string match -q -- '-*' $word
        for option in $options
            if string match -q -- '--*' $option
                string replace -r '=.*' '=' -- $option
            end
        end
    else if test -n "$given"; and not string match -q '*:*' -- $word
        __doit_images $root $definitions all
    else
        test -n "$command"; or __doit_place $root $definitions COMMAND '' "$word" ''
        for place in $takes
            __doit_place $root $definitions $place "$command" "$word" ''
        end
    end
end

complete -c doit -f -a "(__doit_complete '')"
complete -c container-build.bash -f -a '(__doit_complete run)'
complete -c build-oci.bash -f -a '(__doit_complete run)'
