/* SPDX-License-Identifier: MIT */
/* Completion in shells: each has a script that asks this program which words may come next. */
#include <string.h>

#include "ctl/commands.h"
#include "ctl/complete.h"

/* Words are compared and inserted as they are, with what a shell would act on quoted: compgen -W
 * would expand them once more. Where nothing is offered bash offers files. Bash has no place for
 * what a word is, so a list (COMP_TYPE) has it behind the word: no more than what all words begin
 * with is inserted then. A word that came twice would have what is behind it inserted too. */
static const char BASH[] =
    "_p2pvpnctl()\n{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} word said quoted told=() IFS=' '\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r word said; do\n"
    "        printf -v quoted %q \"$word\"\n"
    "        [[ $word == \"$cur\"* || $quoted == \"$cur\"* ]] || continue\n"
    "        [[ \" ${COMPREPLY[*]} \" == *\" $quoted \"* ]] && continue\n"
    "        COMPREPLY+=(\"$quoted\")\n"
    "        told+=(\"$quoted${said:+  -- $said}\")\n"
    "    done < <(p2pvpnctl completion words \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
    "    case $COMP_TYPE in 33 | 63 | 64) "
    "(( ${#told[@]} > 1 )) && COMPREPLY=(\"${told[@]}\") ;; esac\n"
    "}\n"
    "complete -o default -F _p2pvpnctl p2pvpnctl\n";

/* As a file _p2pvpnctl in fpath (#compdef) it is the completion itself; read by `source` it
 * registers the function. */
static const char ZSH[] =
    "#compdef p2pvpnctl\n"
    "_p2pvpnctl()\n{\n"
    "    local word said\n"
    "    local -a offered told\n"
    "    while IFS=$'\\t' read -r word said; do\n"
    "        offered+=(\"$word\")\n"
    "        told+=(\"$word${said:+  -- $said}\")\n"
    "    done < <(p2pvpnctl completion words \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    if (( $#offered )); then\n"
    "        compadd -l -d told -a offered\n"
    "    else\n"
    "        _files\n"
    "    fi\n}\n"
    "if [[ ${funcstack[1]} == _p2pvpnctl ]]; then\n    _p2pvpnctl \"$@\"\nelse\n"
    "    (( $+functions[compdef] )) || { autoload -U compinit && compinit }\n"
    "    compdef _p2pvpnctl p2pvpnctl\nfi\n";

static const char FISH[] =
    "function __p2pvpnctl_words\n"
    "    set -l typed (commandline -opc)\n"
    "    set -l word (commandline -ct)\n"
    "    p2pvpnctl completion words $typed[2..-1] \"$word\" 2>/dev/null\n"
    "end\n"
    "complete -c p2pvpnctl -f -a '(__p2pvpnctl_words)'\n"
    "complete -c p2pvpnctl -n '__fish_seen_subcommand_from send-file import' -F\n";

static int completion(struct pv_cli *cli)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", BASH}, {"zsh", ZSH}, {"fish", FISH}};
    const char *first = cli->args.word[0];
    if (strcmp(first, "words") == 0) {
        pv_complete(cli, cli->args.word + 1, cli->args.n_words - 1);
        return PV_CTLAPI_DONE;
    }
    if (cli->args.n_words > 1)
        return pv_cli_usage(cli, "unexpected \"%.60s\"", cli->args.word[1]);
    for (size_t i = 0; i < PV_ARRAY_LEN(scripts); i++) {
        if (strcmp(scripts[i].shell, first) == 0) {
            fputs(scripts[i].script, cli->out);
            return PV_CTLAPI_DONE;
        }
    }
    return pv_cli_usage(cli, "\"%.40s\": there are bash, zsh and fish", first);
}

const struct pv_command pv_cmds_completion[] = {
    {
        .name = "completion",
        .args = "bash|zsh|fish | words WORD...",
        .summary = "a script for the shell that completes commands and names",
        .details = "The packages install these scripts. Without a package, add to ~/.bashrc:\n"
                   "source <(p2pvpnctl completion bash)\n"
                   "  words WORD...  for these scripts: print the candidates for the last WORD of\n"
                   "                 a line, each with a tab and a description\n",
        .example = "p2pvpnctl completion fish >~/.config/fish/completions/p2pvpnctl.fish",
        .words = {1, PV_ARGS_MAX_WORDS},
        .verbatim_after = 1,
        .run = completion,
    },
    {.name = NULL},
};
