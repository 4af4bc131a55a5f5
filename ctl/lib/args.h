/* SPDX-License-Identifier: MIT */
/*
 * args.h - command-line arguments: options of a table, in any order among the other arguments.
 *
 * "--name value", "--name=value", "-n value", "-nvalue", "--flag", "-ab" for "-a -b"; "--" ends the
 * options; "-" alone is an argument like any other.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/pv.h"

enum {
    PV_ARGS_MAX_OPTIONS = 16, /* in all tables together */
    PV_ARGS_MAX_WORDS = 1024, /* arguments that are no options */
    PV_ARGS_ERROR = 200,      /* bytes of an error text with the NUL */
};

struct pv_option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    /* true: it has one, and of several the last one counts, as behind an alias; PV_OPTION_ONCE:
     * none may be lost, so a second one is refused; PV_OPTION_MAYBE: only behind "=", as in
     * --qr=FILE */
    uint8_t has_value;
};
enum {
    PV_OPTION_ONCE = 2,  /* its name alone may be given: it has no letter */
    PV_OPTION_MAYBE = 3, /* likewise */
};

/* The options and words found; strings are borrowed from argv. Zeroed at first; several calls add
 * up. */
struct pv_args {
    const char *value[PV_ARGS_MAX_OPTIONS]; /* by place in the table; NULL: absent; flags: "" */
    char *word[PV_ARGS_MAX_WORDS];          /* arguments that are no options, in order */
    int n_words;
};

/* The arguments still to be looked at. */
struct pv_args_rest {
    int argc;
    char **argv;
};

/*
 * Takes options and words off rest until there are max_words words (options behind the last are
 * not taken) or nothing is left. Later options of the same name replace earlier ones.
 * PV_ERR_MALFORMED: error says what is wrong.
 */
PV_MUST_CHECK int pv_args_parse(struct pv_args *args, const struct pv_option *table, size_t n_table,
                                int max_words, struct pv_args_rest *rest,
                                char error[static PV_ARGS_ERROR]);

/* --- words that were meant ------------------------------------------------------------------- */

/* Guesses what a mistyped word was meant to be. */

#define PV_LIKE_NONE SIZE_MAX /* nobody mistypes the one for the other */

/* How many letters somebody who typed len bytes has to put in, take out, change or swap to have
 * word: at most two, of a word of five letters or fewer one. Else PV_LIKE_NONE. */
size_t pv_like(const char *typed, size_t len, const char *word);
