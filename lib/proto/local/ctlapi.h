/* SPDX-License-Identifier: MIT */
/*
 * ctlapi.h - the answers and events of the language between p2pvpnctl and p2pvpnd
 * (ctlapi_request.h): builders of JSON objects whose fields and order are stable ("version":1). No
 * state; thread-safe. Times are Unix milliseconds here and seconds with decimals in JSON.
 *
 * Builders return a new reference or NULL without memory. A NULL where a text is needed is a
 * mistake of the caller and gives {"bug":"…"}.
 */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"
#include "base/remedy.h"
#include "base/text.h"
#include "crypto/sign.h"
#include "proto/local/ctlcmd.h"

/* --- replies: building --------------------------------------------------------------------- */

/* {"id":…,"ok":true, fields of body…}; takes body (NULL: no fields). */
json_t *pv_ctlapi_answer(uint64_t id, json_t *body);
/* {"id":…,"ok":false,"code":…,"error":…}; id UINT64_MAX becomes null. */
json_t *pv_ctlapi_error(uint64_t id, enum pv_ctlapi_code code, const char *text);
/* {"id":…,"event":…, fields of body…}; takes body. */
json_t *pv_ctlapi_event(uint64_t id, const char *event, json_t *body);
/* One line with newline and NUL; *ret_len without the NUL. NULL without memory. free() it. */
char *pv_ctlapi_dump(const json_t *obj, size_t *ret_len);

/* How a peer is reached; PATH_STATIC: at the address of a static [peer]. */
enum pv_ctlapi_path_type {
    PV_CTLAPI_PATH_NONE,
    PV_CTLAPI_PATH_DIRECT,
    PV_CTLAPI_PATH_RELAY,
    PV_CTLAPI_PATH_STATIC,
};
struct pv_ctlapi_path {
    enum pv_ctlapi_path_type type;
    struct pv_addr local;  /* our end; PV_AF_NONE: null */
    struct pv_addr remote; /* the peer's end; PV_AF_NONE: null */
    const char *via;       /* the relay's address; NULL: null */
    double rtt_ms;         /* measured on this path; < 0: null */
    double loss;           /* share of packets lost, 0..1; < 0: null */
    unsigned mtu;          /* bytes of the largest inner packet; 0: null */
};
struct pv_ctlapi_peer {
    const char *name;
    struct pv_addr ip4, ip6; /* overlay; PV_AF_NONE: null */
    const uint8_t *key;      /* identity key; NULL (static peers): null */
    const uint8_t *wg_key;   /* transport key */
    const char *standing;    /* "member", also of static peers; "expired"; "waiting" */
    const char *asks_from;   /* who waits: an address, by the coordinator's word; NULL: null */
    uint64_t expires_s;      /* Unix seconds, when its membership ends or ended; 0: null, never */
    bool online;
    bool admin; /* it may invite and remove */
    struct pv_ctlapi_path path;
    uint64_t tx_bytes, rx_bytes; /* inner packets sent and received */
    uint64_t last_handshake_ms;  /* 0: null */
    uint64_t last_seen_ms;       /* online, or heard; 0: null, it is online or nobody knows */
    const uint8_t *former;    /* identity key of the machine that had the name before; NULL: null */
    uint64_t another_since_s; /* with former: Unix seconds since when it is another machine */
    const uint8_t *ip4_former; /* the same of its IPv4 address */
    uint64_t ip4_since_s;
    const struct pv_addr *groups; /* multicast groups that its programs want, as it told */
    size_t n_groups;
    const char *const *tags; /* that admins gave it */
    size_t n_tags;
    const char *gateway; /* of a phone: its gateway, or its former one that is gone; NULL: null */
    const char *session; /* "hybrid", "classical": the keys in use; NULL: null, none, or static */
};

/* One of "peers" in {"version":1,"peers":[…]}. */
json_t *pv_ctlapi_peer_json(const struct pv_ctlapi_peer *peer);
/* {"type","local","remote","via","rtt_ms","loss","mtu"} */
json_t *pv_ctlapi_path_json(const struct pv_ctlapi_path *path);

/* The action of REMOVE on the invite that let the node in. */
enum pv_ctlapi_invite_end {
    PV_CTLAPI_INVITE_NONE,  /* it admits nobody any more, or there is none */
    PV_CTLAPI_INVITE_KEPT,  /* it still admits others */
    PV_CTLAPI_INVITE_ENDED, /* it was revoked as well */
};
/* Bits: why a rule can hardly be meant. It is made all the same. */
enum {
    PV_CTLAPI_DOUBT_SELF = 1, /* from and to are one machine, which asks no rule about itself */
    PV_CTLAPI_DOUBT_FROM = 2, /* nobody has the tag */
    PV_CTLAPI_DOUBT_TO = 4,
    PV_CTLAPI_DOUBT_RANGE = 8, /* the prefix has the network's range in it, and means no member */
};

/* Bytes of the names of a few phones, with the NUL; of more the end is left out. */
enum {
    PV_CTLAPI_PHONES_BUF = 256
};

/* The count of members that know of a removal, the end of an invite or of rights, or this node's
 * leaving; and what its command tells beside. */
struct pv_ctlapi_told {
    size_t online;           /* members that are there */
    size_t know;             /* online members that have said that they know */
    const char *coordinator; /* "stored", "away", "silent" or its error word */
    const char *disk;        /* of this machine: "stored", or why not */
    enum pv_ctlapi_invite_end invite;
    uint32_t uses_left;                /* of the invite, before */
    uint8_t invite_id[PV_SIGN_PK_LEN]; /* unless INVITE_NONE */
    uint32_t invites;                  /* ADMIN_REVOKE: open ones that the former admin had made */
    bool invites_kept;                 /* these still let in */
    unsigned doubts;                   /* RULE_ADD: PV_CTLAPI_DOUBT_* */
    bool pending;                      /* it holds from the coordinator's receipt on */
    bool orphaned;                     /* LEAVE: no admin is left to invite anybody */
    /* REMOVE, LEAVE: the phones that have no gateway any more: "phone, tablet"; "": there are none
     */
    char phones[PV_CTLAPI_PHONES_BUF];
    bool tagged;         /* ADMIT: the member has the tag, too */
    uint32_t exists;     /* RULE_ADD: the rule that says it already; 0: none does */
    uint32_t number;     /* RULE_ADD, with decided_by: the rule's own */
    uint32_t decided_by; /* RULE_ADD: an earlier rule about all of it; else 0 */
    bool decides_same;   /* that one says what it says; else the other thing */
};
/* {"online","know","coordinator","disk","invite":null or
 * {"id","uses_left","revoked"},"invites":null or {"open","revoked"}}, "pending" where it is and no
 * coordinator has stored it, "orphaned" where it is, "phones" where there are any, of a rule
 * "doubts", "exists", "number", "decided_by" and "decides" where there are any, with code 1 unless
 * this disk has stored it, else 9 unless the coordinator has; NULL without memory. */
json_t *pv_ctlapi_told_json(const struct pv_ctlapi_told *told);
/* A coordinator's error word (pv_ctl_error_word()) for people, behind "said": where it has to do
 * with its room or its storage, also what it means. Static, or the word itself. */
const char *pv_ctlapi_error_said(const char *word);
/* Who can mend it; NONE: nobody has to. */
struct pv_remedy pv_ctlapi_error_todo(const char *word);
