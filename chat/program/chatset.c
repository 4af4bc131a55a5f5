/* SPDX-License-Identifier: MIT */
/* chatset.c - takes the keys of chat out of p2pvpnd.conf. p2pvpnd says what a wrong value should
 * be; here it is enough that none is taken. */
#include "chat/program/chatset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/amount.h"
#include "base/text.h"
#include "chat/proto/file.h"
#include "sys/file/file.h"
#include "sys/file/ini.h"

struct pv_chatset pv_chatset_default(void)
{
    return (struct pv_chatset){.level = PV_LOG_INFO, .given.store = true};
}

static bool take_switch(const char *value, bool *ret_off)
{
    bool on = false;
    int r = pv_switch_parse(value, &on);
    *ret_off = !on;
    return r == PV_OK;
}

static bool take_accept(struct pv_chatset *s, const char *value)
{
    struct pv_auto_accept rule = {.max = PV_FILE_SIZE_MAX};
    size_t len = strcspn(value, " \t");
    const char *size = value + len + strspn(value + len, " \t");
    const bool all = len == 1 && value[0] == '*';
    if ((!all && pv_name_parse(value, len, rule.name) < 0) ||
        (*size != '\0' && !pv_size_parse(size, PV_FILE_SIZE_MAX, &rule.max)) ||
        s->n_auto_accept == PV_CHATSET_MAX_ACCEPT)
        return false;
    struct pv_auto_accept *rules = realloc(s->auto_accept, (s->n_auto_accept + 1) * sizeof(*rules));
    if (rules == NULL)
        return false;
    s->auto_accept = rules;
    rules[s->n_auto_accept++] = rule;
    return true;
}

static bool take(struct pv_chatset *s, const struct pv_ini_item *item)
{
    const char *key = item->key, *value = item->value;
    if (strcmp(item->section, "log") == 0)
        return strcmp(key, "level") != 0 || pv_log_level_parse(value, &s->level) == PV_OK;
    if (strcmp(item->section, "chat") != 0)
        return true;
    if (strcmp(key, "store") == 0) {
        s->given.store = strcmp(value, "coordinator") == 0;
        return s->given.store || strcmp(value, "off") == 0;
    }
    if (strcmp(key, "plain") == 0)
        return take_switch(value, &s->given.plain_off);
    if (strcmp(key, "keep") == 0)
        return pv_age_parse(value, "forever", &s->given.keep_s);
    if (strcmp(key, "max-size") == 0)
        return pv_size_parse(value, PV_FILE_SIZE_MAX, &s->max_size);
    if (strcmp(key, "auto-accept") == 0)
        return take_accept(s, value);
    if (strcmp(key, "notify") == 0) /* the program is p2pvpnd's to start */
        s->given.notify = true;
    return true;
}

static int on_item(void *ctx, const struct pv_ini_item *item, char *error, size_t cap)
{
    if (item->key == NULL || take(ctx, item))
        return PV_OK;
    snprintf(error, cap, "%s: p2pvpnd --check says what is wrong", item->key);
    return PV_ERR_MALFORMED;
}

int pv_chatset_parse(struct pv_chatset *s, const char *file, struct pv_view text,
                     char ret_error[static PV_CHATSET_ERROR_MAX])
{
    struct pv_ini_error error = {0};
    int r = pv_ini_parse(text, on_item, s, &error);
    if (r < 0)
        snprintf(ret_error, PV_CHATSET_ERROR_MAX, "%.150s:%u: %s", file, error.line,
                 r == PV_ERR_NOMEM ? "out of memory" : error.text);
    return r;
}

int pv_chatset_load(struct pv_chatset *s, const char *file,
                    char ret_error[static PV_CHATSET_ERROR_MAX])
{
    char *text = NULL;
    size_t len = 0;
    int r = pv_file_read(file, PV_INI_FILE_MAX, &text, &len);
    if (r < 0) {
        snprintf(ret_error, PV_CHATSET_ERROR_MAX, "%.150s: %s", file, pv_strstatus(r));
        return r;
    }
    r = pv_chatset_parse(s, file, pv_view(text, len), ret_error);
    pv_file_free(text, len);
    return r;
}

void pv_chatset_done(struct pv_chatset *s)
{
    free(s->auto_accept);
    *s = pv_chatset_default();
}
