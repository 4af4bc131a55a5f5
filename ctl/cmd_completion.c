/* SPDX-License-Identifier: MIT */
/* Completion of commands, options and names for shells, made from the command table. */
#include <string.h>

#include "ctl/commands.h"

/* The names that the daemon knows now; nothing when it does not answer. Made of tools that every
 * system has: a program that reads JSON may be missing. A stranger who answers at the socket may
 * say anything, so only what looks like a name of ours, a room with its "#" or a number is taken,
 * and nothing that a shell would expand. */
#define ASK(command) "p2pvpnctl --timeout 1 --json " command " 2>/dev/null | "
#define PEERS        ASK("peers") "grep -o '\"name\":\"[a-z0-9-]*\"' | cut -d'\"' -f4"
#define ROOMS        ASK("room list") "grep -o '\"room\":\"#[a-z0-9-]*\"' | cut -d'\"' -f4"
#define FILE_IDS     ASK("files") "grep -o '\"id\":[0-9]*' | cut -d: -f2"

/* The same inside fish's single quotes. */
#define MATCH_FISH    "string match -ar "
#define PEERS_FISH    ASK("peers") MATCH_FISH "'\\''(?<=\"name\":\")[a-z0-9-]*(?=\")'\\''"
#define ROOMS_FISH    ASK("room list") MATCH_FISH "'\\''(?<=\"room\":\")#[a-z0-9-]*(?=\")'\\''"
#define FILE_IDS_FISH ASK("files") MATCH_FISH "'\\''(?<=\"id\":)[0-9]+'\\''"
#define FISH_WORDS    "complete -c p2pvpnctl -n '__fish_seen_subcommand_from %s' -a "

#define GLOBAL_OPTIONS "--net --socket --json --timeout --quiet --help"

/* The arguments as they are written for people also say what completes them. */
static bool takes_peer(const struct pv_command *c)
{
    return strstr(c->args, "PEER") != NULL;
}

static bool takes_room(const struct pv_command *c)
{
    return strstr(c->args, "ROOM") != NULL;
}

static bool takes_file_id(const struct pv_command *c)
{
    return strstr(c->args, "accept ID") != NULL;
}

/* The questions to the daemon when the key is pressed, as words of bash and zsh: names change with
 * the network. The short timeout keeps the shell from hanging. */
static void print_asked(const struct pv_command *c, FILE *out)
{
    if (takes_peer(c))
        fputs(" $(" PEERS ")", out);
    if (takes_room(c))
        fputs(" $(" ROOMS ")", out);
    if (takes_file_id(c))
        fputs(" $(" FILE_IDS ")", out);
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

/* One function that finds the command among the words before the cursor, and a case for each. */
static void bash_script(const struct pv_command *const *groups, FILE *out)
{
    const struct pv_command *c;
    fputs("_p2pvpnctl()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} cmd= words= quoted= list=() i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in\n"
          "        --net | --socket | --timeout | -n | -S | -t) ((i++)) ;;\n"
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
        fprintf(out, " " GLOBAL_OPTIONS " %s'\"", c->words == NULL ? "" : c->words);
        print_asked(c, out);
        fputs("\" ;;\n", out);
    }
    /* compgen -W would expand the words once more. */
    fputs("    esac\n    COMPREPLY=()\n"
          "    read -r -d '' -a list <<<\"$words\"\n"
          "    for i in \"${list[@]}\"; do\n"
          "        printf -v quoted %q \"$i\"\n"
          "        [[ $i == \"$cur\"* || $quoted == \"$cur\"* ]] && COMPREPLY+=(\"$quoted\")\n"
          "    done\n}\n"
          "complete -o default -F _p2pvpnctl p2pvpnctl\n",
          out);
}

/* A function of zsh's own, for summaries beside the commands. As a file _p2pvpnctl in fpath
 * (#compdef) it is the completion itself; read by `source` it registers the function. */
static void zsh_script(const struct pv_command *const *groups, FILE *out)
{
    const struct pv_command *c;
    fputs("#compdef p2pvpnctl\n"
          "_p2pvpnctl()\n{\n    local cmd= i\n    local -a commands words_of\n"
          "    for ((i = 2; i < CURRENT; i++)); do\n"
          "        case ${words[i]} in\n"
          "        --net | --socket | --timeout | -n | -S | -t) ((i++)) ;;\n"
          "        -*) ;;\n"
          "        *) cmd=${words[i]}; break ;;\n"
          "        esac\n    done\n    case $cmd in\n    '')\n        commands=(\n",
          out);
    for (size_t i = 0; (c = pv_command_at(groups, i)) != NULL; i++)
        fprintf(out, "            \"%s:%s\"\n", c->name, c->summary);
    fputs("        )\n        _describe command commands\n"
          "        words_of=(" GLOBAL_OPTIONS " --version) ;;\n",
          out);
    for (size_t i = 0; (c = pv_command_at(groups, i)) != NULL; i++) {
        fprintf(out, "    %s) words_of=(", c->name);
        print_options(c, out);
        fprintf(out, " " GLOBAL_OPTIONS " %s", c->words == NULL ? "" : c->words);
        /* Unquoted, the answer becomes one word a line. */
        print_asked(c, out);
        fputs(strcmp(c->name, "send-file") == 0 ? "); _files ;;\n" : ") ;;\n", out);
    }
    fputs("    esac\n    compadd -- $words_of\n}\n"
          "if [[ ${funcstack[1]} == _p2pvpnctl ]]; then\n    _p2pvpnctl \"$@\"\nelse\n"
          "    (( $+functions[compdef] )) || { autoload -U compinit && compinit }\n"
          "    compdef _p2pvpnctl p2pvpnctl\nfi\n",
          out);
}

/* fish has no function of ours to call: every rule is a line of its own, with the condition under
 * which it holds. */
static void fish_script(const struct pv_command *const *groups, FILE *out)
{
    const struct pv_command *c;
    fputs("complete -c p2pvpnctl -f\n"
          "complete -c p2pvpnctl -l net -s n -r\ncomplete -c p2pvpnctl -l socket -s S "
          "-rF\ncomplete -c p2pvpnctl -l json -s j\n"
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
            fprintf(out, FISH_WORDS "'%s'\n", c->name, c->words);
        if (takes_peer(c))
            fprintf(out, FISH_WORDS "'(" PEERS_FISH ")'\n", c->name);
        if (takes_room(c))
            fprintf(out, FISH_WORDS "'(" ROOMS_FISH ")'\n", c->name);
        if (takes_file_id(c))
            fprintf(out, FISH_WORDS "'(" FILE_IDS_FISH ")'\n", c->name);
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
    if (strcmp(shell, "zsh") == 0) {
        zsh_script(cli->groups, cli->out);
        return PV_CTLAPI_DONE;
    }
    if (strcmp(shell, "bash") != 0)
        return pv_cli_usage(cli, "\"%.40s\": there are bash, zsh and fish", shell);
    bash_script(cli->groups, cli->out);
    return PV_CTLAPI_DONE;
}

const struct pv_command pv_cmds_completion[] = {
    {
        .name = "completion",
        .args = "bash|zsh|fish",
        .summary = "a script by which a shell completes commands and names",
        .details = "Installing p2pvpn puts them in their places. Where it did not, in ~/.bashrc:\n"
                   "source <(p2pvpnctl completion bash)\n",
        .example = "p2pvpnctl completion fish >~/.config/fish/completions/p2pvpnctl.fish",
        .words = "bash zsh fish",
        .min_words = 1,
        .max_words = 1,
        .run = completion,
    },
    {.name = NULL},
};
