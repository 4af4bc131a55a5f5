/* SPDX-License-Identifier: MIT */
/*
 * replay.c - runs a fuzz target over its kept corpus without libFuzzer.
 *
 * Usage: fuzz_x PATH...; a directory stands for the files in it. Prints how many inputs ran and
 * fails when there was none: an empty corpus is a test that cannot fail.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/pv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    /* A heap block of the exact size lets ASan see a read of one byte too many. */
    uint8_t *buf = malloc(1u << 20);
    size_t len = buf == NULL ? 0 : fread(buf, 1, 1u << 20, f);
    fclose(f);
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    if (buf == NULL || exact == NULL) {
        free(buf);
        free(exact);
        return -1;
    }
    for (size_t i = 0; i < len; i++)
        exact[i] = buf[i];
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    free(buf);
    return 0;
}

static unsigned run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return 0;
    if (!S_ISDIR(st.st_mode))
        return run_file(path) == 0 ? 1 : 0;

    unsigned n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char sub[4096];
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub))
            n += run_file(sub) == 0 ? 1u : 0u;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = 0;
    for (int i = 1; i < argc; i++)
        n += run_path(argv[i]);
    printf("%u inputs\n", n);
    return n > 0 ? 0 : 1;
}
