/* SPDX-License-Identifier: MIT */
/* sshdkeys.c - the .pub files beside sshd's host keys. */
#include "daemon/io/sshdkeys.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/jobs/job.h"

enum {
    FILE_MAX = 1024, /* bytes of one file: a line of RSA with 4,096 bits has 740 without comment */
};

/* Appends a file and a newline, or nothing. O_NONBLOCK: a FIFO in its place must not hang us. */
static void add_file(const char *path, char *text, size_t *len)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX) {
        const ssize_t n = read(fd, text + *len, FILE_MAX);
        if (n > 0) {
            *len += (size_t)n;
            text[(*len)++] = '\n';
        }
    }
    close(fd);
}

int pv_sshdkeys_read(const char *dir, char **ret_text, size_t *ret_len)
{
    static const char *const kinds[] = {"ed25519", "ecdsa", "rsa"};
    _Static_assert(PV_ARRAY_LEN(kinds) * (FILE_MAX + 1) <= PV_JOB_HOSTKEYS_MAX, "all files fit");
    char path[PATH_MAX];
    char *text = malloc(PV_JOB_HOSTKEYS_MAX);
    size_t len = 0;
    if (text == NULL)
        return PV_ERR_NOMEM;
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++) {
        snprintf(path, sizeof(path), "%s/ssh_host_%s_key.pub", dir, kinds[i]);
        add_file(path, text, &len);
    }
    *ret_text = text;
    *ret_len = len;
    return PV_OK;
}
