/* SPDX-License-Identifier: MIT */
/*
 * replay.c - runs a fuzz target over its kept corpus without libFuzzer.
 *
 * usage: fuzz_x CORPUS [NAME...]         all inputs of the file (scripts/corpus), or these
 *
 * Prints how many inputs ran and fails when there was none: an empty corpus is a test that cannot
 * fail.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* The byte that the text begins with; how many characters say it, 0 when they say none. */
static size_t read_byte(const char *text, uint8_t *byte)
{
    if (text[0] != '\\') {
        *byte = (uint8_t)text[0];
        return 1;
    }
    if (text[1] != 'x') {
        *byte = text[1] == 'n' ? '\n' : text[1] == 't' ? '\t' : (uint8_t)text[1];
        return text[1] == 'n' || text[1] == 't' || text[1] == '\\' ? 2 : 0;
    }
    int high = hex_digit(text[2]), low = high < 0 ? -1 : hex_digit(text[3]);
    *byte = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    return low < 0 ? 0 : 4;
}

/* A heap block of the exact size lets ASan see a read of one byte too many. */
static bool run_text(const char *text)
{
    size_t len = 0;
    uint8_t *bytes = malloc(strlen(text) + 1);
    if (bytes == NULL)
        return false;
    for (size_t n; *text != '\0'; text += n) {
        n = read_byte(text, &bytes[len++]);
        if (n == 0) {
            free(bytes);
            return false;
        }
    }
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (exact != NULL) {
        memcpy(exact, bytes, len);
        LLVMFuzzerTestOneInput(exact, len);
    }
    free(bytes);
    free(exact);
    return exact != NULL;
}

static bool is_wanted(const char *name, char **names, int n)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return n == 0;
}

int main(int argc, char **argv)
{
    unsigned n = 0;
    char *line = NULL;
    size_t cap = 0;
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (f == NULL) {
        fprintf(stderr, "%s: %s\n", argc > 1 ? argv[1] : "usage: fuzz_x CORPUS [NAME...]",
                argc > 1 ? strerror(errno) : "which corpus?");
        return 1;
    }
    while (getline(&line, &cap, f) > 0) {
        line[strcspn(line, "\n")] = '\0';
        size_t name = strcspn(line, " ");
        const char *text = line[name] == '\0' ? line + name : line + name + 1;
        line[name] = '\0';
        if (!is_wanted(line, argv + 2, argc - 2))
            continue;
        if (!run_text(text)) {
            fprintf(stderr, "%s: %s is no input\n", argv[1], line);
            return 1;
        }
        n++;
    }
    free(line);
    fclose(f);
    printf("%u inputs\n", n);
    return n > 0 ? 0 : 1;
}
