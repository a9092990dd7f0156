# Completion of `dal` for fish: dal completion fish > ~/.config/fish/completions/dal.fish
function __dal_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l line (commandline --current-process --cut-at-cursor)
    $words[1] completion fish --complete "$line" 2>/dev/null
end
complete --command dal --no-files --arguments '(__dal_complete)'
