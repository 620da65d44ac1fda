#compdef linesync
# Completion of linesync for zsh: source <(linesync completion zsh) in ~/.zshrc, after compinit
#
# 'linesync completion --words' prints the candidates. This script adds files.

_linesync() {
  local program=${(Q)words[1]} line also prefix word
  local -a answer found texts half half_texts
  program=${~program}
  answer=("${(@f)$("$program" completion --words -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
  also=${answer[1]%%$'\t'*}
  prefix=${answer[1]#*$'\t'}
  for line in "${(@)answer[2,-1]}"; do
    word=${line%%$'\t'*}
    line=${line#*$'\t'}
    [[ -n $line ]] && line="$word  -- $line" || line=$word
    if [[ $word == *[:=/] ]]; then
      half+=("$word") half_texts+=("$line")
    else
      found+=("$word") texts+=("$line")
    fi
  done
  (( $#found )) && compadd -l -d texts -a found
  (( $#half )) && compadd -S '' -l -d half_texts -a half
  [[ -n $prefix ]] && compset -p $#prefix
  case $also in
    files) _files ;;
    directories) _files -/ ;;
    commands) _command_names -e ;;
  esac
  return 0
}

if [[ $funcstack[1] == _linesync ]]; then # autoloaded from a directory of fpath
  _linesync "$@"
else
  compdef _linesync linesync
fi
