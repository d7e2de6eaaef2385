#compdef csign
# SPDX-License-Identifier: Apache-2.0
# zsh completion for csign.  Verbs and options are asked of csign's own --help, so they cannot be stale.

_csign() {
        local -a verbs options keys verb group
        local help

        verb=(${words[2]})
        if (( CURRENT > 2 )); then
                group=(${(f)"$(csign ${words[2]} --help 2>/dev/null |
                        sed -n "s/^  ${words[2]} \([a-z][a-z-]*\) [^ ]* *\(.*\)/\1:\2/p")"})
        fi
        if (( $#group )); then
                if (( CURRENT == 3 )); then
                        _describe verb group
                        return
                fi
                verb+=(${words[3]})
        fi

        if (( CURRENT == 2 )); then
                verbs=(${(f)"$(csign --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .\{2,\}  \(.*\)/\1:\2/p')"})
                verbs+=(${=$(csign --help 2>/dev/null | sed -n 's/^    \([a-z][a-z -]*\)$/\1/p')})
                _describe verb verbs
        elif [[ ${words[CURRENT]} == -* ]]; then
                options=(${(f)"$(csign $verb --help 2>/dev/null |
                        sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\) \{0,1\}[^ ]* *\(.*\)/\2:\3/p')"})
                _describe option options
        elif [[ ${words[CURRENT-1]} == (--key|-key) || ${words[CURRENT]} == csign:* || $verb[1] == (ref|cert) ]]; then
                keys=(${(f)"$(csign keys 2>/dev/null | sed -n 's/^\(csign:[^ ]*\) .*/\1/p')"})
                compadd -a keys
        elif [[ "$verb" == (key\ (show|rotate|versions|enable|disable|change|label|policy|move|destroy|cancel-destruction)|cert\ (csr|import|renew)) ]]; then
                keys=(${(f)"$(csign key list 2>/dev/null | sed -n 's/^\([a-z0-9][^ ]*\/[^ ]*\) .*/\1/p')"})
                compadd -a keys
        else
                _files
        fi
}

_csign "$@"
