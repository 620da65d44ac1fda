# Completion of linesync for fish: linesync completion fish | source in ~/.config/fish/config.fish
#
# 'linesync completion --words' prints the candidates. This script adds files.

function __linesync_candidates
    set -l words (commandline -opc)
    set -l text (commandline -ct)
    set -l answer ($words[1] completion --words -- $words[2..] $text 2>/dev/null </dev/null)
    set -l first (string split \t -- $answer[1])
    test (count $answer) -gt 1; and printf '%s\n' $answer[2..]
    set -l path (string sub --start (math (string length -- "$first[2]") + 1) -- $text)
    switch "$first[1]"
        case files
            string replace -r '^' -- "$first[2]" (__fish_complete_path "$path")
        case directories
            string replace -r '^' -- "$first[2]" (__fish_complete_directories "$path" '')
        case commands
            __fish_complete_command
    end
end

complete -c linesync -f -a '(__linesync_candidates)'
