/** The shells that have a script. */
export const shells = ["bash", "zsh", "fish"] as const;

// Each script hands the words up to the cursor to `banger --get-completions`, which prints a candidate a line, with a tab and what
// it is for behind it, or `:files` when the shell's own file names are wanted.
const scripts: Readonly<Record<string, string>> = {
  bash: `# bash completion for banger
_banger() {
  local line candidate word prefix= last=-1
  local words=()
  COMPREPLY=()
  # Readline takes --flag=value for three words; banger wants one, and readline only what is behind the =.
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if ((last >= 0)) && [[ \${words[last]} == --?* ]] && [[ $word == = || \${words[last]} == *= ]]; then
      words[last]+="$word"
    else
      words+=("$word")
      last=$((last + 1))
    fi
  done
  local current="\${words[last]}"
  [[ $current != "\${COMP_WORDS[COMP_CWORD]}" ]] && prefix="\${current%%=*}="
  while IFS= read -r line; do
    candidate="\${line%%$'\\t'*}"
    if [[ $candidate == :files ]]; then
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
      compopt -o filenames 2>/dev/null
    elif [[ $candidate == "$current"* ]]; then
      COMPREPLY+=("\${candidate#"$prefix"}")
    fi
  done < <("\${COMP_WORDS[0]}" --get-completions "\${words[@]}" 2>/dev/null)
}
complete -F _banger banger
`,
  zsh: `#compdef banger
_banger() {
  local line
  local -a candidates
  for line in "\${(@f)$("\${words[1]}" --get-completions "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      _files
    elif [[ -n $line ]]; then
      candidates+=("\${\${line//:/\\\\:}/$'\\t'/:}")
    fi
  done
  (( \${#candidates} )) && _describe banger candidates
}
if [[ $funcstack[1] == _banger ]]; then _banger "$@"; else compdef _banger banger; fi
`,
  fish: `# fish completion for banger
function __banger_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in ($words[1] --get-completions $words[2..-1] 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c banger -f -a '(__banger_complete)'
`,
};

/** The script of one of {@link shells}. */
export function completionScript(shell: string): string {
  return scripts[shell] ?? "";
}
