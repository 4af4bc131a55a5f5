/* SPDX-License-Identifier: MIT */
/* seen.c - lines in a file, the newest last. */
#include "ctl/lib/seen.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sys/file/file.h"

enum {
    LINE_MAX_BYTES = 200,
};

void pv_seen_load(struct pv_seen *s)
{
    struct pv_userdirs dirs;
    char *data = NULL;
    size_t len = 0;
    s->path[0] = '\0';
    s->text[0] = '\n';
    s->text[1] = '\0';
    s->len = 1;
    if (pv_userdirs_find("", &dirs) != PV_OK)
        return;
    memcpy(s->path, dirs.seen, sizeof(s->path));
    if (pv_file_read(s->path, PV_SEEN_BYTES - 2, &data, &len) != PV_OK)
        return;
    if (memchr(data, 0, len) == NULL && len > 0 && data[len - 1] == '\n') {
        memcpy(s->text + 1, data, len + 1);
        s->len = len + 1;
    }
    pv_file_free(data, len);
}

bool pv_seen_has(const struct pv_seen *s, const char *line)
{
    char whole[LINE_MAX_BYTES + 3];
    return snprintf(whole, sizeof(whole), "\n%s\n", line) < (int)sizeof(whole) &&
           strstr(s->text, whole) != NULL;
}

void pv_seen_add(struct pv_seen *s, const char *line)
{
    const size_t len = strlen(line);
    if (len > LINE_MAX_BYTES || pv_seen_has(s, line))
        return;
    while (s->len + len + 2 > sizeof(s->text)) {
        const char *second = strchr(s->text + 1, '\n');
        s->len -= (size_t)(second - s->text);
        memmove(s->text, second, s->len + 1);
    }
    memcpy(s->text + s->len, line, len);
    memcpy(s->text + s->len + len, "\n", 2);
    s->len += len + 1;
}

void pv_seen_save(const struct pv_seen *s)
{
    const char *slash = strrchr(s->path, '/');
    if (slash == NULL)
        return;
    if (pv_dir_make(PV_STR("%.*s", (int)(slash - s->path), s->path), 0700) == PV_OK)
        (void)!pv_file_write(s->path, pv_view(s->text + 1, s->len - 1), 0600);
}
