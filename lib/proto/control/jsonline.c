/* SPDX-License-Identifier: MIT */
/*
 * jsonline.c - one JSON object from untrusted bytes, with limits that hold before anything is
 * allocated. jansson has no limit on the number of values: a megabyte of "[0,0,0…" would cost it
 * fifty.
 */
#include "proto/control/jsonline.h"

/* Counts brackets and commas outside strings, in one pass over the bytes; whether they form JSON is
 * jansson's to decide. */
static int check_size(struct pv_view text, unsigned max_depth, size_t max_values)
{
    unsigned depth = 0;
    size_t values = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth-- == 0)
            return PV_ERR_MALFORMED;
        if (c == '{' || c == '[' || c == ',')
            values++;
        if (depth > max_depth || values > max_values)
            return PV_ERR_LIMIT;
    }
    return PV_OK;
}

int pv_jsonline_parse(struct pv_view text, unsigned max_depth, size_t max_values, json_t **ret_obj)
{
    int r = check_size(text, max_depth, max_values);
    if (r < 0)
        return r;

    json_error_t err;
    json_t *obj = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &err);
    if (obj == NULL)
        return json_error_code(&err) == json_error_out_of_memory ? PV_ERR_NOMEM : PV_ERR_MALFORMED;
    if (!json_is_object(obj)) {
        json_decref(obj);
        return PV_ERR_MALFORMED;
    }
    *ret_obj = obj;
    return PV_OK;
}

int pv_jsonline_u64(const json_t *obj, const char *key, uint64_t min, uint64_t max,
                    uint64_t *ret_value)
{
    const json_t *v = json_object_get(obj, key);
    if (v == NULL || json_is_null(v))
        return PV_ERR_NOT_FOUND;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return PV_ERR_MALFORMED;
    uint64_t value = (uint64_t)json_integer_value(v);
    if (value < min || value > max)
        return PV_ERR_MALFORMED;
    *ret_value = value;
    return PV_OK;
}

static void keep_whole(json_t **obj, int r)
{
    if (r == 0)
        return;
    json_decref(*obj);
    *obj = NULL;
}

void pv_jsonline_set(json_t **obj, const char *key, json_t *value)
{
    keep_whole(obj, json_object_set_new(*obj, key, value));
}

void pv_jsonline_add(json_t **list, json_t *value)
{
    keep_whole(list, json_array_append_new(*list, value));
}
