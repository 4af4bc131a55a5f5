/* SPDX-License-Identifier: MIT */
/* Takes a command line apart by a table of options. Unlike getopt() it keeps no state of its own
 * and does not reorder argv, so a command may stop it where verbatim text begins. */
#include "ctl/lib/args.h"

#include <stdio.h>
#include <string.h>

/* The place of the option in the table, -1 when it is not there. */
static int find(const struct pv_option *table, size_t n, const char *arg)
{
    size_t len = strcspn(arg, "=");
    for (size_t i = 0; i < n; i++) {
        const struct pv_option *o = &table[i];
        if (strncmp(arg, "--", 2) == 0
                ? strlen(o->name) == len - 2 && memcmp(o->name, arg + 2, len - 2) == 0
                : o->letter != 0 && arg[1] == o->letter && arg[2] == '\0')
            return (int)i;
    }
    return -1;
}

/* Drops the first n arguments. */
static void drop(struct pv_args_rest *rest, int n)
{
    rest->argc -= n;
    rest->argv += n;
}

/* An option that wants a value has it behind "=" or in the next argument, whatever that looks like:
 * "--name -x" names something "-x". */
static int take_option(struct pv_args *args, const struct pv_option *table, size_t n_table,
                       struct pv_args_rest *rest, char *error)
{
    const char *arg = rest->argv[0];
    const char *equals = strncmp(arg, "--", 2) == 0 ? strchr(arg, '=') : NULL;
    int i = find(table, n_table, arg);
    if (i < 0) {
        snprintf(error, PV_ARGS_ERROR, "unknown flag %.60s", arg);
        return PV_ERR_MALFORMED;
    }
    if (!table[i].has_value && equals != NULL) {
        snprintf(error, PV_ARGS_ERROR, "flag --%s takes no value", table[i].name);
        return PV_ERR_MALFORMED;
    }
    if (table[i].has_value && equals == NULL && rest->argc < 2) {
        snprintf(error, PV_ARGS_ERROR, "flag %.60s needs a value", arg);
        return PV_ERR_MALFORMED;
    }
    bool two = table[i].has_value && equals == NULL;
    args->value[i] = equals != NULL ? equals + 1 : two ? rest->argv[1] : "";
    drop(rest, two ? 2 : 1);
    return PV_OK;
}

int pv_args_parse(struct pv_args *args, const struct pv_option *table, size_t n_table,
                  int max_words, struct pv_args_rest *rest, char error[static PV_ARGS_ERROR])
{
    bool options = true;
    while (rest->argc > 0 && args->n_words < max_words) {
        char *arg = rest->argv[0];
        if (options && strcmp(arg, "--") == 0) {
            options = false;
            drop(rest, 1);
        } else if (options && arg[0] == '-' && arg[1] != '\0') {
            int r = take_option(args, table, n_table, rest, error);
            if (r < 0)
                return r;
        } else if (args->n_words == PV_ARGS_MAX_WORDS) {
            snprintf(error, PV_ARGS_ERROR, "more than %d words", PV_ARGS_MAX_WORDS);
            return PV_ERR_MALFORMED;
        } else {
            args->word[args->n_words++] = arg;
            drop(rest, 1);
        }
    }
    return PV_OK;
}
