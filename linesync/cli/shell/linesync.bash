# Completion of linesync for bash: eval "$(linesync completion bash)" in ~/.bashrc
#
# 'linesync completion --words' prints the candidates. This script joins the words that bash splits at : and =, adds files,
# and quotes words if necessary.

_linesync() {
  local program=${1/#\~\//$HOME/} rest=${COMP_LINE-} breaks=${COMP_WORDBREAKS//[^:=@]/}
  local words=() word before i also prefix text plain tail
  [[ -x $program ]] || program=linesync
  [[ -n $rest ]] && rest=${rest:0:COMP_POINT}
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    before=${rest%%"$word"*}
    if [[ -n $rest && -n $word && $before == "$rest" ]]; then # the cursor is inside this word
      word=${rest#"${rest%%[![:space:]]*}"}
      before=${rest%"$word"}
    fi
    rest=${rest#"$before$word"}
    if [[ -n $word && i -gt 1 && -z $before ]] && [[ -n ${COMP_LINE-} || $word == [:=] || ${COMP_WORDS[i - 1]} == [:=] ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  text=${words[-1]}
  plain=${text//[\"\'\\]/}
  # Readline replaces only the text after the last of these characters, or after an open quote.
  tail=$plain
  [[ -n $breaks && $text != [\"\']* ]] && tail=${plain##*[$breaks]}

  COMPREPLY=()
  {
    IFS=$'\t' read -r also prefix
    while IFS=$'\t' read -r word _; do
      word=${word#"${plain%"$tail"}"}
      [[ $text != [\"\']* && $word == *[^][:alnum:]_.,:/=+@%#-]* ]] && printf -v word %q "$word"
      COMPREPLY+=("$word")
    done
  } < <("$program" completion --words -- "${words[@]:1:${#words[@]}-2}" "$plain" 2>/dev/null </dev/null)
  [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == *[:=/] ]] && compopt -o nospace 2>/dev/null

  case $also in
    files) also=-f ;;
    directories) also=-d ;;
    commands) also=-c ;;
    nothing) compopt +o default 2>/dev/null; return ;;
    *) return ;; # the program did not answer
  esac
  while IFS= read -r word; do
    [[ $also == -c ]] || compopt -o filenames 2>/dev/null
    word=$prefix$word
    COMPREPLY+=("${word#"${plain%"$tail"}"}")
  done < <(compgen "$also" -- "${plain#"$prefix"}")
}

complete -o default -F _linesync linesync
