/* SPDX-License-Identifier: MIT */
/* ctlconf.c - where the file is, and which sections it may have. */
#include "ctl/lib/ctlconf.h"

#include <stdio.h>
#include <string.h>

#include "sys/file/file.h"
#include "sys/file/ini.h"
#include "sys/file/userdirs.h"

enum {
    FILE_BYTES = 65536, /* ours: more is no file of settings */
};

static const char *const SECTIONS[] = {"chat", "pipe"};

struct ctx {
    const char *section;
    pv_ctlconf_fn *take;
    void *ctx;
};

static bool is_section(const char *name)
{
    size_t i = 0;
    while (i < PV_ARRAY_LEN(SECTIONS) && strcmp(SECTIONS[i], name) != 0)
        i++;
    return i < PV_ARRAY_LEN(SECTIONS);
}

static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    const struct ctx *c = ctx;
    if (!is_section(item->section)) {
        snprintf(error, cap, "%s%.60s%s: there are [chat] and [pipe], and keys stand below one",
                 item->key == NULL ? "unknown section [" : "no section before ",
                 item->key == NULL ? item->section : item->key, item->key == NULL ? "]" : "");
        return PV_ERR_MALFORMED;
    }
    if (item->key == NULL || strcmp(item->section, c->section) != 0)
        return PV_OK;
    return c->take(c->ctx, item->key, item->value, error, cap);
}

int pv_ctlconf_parse(const char *section, pv_ctlconf_fn *take, void *ctx, const char *file,
                     struct pv_view text, char error[static PV_CTLCONF_ERROR])
{
    struct ctx c = {.section = section, .take = take, .ctx = ctx};
    struct pv_ini_error wrong = {0};
    int r = pv_ini_parse(text, on_item, &c, &wrong);
    if (r == PV_ERR_MALFORMED)
        snprintf(error, PV_CTLCONF_ERROR, "%.380s:%u: %s", file, wrong.line, wrong.text);
    else if (r < 0)
        snprintf(error, PV_CTLCONF_ERROR, "%.380s: %s", file, pv_strstatus(r));
    return r;
}

int pv_ctlconf_load(const char *section, pv_ctlconf_fn *take, void *ctx,
                    char error[static PV_CTLCONF_ERROR])
{
    struct pv_userdirs dirs;
    const char *file = dirs.ctl_config;
    char *text = NULL;
    size_t len = 0;
    if (pv_userdirs_find("", &dirs) != PV_OK)
        return PV_OK;
    int r = pv_file_read(file, FILE_BYTES, &text, &len);
    if (r == PV_ERR_NOT_FOUND)
        return PV_OK;
    if (r < 0)
        snprintf(error, PV_CTLCONF_ERROR, "read %.380s: %s", file,
                 r == PV_ERR_LIMIT ? "not a regular file of at most 64 KiB" : pv_strstatus(r));
    else
        r = pv_ctlconf_parse(section, take, ctx, file, pv_view(text, len), error);
    pv_file_free(text, len);
    return r;
}
