# shellcheck shell=bash
# Completion of `dal` for bash: eval "$(dal completion bash)" in ~/.bashrc.
_dal() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <("$1" completion bash --complete "${COMP_LINE:0:COMP_POINT}" \
        --breaks "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o nospace -F _dal dal
