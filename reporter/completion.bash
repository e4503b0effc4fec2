# SPDX-License-Identifier: MIT
# Completion of peakline's command line for bash. The options are read from the program itself, so that this file
# cannot fall behind it.

_peakline() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" help 2>/dev/null |
            sed -n 's/^  \([a-z]*\) .*/\1/p') --version --help" -- "$current")
        return
    fi
    local verb=${COMP_WORDS[1]} i
    if [ "$verb" = run ]; then
        # The first word that is neither an option nor an option's value is the program; from there on its own
        # completion has the word.
        for ((i = 2; i < COMP_CWORD; i++)); do
            case ${COMP_WORDS[i]} in
            --) ((i++)) ;;
            -o | --output | --python-objects | --max-size)
                # `=` is a word of its own to bash.
                [ "${COMP_WORDS[i + 1]-}" = = ] && ((i++))
                ((i++))
                continue
                ;;
            -*) continue ;;
            esac
            break
        done
        if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
            _command_offset "$i"
            return
        fi
    fi
    [ "$previous" = = ] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    [ "$current" = = ] && { previous=${COMP_WORDS[COMP_CWORD - 1]} current=''; }
    case $verb,$previous in
    run,--python-objects) mapfile -t COMPREPLY < <(compgen -W 'exact sampled off' -- "$current") ;;
    report,--format) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$current") ;;
    help,*) mapfile -t COMPREPLY < <(compgen -W 'run report' -- "$current") ;;
    *,-o | *,--output) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    *)
        case $current in
        -*)
            mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" "$verb" -h 2>/dev/null |
                grep -oE '^  (-[a-zA-Z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+')" -- "$current")
            ;;
        *)
            if [ "$verb" = run ]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$current" && compgen -f -- "$current")
            else
                mapfile -t COMPREPLY < <(compgen -d -- "$current")
            fi
            ;;
        esac
        ;;
    esac
}
complete -o filenames -F _peakline peakline
