/* SPDX-License-Identifier: MIT */
/* Secrets and lines by which daemons prove themselves: what is read is written and read to the
 * same. */
#include "proto/chat/proof.h"
#include "tests/fuzz/fuzz_util.h"

static void check_secret(struct pv_view body)
{
    struct pv_proof_secret msg, again;
    uint8_t buf[PV_PROOF_BODY_LEN];
    if (pv_proof_secret_parse(body, &msg) != PV_OK)
        return;
    pv_proof_secret_build(&msg, buf);
    must(pv_proof_secret_parse(pv_view(buf, sizeof(buf)), &again) == PV_OK);
    must(memcmp(&msg, &again, sizeof(msg)) == 0);
}

static void check_owner(struct pv_view body)
{
    struct pv_proof_owner msg, again;
    uint8_t buf[PV_PROOF_OWNER_LEN];
    if (pv_proof_owner_parse(body, &msg) != PV_OK)
        return;
    must(msg.typist < PV_CHAT_TYPISTS);
    pv_proof_owner_build(&msg, buf);
    must(pv_proof_owner_parse(pv_view(buf, sizeof(buf)), &again) == PV_OK);
    must(msg.answer == again.answer && msg.ip6 == again.ip6 && msg.port == again.port &&
         msg.typist == again.typist);
}

static void check_line(struct pv_view text)
{
    struct pv_proof_line line, again;
    char buf[PV_PROOF_LINE_MAX];
    if (pv_proof_line_parse(text, &line) != PV_OK)
        return;
    must(line.has_nonce || line.has_mac);
    size_t len = pv_proof_line_write(&line, buf);
    must(len < sizeof(buf) && pv_proof_is_line(pv_view(buf, len - 1)));
    must(pv_proof_line_parse(pv_view(buf, len - 1), &again) == PV_OK);
    must(line.has_nonce == again.has_nonce && line.has_mac == again.has_mac);
    must(!line.has_nonce || memcmp(line.nonce, again.nonce, sizeof(line.nonce)) == 0);
    must(!line.has_mac || memcmp(line.mac, again.mac, sizeof(line.mac)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check_secret(pv_view(data, len));
    check_owner(pv_view(data, len));
    check_line(pv_view(data, len));
    return 0;
}
