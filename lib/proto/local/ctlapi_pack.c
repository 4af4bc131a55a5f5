/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_pack.c - steps that all builders of the control socket's language take.
 */
#include "proto/local/ctlapi_pack.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/ct.h"

/* The allocator's own size is asked, so that texts of json_dumps() may still go to free(). */
static void wipe_and_free(void *p)
{
    if (p != NULL)
        pv_wipe(p, malloc_usable_size(p));
    free(p);
}

void pv_ctlapi_wipe_freed(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}

/* jansson gives one code for a NULL text and for a NULL object. The latter is a nested builder that
 * had no memory, so the words of the error tell the two apart. */
static bool is_null_text(const json_error_t *error)
{
    return json_error_code(error) == json_error_null_value && strstr(error->text, "string") != NULL;
}

json_t *pv_ctlapi_pack(const char *format, ...)
{
    json_error_t error;
    va_list args;

    va_start(args, format);
    json_t *obj = json_vpack_ex(&error, 0, format, args);
    va_end(args);
    if (obj == NULL && is_null_text(&error))
        obj =
            json_pack("{s:s, s:s}", "bug", "a field that needs a text has none", "fields", format);
    return obj;
}

json_t *pv_ctlapi_list(const char *key)
{
    return pv_ctlapi_pack("{s:i, s:[]}", "version", PV_CTLAPI_FORMAT, key);
}

void pv_ctlapi_put(json_t **obj, const char *key, json_t *item)
{
    json_t *list = key == NULL ? *obj : json_object_get(*obj, key);
    if (json_array_append_new(list, item) == 0)
        return;
    json_decref(*obj);
    *obj = NULL;
}

json_t *pv_ctlapi_key(const uint8_t *key)
{
    return key == NULL ? json_null() : json_string(PV_KEY_STR(key));
}

json_t *pv_ctlapi_u64(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

json_t *pv_ctlapi_ip(const struct pv_addr *a)
{
    return a->family == PV_AF_NONE ? json_null() : json_string(PV_IP_STR(a));
}

json_t *pv_ctlapi_addr(const struct pv_addr *a)
{
    return a->family == PV_AF_NONE ? json_null() : json_string(PV_ADDR_STR(a));
}

json_t *pv_ctlapi_real(double v)
{
    return v < 0 ? json_null() : json_real(v);
}
