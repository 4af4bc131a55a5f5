/* SPDX-License-Identifier: MIT */
/* Finds commands of p2pvpnctl in texts, and says in them which network is meant. */
#include "proto/local/remedy.h"

#include <string.h>

enum {
    TEXT_MAX = 2048, /* bytes with the NUL; ours: problems and lines of `why` are shorter */
};

static bool ends_with(const char *text, size_t len, const char *tail)
{
    size_t n = strlen(tail);
    return len >= n && memcmp(text + len - n, tail, n) == 0;
}

static bool is_for_another(const char *text, size_t at)
{
    return ends_with(text, at, "there ") || ends_with(text, at, "'s ");
}

/* The bytes of text from at on up to the place where the flag belongs; 0: no command that is to be
 * typed here begins there. */
static size_t command_at(const char *text, size_t at)
{
    static const char *const begins[] = {"`p2pvpnctl ", "`sudo p2pvpnctl "};
    if (is_for_another(text, at))
        return 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(begins); i++) {
        size_t n = strlen(begins[i]);
        if (strncmp(text + at, begins[i], n) == 0 && text[at + n] >= 'a' && text[at + n] <= 'z')
            return n;
    }
    return 0;
}

static void remove_sudo(char *text)
{
    static const char begin[] = "`sudo p2pvpnctl ";
    const size_t sudo = strlen("sudo ");
    for (char *at = text; (at = strstr(at, begin)) != NULL; at++) {
        if (!is_for_another(text, (size_t)(at - text)))
            memmove(at + 1, at + 1 + sudo, strlen(at + 1 + sudo) + 1);
    }
}

void pv_remedy_name(const char *flag, bool own, const char *text, char *dst, size_t cap)
{
    size_t len = 0, extra = flag[0] == '\0' ? 0 : strlen(flag) + 1;
    for (size_t at = 0; text[at] != '\0' && len + 1 < cap;) {
        size_t n = extra > 0 ? command_at(text, at) : 0;
        if (n > 0 && len + n + extra < cap) {
            memcpy(dst + len, text + at, n);
            memcpy(dst + len + n, flag, extra - 1);
            len += n + extra;
            dst[len - 1] = ' ';
            at += n;
        } else {
            dst[len++] = text[at++];
        }
    }
    dst[len] = '\0';
    if (own)
        remove_sudo(dst);
}

static json_t *named(const char *flag, bool own, const json_t *value)
{
    char text[TEXT_MAX];
    const char *was = json_string_value(value);
    if (was == NULL || strstr(was, "p2pvpnctl ") == NULL || strlen(was) >= sizeof(text) / 2)
        return NULL;
    pv_remedy_name(flag, own, was, text, sizeof(text));
    return json_string(text);
}

void pv_remedy_name_reply(const char *flag, bool own, json_t *reply)
{
    static const char *const texts[] = {"error", "text", "cause", "todo", "fault"};
    static const char *const lists[] = {"problems", "lines"};
    if (flag[0] == '\0' && !own)
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++) {
        json_t *text = named(flag, own, json_object_get(reply, texts[i]));
        if (text != NULL)
            (void)json_object_set_new(reply, texts[i], text);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(lists); i++) {
        json_t *list = json_object_get(reply, lists[i]);
        for (size_t k = 0; k < json_array_size(list); k++) {
            json_t *text = named(flag, own, json_array_get(list, k));
            if (text != NULL)
                (void)json_array_set_new(list, k, text);
        }
    }
}
