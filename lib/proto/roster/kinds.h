/* SPDX-License-Identifier: MIT */
/*
 * kinds.h - what a type of statement is, in one table: its fields, who may sign it, what it does,
 * how many are kept of it, and who is to hear of it (docs/PROTOCOL-NETWORK.md "Statements").
 *
 * Code that acts on statements asks the row of a type, so that a further type is a row and what
 * only it does. Rows are constant. Any thread.
 */
#pragma once

#include "proto/roster/statement.h"

enum {
    PV_KIND_FIELDS = 10, /* of one type, with the end behind them */
};

/* How a field is written. */
enum pv_field_form {
    PV_FIELD_END, /* behind the last one */
    PV_FIELD_U8,
    PV_FIELD_U32,
    PV_FIELD_U64,
    PV_FIELD_BYTES,     /* as many as the member has */
    PV_FIELD_TRANSPORT, /* an X25519 key, not zero */
    PV_FIELD_NAME,      /* with its length before it */
    PV_FIELD_RANGE,     /* an IPv4 prefix in 5 bytes */
    PV_FIELD_ROUTE,     /* a prefix that a node may carry */
    PV_FIELD_LIST,      /* bytes with their length before them, at most size */
    PV_FIELD_SLOT,
    PV_FIELD_SELECTOR,
    PV_FIELD_PORTS,
    PV_FIELD_LOGINS,
};

/* A field of a statement, and where struct pv_statement has it. */
struct pv_kind_field {
    enum pv_field_form form;
    uint16_t at;   /* bytes from its start */
    uint16_t size; /* bytes of the member; of a list what it may have at most */
};

/* The effect of a statement. Code that acts on these has no default: the compiler names one that it
 * lacks. */
enum pv_does {
    PV_DOES_FOUND = 1, /* it is the network's record */
    PV_DOES_GRANT,     /* gives rights */
    PV_DOES_INVITE,    /* lets in whoever has its key: u.invite */
    PV_DOES_CLAIM,     /* claims membership, with a name and addresses */
    PV_DOES_TELL,      /* says what has changed about a member */
    PV_DOES_ADMIT,     /* lets in a node that waits for it */
    PV_DOES_TAKE,      /* ends membership, an invite or another statement */
    PV_DOES_APPOINT,   /* names coordinators */
    PV_DOES_SLOT,      /* fills one of its signer's slots: u.slotted */
    PV_DOES_SHOW,      /* shows what its signer offers and can do: a card, outside of the set */
};

/* Of a statement in a slot: who asks for it while it is in force. */
enum pv_kind_list {
    PV_LIST_NONE,   /* neither: its code has a question of its own */
    PV_LIST_ROUTES, /* pv_roster_next_route() */
    PV_LIST_RULES,  /* pv_roster_next_rule(), and the digest of the rules */
};

/* Keys that may sign, bits. The first two are enum pv_st_right, of admins. */
enum pv_signer_bit {
    PV_BY_INVITER = PV_RIGHT_INVITE,
    PV_BY_REVOKER = PV_RIGHT_REVOKE,
    PV_BY_ROOT = 4,
    PV_BY_NODE = 8,    /* the node that it is about */
    PV_BY_INVITE = 16, /* the key of an invite */
};

/* Statements that a key may make without anybody's consent; of each kind a few are kept. */
enum pv_roster_quota {
    PV_ROSTER_QUOTA_MEMBER,
    PV_ROSTER_QUOTA_TRANSPORT,
    PV_ROSTER_QUOTA_PLACE,
    PV_ROSTER_QUOTA_LEAVE,
    PV_ROSTER_QUOTA_COORDINATORS,
    PV_ROSTER_QUOTA_ROUTES,
    PV_ROSTER_QUOTA_TAGS,
    PV_ROSTER_QUOTA_RULES,
    PV_ROSTER_QUOTA_CARD,
    PV_ROSTER_QUOTAS,
    PV_ROSTER_QUOTA_NONE = PV_ROSTER_QUOTAS, /* statements of which there is no such limit */
};

/* While it has no receipt: is it put to the coordinator again and again? */
enum pv_owed {
    PV_OWED_NOT = 1,
    PV_OWED_ALWAYS,
    PV_OWED_TO_ALL,   /* while it is in force, and members are told as well */
    PV_OWED_CLAIM,    /* while an admin lets a phone in by it, and members are told as well */
    PV_OWED_KEY,      /* while it says the transport key of its node */
    PV_OWED_PLACE,    /* while it says where its node is */
    PV_OWED_CARD,     /* while it is the card of this node */
    PV_OWED_ADMISSION /* while its node is let in by it */
};

struct pv_kind {
    const char *name;                               /* NULL: no type */
    struct pv_kind_field fields[PV_KIND_FIELDS];    /* in the order in which they are signed */
    bool (*is_good)(const struct pv_statement *st); /* what no field says alone; NULL: all is */
    enum pv_does does;
    enum pv_kind_list list;
    uint8_t by;    /* enum pv_signer_bit: keys that may sign it, whatever they lost since */
    uint8_t right; /* enum pv_st_right: one of these its signer has in office; 0: it needs none */
    enum pv_roster_quota quota;
    enum pv_owed owed;
    const char *told; /* that it is owed, in words; '~' in front is the name of its node */
    bool is_long;     /* it may be longer than PV_STATEMENT_SHORT_MAX */
    bool by_receipt;  /* which of them are kept depends on receipts */
    bool shows_life;  /* of the node that it is about, or of those who let it in */
    bool fits_full;   /* a network that a coordinator's limit keeps full takes it too */
    /* Where struct pv_statement has these, bytes from its start; 0: nowhere. */
    uint16_t subject; /* the key that it is about */
    uint16_t number;  /* the serial or seq by which statements follow each other */
    uint16_t time;    /* its own word for when it was made; Unix seconds */
};

/* The row of a type; for a number that is no type a row without a name. Never NULL. */
const struct pv_kind *pv_kind_of(uint8_t type);

static inline bool pv_st_does(const struct pv_statement *st, enum pv_does does)
{
    return pv_kind_of(st->type)->does == does;
}

/* The key that a statement is about, inside st; NULL: none. */
const uint8_t *pv_st_subject(const struct pv_statement *st);
/* The number by which statements follow each other; 0: they do not. */
uint64_t pv_st_number(const struct pv_statement *st);
/* When it was made, by its own word, Unix seconds; 0: it does not say. */
uint64_t pv_st_time(const struct pv_statement *st);
/* Sets that word; nothing where there is none. */
void pv_st_set_time(struct pv_statement *st, uint64_t time);
