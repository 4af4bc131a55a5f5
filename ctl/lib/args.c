/* SPDX-License-Identifier: MIT */
/* Takes a command line apart by a table of options. Unlike getopt() it keeps no state of its own
 * and does not reorder argv, so a command may stop it where verbatim text begins. */
#include "ctl/lib/args.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum {
    ID_LEN = 12, /* as `invite list` shows one */
};

/* The place of "--name" or "--name=value" in the table, -1 when it is not there. */
static int find_name(const struct pv_option *table, size_t n, const char *arg)
{
    size_t len = strcspn(arg, "=");
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == len - 2 && memcmp(table[i].name, arg + 2, len - 2) == 0)
            return (int)i;
    return -1;
}

/* The later row wins: a command's own "-n" is meant where it stands behind one that every command
 * has. */
static int find_letter(const struct pv_option *table, size_t n, char letter)
{
    for (size_t i = n; i-- > 0;)
        if (table[i].letter != 0 && table[i].letter == letter)
            return (int)i;
    return -1;
}

/* Drops the first n arguments. */
static void drop(struct pv_args_rest *rest, int n)
{
    rest->argc -= n;
    rest->argv += n;
}

static int needs_value(const char *arg, char *error)
{
    snprintf(error, PV_ARGS_ERROR, "flag %.60s needs a value", arg);
    return PV_ERR_MALFORMED;
}

/* A script's variable that is empty would mean what stands for nothing. */
static int is_empty(const struct pv_option *option, char *error)
{
    snprintf(error, PV_ARGS_ERROR, "--%s is empty: give it a value, or leave it out", option->name);
    return PV_ERR_MALFORMED;
}

/* An id of an invite may begin with a hyphen. */
static int unknown_flag(const char *arg, char *error)
{
    snprintf(error, PV_ARGS_ERROR, "unknown flag %.60s%s", arg,
             arg[1] != '-' && strlen(arg) >= ID_LEN ? " (behind -- it is a word)" : "");
    return PV_ERR_MALFORMED;
}

/* A flag by its name may be mistyped; a letter is nothing to guess from. */
static int unknown_name(const struct pv_option *table, size_t n, const char *arg, char *error)
{
    size_t best = PV_LIKE_NONE, found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t cost = pv_like(arg + 2, strcspn(arg + 2, "="), table[i].name);
        if (cost < best) {
            best = cost;
            found = i;
        }
    }
    if (best == PV_LIKE_NONE)
        return unknown_flag(arg, error);
    snprintf(error, PV_ARGS_ERROR, "unknown flag %.60s: did you mean --%s?", arg,
             table[found].name);
    return PV_ERR_MALFORMED;
}

/* Is the next argument another option by its name? Then the value of this one was left out. */
static bool is_other_option(const struct pv_option *table, size_t n_table,
                            const struct pv_args_rest *rest)
{
    return rest->argc > 1 && strncmp(rest->argv[1], "--", 2) == 0 &&
           find_name(table, n_table, rest->argv[1]) >= 0;
}

/* An option that wants a value has it behind "=" or in the next argument, whatever that looks like:
 * "--name -x" names something "-x". */
static int take_name(struct pv_args *args, const struct pv_option *table, size_t n_table,
                     struct pv_args_rest *rest, char *error)
{
    const char *arg = rest->argv[0];
    const char *equals = strchr(arg, '=');
    int i = find_name(table, n_table, arg);
    if (i < 0)
        return unknown_name(table, n_table, arg, error);
    if (!table[i].has_value && equals != NULL) {
        snprintf(error, PV_ARGS_ERROR, "flag --%s takes no value", table[i].name);
        return PV_ERR_MALFORMED;
    }
    const bool needs = table[i].has_value && table[i].has_value != PV_OPTION_MAYBE;
    if (needs && equals == NULL && (rest->argc < 2 || is_other_option(table, n_table, rest)))
        return needs_value(arg, error);
    if (table[i].has_value == PV_OPTION_ONCE && args->value[i] != NULL) {
        snprintf(error, PV_ARGS_ERROR, "flag --%s is given twice: once is all that counts",
                 table[i].name);
        return PV_ERR_MALFORMED;
    }
    bool two = needs && equals == NULL;
    args->value[i] = equals != NULL ? equals + 1 : two ? rest->argv[1] : "";
    if (args->value[i][0] == '\0' && (needs || equals != NULL))
        return is_empty(&table[i], error);
    drop(rest, two ? 2 : 1);
    return PV_OK;
}

/* Letters may be joined: "-jq" is "-j -q", and "-c1" or "-qc1" has the value of -c behind it. A
 * word of which a later letter is unknown changes nothing. */
static int take_letters(struct pv_args *args, const struct pv_option *table, size_t n_table,
                        struct pv_args_rest *rest, char *error)
{
    const char *arg = rest->argv[0];
    const char *value[PV_ARGS_MAX_OPTIONS];
    bool two = false;
    memcpy(value, args->value, sizeof(value));
    for (const char *p = arg + 1; *p != '\0'; p++) {
        int i = find_letter(table, n_table, *p);
        if (i < 0)
            return unknown_flag(arg, error);
        value[i] = "";
        if (!table[i].has_value)
            continue;
        two = p[1] == '\0';
        if (two && rest->argc < 2)
            return needs_value(arg, error);
        value[i] = two ? rest->argv[1] : p + 1;
        if (value[i][0] == '\0')
            return is_empty(&table[i], error);
        break;
    }
    memcpy(args->value, value, sizeof(value));
    drop(rest, two ? 2 : 1);
    return PV_OK;
}

/* Keys, and ids of invites, are base64url: one in 64 begins with a hyphen, and is no flag. */
static bool is_key(const char *arg)
{
    uint8_t key[PV_KEY_LEN];
    return pv_key_parse(arg, key) == PV_OK;
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
        } else if (options && arg[0] == '-' && arg[1] != '\0' && !is_key(arg)) {
            int r = arg[1] == '-' ? take_name(args, table, n_table, rest, error)
                                  : take_letters(args, table, n_table, rest, error);
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

/* --- words that were meant ------------------------------------------------------------------- */

enum {
    WORD_MAX = 24, /* bytes of a command or flag; longer words are no mistyped ones */
    MAX_EDITS = 2,
    LETTERS_AN_EDIT = 3, /* of a short word two changed letters leave nothing that was meant */
};

/* How many letters have to be put in, taken out, changed or swapped with their neighbour to turn
 * one word into the other (optimal string alignment). */
static size_t edits(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = 0; k <= m; k++) {
            if (i == 0 || k == 0) {
                d[i][k] = i + k;
                continue;
            }
            size_t best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            if (d[i - 1][k] + 1 < best)
                best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best)
                best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    }
    return d[n][m];
}

size_t pv_like(const char *typed, size_t len, const char *word)
{
    size_t n = strlen(word), most = len / LETTERS_AN_EDIT;
    if (len > WORD_MAX || n > WORD_MAX)
        return PV_LIKE_NONE;
    size_t cost = edits(typed, len, word, n);
    return cost <= most && cost <= MAX_EDITS ? cost : PV_LIKE_NONE;
}
