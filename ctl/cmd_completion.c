/* SPDX-License-Identifier: MIT */
/* Completion of commands, options and names for shells, made from the command table. */
#include <string.h>

#include "ctl/commands.h"

/* Names of peers as the daemon has them now; nothing when it does not answer. */
#define PEERS                                                                                      \
    "p2pvpnctl --timeout 1 --json peers 2>/dev/null | grep -o '\"name\":\"[^\"]*\"' | cut -d'\"' " \
    "-f4"

/* The same inside fish's single quotes. */
#define PEERS_FISH                                                       \
    "p2pvpnctl --timeout 1 --json peers 2>/dev/null | string match -ar " \
    "'\\''(?<=\"name\":\")[^\"]*'\\''"

#define GLOBAL_OPTIONS "--socket --json --timeout --quiet --help"

static bool takes_peer(const struct pv_command *c)
{
    return strstr(c->args, "PEER") != NULL;
}

/* "--peek", "-n": the way it is written for people. */
static void print_options(const struct pv_command *c, FILE *out)
{
    for (const struct pv_option *o = c->options; o->name != NULL; o++) {
        if (o->letter != 0)
            fprintf(out, " -%c", o->letter);
        fprintf(out, " --%s", o->name);
    }
}

/* One function that finds the command among the words before the cursor, and a case for each. zsh
 * runs it too, by bashcompinit. */
static void bash_script(const struct pv_command *const *groups, FILE *out)
{
    const struct pv_command *c;
    fputs("_p2pvpnctl()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} cmd= words= i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n"
          "        --socket | --timeout | -S | -t) ((i++)) ;;\n"
          "        -*) ;;\n"
          "        *) cmd=${COMP_WORDS[i]}; break ;;\n"
          "        esac\n    done\n    case $cmd in\n    '') words='",
          out);
    for (size_t i = 0; (c = pv_command_at(groups, i)) != NULL; i++)
        fprintf(out, "%s ", c->name);
    fputs(GLOBAL_OPTIONS " --version' ;;\n", out);
    for (size_t i = 0; (c = pv_command_at(groups, i)) != NULL; i++) {
        fprintf(out, "    %s) words='", c->name);
        print_options(c, out);
        fprintf(out, " " GLOBAL_OPTIONS " %s'", c->words == NULL ? "" : c->words);
        /* The names are asked for when the key is pressed: they change with the network. The
         * short timeout keeps the shell from hanging. */
        if (takes_peer(c))
            fputs("\" $(" PEERS ")\"", out);
        fputs(" ;;\n", out);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
          "complete -o default -F _p2pvpnctl p2pvpnctl\n",
          out);
}

/* fish has no function of ours to call: every rule is a line of its own, with the condition under
 * which it holds. */
static void fish_script(const struct pv_command *const *groups, FILE *out)
{
    const struct pv_command *c;
    fputs("complete -c p2pvpnctl -f\n"
          "complete -c p2pvpnctl -l socket -s S -rF\ncomplete -c p2pvpnctl -l json -s j\n"
          "complete -c p2pvpnctl -l timeout -s t -r\ncomplete -c p2pvpnctl -l quiet -s q\n"
          "complete -c p2pvpnctl -l help -s h\n"
          "complete -c p2pvpnctl -n __fish_use_subcommand -l version -s V\n",
          out);
    for (size_t i = 0; (c = pv_command_at(groups, i)) != NULL; i++) {
        fprintf(out, "complete -c p2pvpnctl -n __fish_use_subcommand -a %s -d \"%s\"\n", c->name,
                c->summary);
        for (const struct pv_option *o = c->options; o->name != NULL; o++) {
            fprintf(out, "complete -c p2pvpnctl -n '__fish_seen_subcommand_from %s' -l %s", c->name,
                    o->name);
            if (o->letter != 0)
                fprintf(out, " -s %c", o->letter);
            fputs(o->has_value ? " -r\n" : "\n", out);
        }
        if (c->words != NULL)
            fprintf(out, "complete -c p2pvpnctl -n '__fish_seen_subcommand_from %s' -a '%s'\n",
                    c->name, c->words);
        if (takes_peer(c))
            fprintf(out,
                    "complete -c p2pvpnctl -n '__fish_seen_subcommand_from %s' -a "
                    "'(" PEERS_FISH ")'\n",
                    c->name);
    }
    fputs("complete -c p2pvpnctl -n '__fish_seen_subcommand_from send-file' -F\n", out);
}

static int completion(struct pv_cli *cli)
{
    const char *shell = cli->args.word[0];
    if (strcmp(shell, "fish") == 0) {
        fish_script(cli->groups, cli->out);
        return PV_CTLAPI_DONE;
    }
    /* zsh runs the script of bash by its own emulation. */
    if (strcmp(shell, "zsh") == 0)
        fputs("autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n",
              cli->out);
    else if (strcmp(shell, "bash") != 0)
        return pv_cli_usage(cli, "\"%.40s\": there are bash, zsh and fish", shell);
    bash_script(cli->groups, cli->out);
    return PV_CTLAPI_DONE;
}

const struct pv_command pv_cmds_completion[] = {
    {
        .name = "completion",
        .args = "bash|zsh|fish",
        .summary = "a script that completes commands, options and names in a shell",
        .details = "In ~/.bashrc: source <(p2pvpnctl completion bash)\n",
        .example = "p2pvpnctl completion fish >~/.config/fish/completions/p2pvpnctl.fish",
        .words = "bash zsh fish",
        .min_words = 1,
        .max_words = 1,
        .run = completion,
    },
    {.name = NULL},
};
