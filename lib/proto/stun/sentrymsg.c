/* SPDX-License-Identifier: MIT */
/* The attribute SENTRY: two numbers of 64 bits, and the alarm that has nothing else in it. */
#include "proto/stun/sentrymsg.h"

#include "base/bytes.h"

enum {
    WORD_LEN = 16, /* bytes */
};

int pv_sentry_get(const struct pv_stun_msg *msg, struct pv_sentry_word *ret_word)
{
    struct pv_view v;
    int r = pv_stun_find(msg, PV_STUN_ATTR_SENTRY, &v);
    if (r < 0)
        return r;
    if (v.len != WORD_LEN)
        return PV_ERR_MALFORMED;
    *ret_word = (struct pv_sentry_word){.coordinator = pv_load_be64(v.ptr),
                                        .ticket = pv_load_be64(v.ptr + 8)};
    return PV_OK;
}

void pv_sentry_put(struct pv_stun_writer *w, const struct pv_sentry_word *word)
{
    uint8_t value[WORD_LEN];
    pv_store_be64(value, word->coordinator);
    pv_store_be64(value + 8, word->ticket);
    pv_stun_put(w, PV_STUN_ATTR_SENTRY, pv_view(value, sizeof(value)));
}

/* It cannot fail: the buffer has the length of all that is put. */
void pv_sentry_write_alarm(uint8_t buf[static PV_SENTRY_ALARM_LEN],
                           const struct pv_sentry_word *word, const uint8_t *txid)
{
    struct pv_stun_writer w;
    size_t len;
    pv_stun_write_begin(&w, buf, PV_SENTRY_ALARM_LEN, PV_STUN_INDICATION, PV_STUN_BINDING, txid);
    pv_sentry_put(&w, word);
    pv_stun_put_fingerprint(&w);
    (void)!pv_stun_write_end(&w, &len);
}

int pv_sentry_read_alarm(struct pv_view datagram, struct pv_sentry_word *ret_word)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.cls != PV_STUN_INDICATION || msg.method != PV_STUN_BINDING)
        return PV_ERR_NOT_FOUND;
    if (pv_stun_check_fingerprint(&msg) < 0)
        return PV_ERR_AUTH;
    return pv_sentry_get(&msg, ret_word);
}
