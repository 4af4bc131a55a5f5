/* SPDX-License-Identifier: MIT */
/*
 * In the place of lib/crypto/aead_choose.c, for p2pvpnd-nocrypto: a daemon whose data is neither
 * encrypted nor authenticated, so that scripts/bench can tell what encryption costs. Handshakes
 * stay as they are. It says at its start what it is, and is never installed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/aead.h"
#include "crypto/provider.h"

enum {
    MARK = 0x5a, /* every byte of a tag: what was damaged on the way is still noticed at times */
};

static void seal_none(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        memset(ops[i].data + ops[i].len, MARK, PV_AEAD_TAG_LEN);
        ops[i].status = PV_OK;
    }
}

static void open_none(void *state, struct pv_aead_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].status = ops[i].data[ops[i].len - 1] == MARK ? PV_OK : PV_ERR_AUTH;
}

static const struct pv_aead_provider none = {
    .name = "NO ENCRYPTION",
    .seal = seal_none,
    .open = open_none,
};

const char *pv_aead_libraries(char ret_text[static PV_AEAD_LIBRARIES_MAX])
{
    snprintf(ret_text, PV_AEAD_LIBRARIES_MAX, "%s", none.name);
    return ret_text;
}

int pv_aead_measure_cost(pv_ns (*clock)(void))
{
    return PV_OK;
}

uint32_t pv_aead_cost(enum pv_suite suite)
{
    return 1;
}

int pv_aead_engine_new(struct pv_aead_engine **ret_engine)
{
    struct pv_aead_engine *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return PV_ERR_NOMEM;
    fputs("p2pvpnd-nocrypto: data is NOT ENCRYPTED; for scripts/bench only\n", stderr);
    e->by_suite[PV_SUITE_CHACHA] = e->by_suite[PV_SUITE_AES] = &none;
    snprintf(e->name, sizeof(e->name), "%s", none.name);
    *ret_engine = e;
    return PV_OK;
}
