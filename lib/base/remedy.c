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

/* Returns true if the row makes this text; a %s stands for any text. */
static bool makes(const char *row, const char *text)
{
    const size_t len = strcspn(row, "%");
    if (strncmp(row, text, len) != 0)
        return false;
    row += len;
    text += len;
    if (row[0] == '\0')
        return text[0] == '\0';
    for (row += strlen("%s"); !makes(row, text); text++)
        if (text[0] == '\0')
            return false;
    return true;
}

static struct pv_remedy said_here(const char *text)
{
    struct pv_remedy found = PV_DO_NOTHING;
    for (int id = PV_REMEDY_NONE + 1; id < PV_REMEDY_COUNT && found.id == PV_REMEDY_NONE; id++)
        if (rows[id].text[0] != '%' && makes(rows[id].text, text))
            found = (struct pv_remedy){.id = (enum pv_remedy_id)id, .said = text};
    return found;
}

struct pv_remedy pv_remedy_said(const char *error)
{
    struct pv_remedy found = said_here(error);
    for (const char *at = error; found.id == PV_REMEDY_NONE && (at = strstr(at, ": ")) != NULL;) {
        at += 2;
        found = said_here(at);
    }
    return found;
}

const char *pv_remedy_write(const struct pv_remedy *r, char *dst, size_t cap)
{
    struct pv_text text = pv_text_in(dst, cap);
    size_t arg = 0;
    if (r->said != NULL) {
        pv_text_add(&text, "%s", r->said);
        return dst;
    }
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

const char *pv_reason_write(struct pv_reason reason, char *dst, size_t cap)
{
    struct pv_text text = pv_text_in(dst, cap);
    pv_text_add(&text, "%s", reason.text);
    if (reason.todo.id != PV_REMEDY_NONE)
        pv_text_add(&text, ": %s",
                    pv_remedy_write(&reason.todo, (char[PV_REMEDY_BUF]){0}, PV_REMEDY_BUF));
    return dst;
}
