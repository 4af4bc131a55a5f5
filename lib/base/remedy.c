/* SPDX-License-Identifier: MIT */
/* remedy.c - the texts of remedies. */
#include "base/remedy.h"

#include <string.h>

#include "base/text.h"

static const struct {
    const char *name, *text;
} rows[PV_REMEDY_COUNT] = {
#define PV_REMEDY_ROW(name, text) [PV_REMEDY_##name] = {#name, text},
    PV_REMEDIES(PV_REMEDY_ROW)
#undef PV_REMEDY_ROW
};

static bool is_row(enum pv_remedy_id id)
{
    return id != PV_REMEDY_NONE && (unsigned)id < PV_REMEDY_COUNT;
}

const char *pv_remedy_id(enum pv_remedy_id id)
{
    return is_row(id) ? rows[id].name : NULL;
}

const char *pv_remedy_text(enum pv_remedy_id id)
{
    return is_row(id) ? rows[id].text : "";
}

const char *pv_remedy_write(const struct pv_remedy *r, char *dst, size_t cap)
{
    struct pv_text text = pv_text_in(dst, cap);
    size_t arg = 0;
    for (const char *at = pv_remedy_text(r->id); *at != '\0';) {
        const size_t len = strcspn(at, "%");
        pv_text_add(&text, "%.*s", (int)len, at);
        at += len;
        if (strncmp(at, "%s", 2) != 0) {
            if (*at != '\0')
                pv_text_add(&text, "%c", *at++);
            continue;
        }
        const char *value = arg < PV_REMEDY_ARGS ? r->args[arg++] : NULL;
        pv_text_add(&text, "%s", value == NULL ? "" : value);
        at += 2;
    }
    return dst;
}
