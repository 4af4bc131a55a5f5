/* SPDX-License-Identifier: MIT */
/* natpmp.c - writes and reads the messages of NAT-PMP (RFC 6886). */
#include "proto/stun/natpmp.h"

#include "base/bytes.h"

enum {
    VERSION = 0,
    RESPONSE = 0x80,  /* RFC 6886 s3.2: added to the opcode of the request */
    ERROR_LEN = 8,    /* bytes: all that an answer with an error has for certain */
    ADDRESS_LEN = 12, /* bytes of the answer, RFC 6886 s3.2 */
    MAP_LEN = 16,     /* bytes of the answer, RFC 6886 s3.3 */
};

void pv_natpmp_write_address(uint8_t buf[static PV_NATPMP_ADDRESS_LEN])
{
    buf[0] = VERSION;
    buf[1] = PV_NATPMP_ADDRESS;
}

void pv_natpmp_write_map(uint8_t buf[static PV_NATPMP_MAP_LEN], uint16_t internal_port,
                         uint16_t external_port, uint32_t lifetime)
{
    struct pv_writer w = pv_writer(buf, PV_NATPMP_MAP_LEN);
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, PV_NATPMP_MAP_UDP);
    pv_put_u16(&w, 0);
    pv_put_u16(&w, internal_port);
    pv_put_u16(&w, external_port);
    pv_put_u32(&w, lifetime);
}

int pv_natpmp_decode(struct pv_view d, struct pv_natpmp_answer *ret_answer)
{
    if (d.len < ERROR_LEN)
        return PV_ERR_TRUNCATED;
    struct pv_natpmp_answer a = {.opcode = d.ptr[1] & 0x7f, .code = pv_load_be16(d.ptr + 2)};
    const size_t len = a.opcode == PV_NATPMP_ADDRESS ? ADDRESS_LEN : MAP_LEN;
    if (d.ptr[0] != VERSION || (d.ptr[1] & RESPONSE) == 0 || a.opcode > PV_NATPMP_MAP_UDP)
        return PV_ERR_MALFORMED;
    if (a.code == PV_NATPMP_SUCCESS && d.len < len)
        return PV_ERR_TRUNCATED;
    if (d.len > len)
        return PV_ERR_MALFORMED;
    if (a.code == PV_NATPMP_SUCCESS) {
        a.epoch = pv_load_be32(d.ptr + 4);
        if (a.opcode == PV_NATPMP_ADDRESS) {
            a.external = pv_addr4_u32(pv_load_be32(d.ptr + 8), 0);
        } else {
            a.internal_port = pv_load_be16(d.ptr + 8);
            a.external_port = pv_load_be16(d.ptr + 10);
            a.lifetime = pv_load_be32(d.ptr + 12);
        }
    }
    *ret_answer = a;
    return PV_OK;
}

const char *pv_natpmp_code_text(uint16_t code)
{
    static const char *const texts[] = {
        [PV_NATPMP_SUCCESS] = "it succeeded",
        [PV_NATPMP_UNSUPP_VERSION] = "not spoken there",
        [PV_NATPMP_NOT_AUTHORIZED] = "it does not allow it",
        [PV_NATPMP_NETWORK_FAILURE] = "it has no outer address now",
        [PV_NATPMP_NO_RESOURCES] = "it has no room now",
        [PV_NATPMP_UNSUPP_OPCODE] = "not spoken there",
    };
    return code < PV_ARRAY_LEN(texts) ? texts[code] : "it gave an unknown reason";
}
