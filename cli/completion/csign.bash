# SPDX-License-Identifier: Apache-2.0
# bash completion for csign.  Verbs and options are asked of csign's own --help, so they cannot be stale.

_csign_verbs() {
        csign --help 2>/dev/null | sed -n -e 's/^  \([a-z][a-z-]*\) .*/\1/p' -e 's/^    \([a-z][a-z -]*\)$/\1/p'
}

_csign_group_verbs() {
        csign "$1" --help 2>/dev/null | sed -n "s/^  $1 \([a-z][a-z-]*\) .*/\1/p"
}

_csign_options() {
        csign "$@" --help 2>/dev/null | sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p'
}

_csign_keys() {
        csign keys 2>/dev/null | sed -n 's/^\(csign:[^ ]*\) .*/\1/p'
}

_csign_admin_keys() {
        csign key list 2>/dev/null | sed -n 's/^\([a-z0-9][^ ]*\/[^ ]*\) .*/\1/p'
}

_csign() {
        local cur prev cword group
        local -a words verb

        # A URI has colons in it, at which readline would break the word.
        if type _get_comp_words_by_ref &>/dev/null; then
                _get_comp_words_by_ref -n : cur prev words cword
        else
                words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
                cur=${words[cword]} prev=${words[cword - 1]}
        fi
        verb=("${words[1]}")

        if ((cword > 1)) && group=$(_csign_group_verbs "${words[1]}") && [[ $group ]]; then
                if ((cword == 2)); then
                        mapfile -t COMPREPLY < <(compgen -W "$group --help" -- "$cur")
                        [[ ${words[1]} == cert && ${#COMPREPLY[@]} -eq 0 ]] || return
                fi
                verb+=("${words[2]}")
        fi

        if ((cword == 1)); then
                mapfile -t COMPREPLY < <(compgen -W "$(_csign_verbs) --help --version" -- "$cur")
        elif [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_csign_options "${verb[@]}") --help" -- "$cur")
        elif [[ $prev == --for ]]; then
                mapfile -t COMPREPLY < <(compgen -W "user machine both" -- "$cur")
        elif [[ $prev == --key || $prev == -key || $cur == csign:* || ${verb[0]} == ref || ${verb[0]} == cert ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_csign_keys)" -- "$cur")
                type __ltrim_colon_completions &>/dev/null && __ltrim_colon_completions "$cur"
        elif [[ "${verb[*]}" =~ ^(key\ (show|rotate|versions|enable|disable|change|label|policy|move|destroy|cancel-destruction)|access|project\ release|cert\ (csr|import|renew))$ ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_csign_admin_keys)" -- "$cur")
        else
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
}

complete -o filenames -F _csign csign
