#compdef dal
# Completion of `dal` for zsh: eval "$(dal completion zsh)" in ~/.zshrc.
_dal() {
    local row word about
    local -i found=1
    local -a done done_shown open open_shown
    for row in "${(@f)$("${words[1]}" completion zsh \
        --complete "${(j: :)words[1,CURRENT-1]} ${PREFIX}" 2>/dev/null)}"; do
        word=${row%%$'\t'*} about=${row#*$'\t'}
        [[ -n $word ]] || continue
        if [[ $word == *[=./] ]]; then
            open+=("$word") open_shown+=("$word")
        else
            done+=("$word") done_shown+=("$word${about:+  -- $about}")
        fi
    done
    compadd -l -d done_shown -a done && found=0
    compadd -S '' -d open_shown -a open && found=0
    return found
}
if [[ ${funcstack[1]} == _dal ]]; then
    _dal "$@" # loaded from a folder of $fpath
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _dal dal
fi
