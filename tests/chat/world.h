/* SPDX-License-Identifier: MIT */
/*
 * world.h - chat on several machines in one process and in virtual time: chat's engine on each
 * (chat/core/engine.h), between them an overlay that answers by chat/node.h, and users that send
 * requests as JSON. The overlay has no packets: it knows who reaches whom, and carries streams,
 * notices, copies and files with a delay.
 *
 * Store and engine are called in world.c alone. What was stored survives a kill. Aborts without
 * memory.
 */
#pragma once

#include <sqlite3.h>

#include "chat/core/engine.h"
#include "tests/unit/test_util.h"

enum {
    WORLD_MAX = 72,      /* machines */
    WORLD_DELAY_MS = 20, /* of bytes on their way */
    WORLD_WINDOW = 65536,
};

/* The state of the store of one machine. */
enum world_disk {
    WORLD_DISK_FINE,
    WORLD_DISK_LOW,   /* nearly full: nothing of others is taken */
    WORLD_DISK_FULL,  /* writes fail */
    WORLD_DISK_OFF,   /* the database cannot be opened */
    WORLD_DISK_LOSES, /* it does not keep what is written to it: all of this life is gone */
};

/* A file as a machine's disk has it. */
struct world_part {
    uint8_t id[PV_FILE_ID_LEN];
    uint64_t have;
};

struct world_text {
    char *text; /* owned; NULL: empty */
    size_t len;
};

struct world_node {
    char handle[PV_NAME_BUF]; /* in scenarios, for ever */
    char name[PV_NAME_BUF];
    char former_name[PV_NAME_BUF]; /* "": it was never renamed */
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    struct pv_addr ip4;
    enum pv_overlay_kind kind;
    bool up;                   /* its interface */
    bool signed_off;           /* the coordinator does not hear it */
    bool no_rules;             /* the rules are not known */
    bool no_proof;             /* its daemon proves nothing */
    bool ghost;                /* a machine without chat, where somebody types */
    bool deaf;                 /* a firewall lets no connection in */
    uint64_t joined_s, gone_s; /* Unix seconds when it left or was removed; 0: it did not */
    int64_t wall_off_us;
    unsigned life;
    /* given to the engine when it starts */
    struct pv_chat_given given;
    struct pv_auto_accept accept[4];
    size_t n_accept;
    const struct world_node *by; /* whose token it joined by; NULL: one of its own */
    uint64_t max_bytes;          /* of all messages; 0: the default */
    /* while it runs */
    struct pv_chat *chat; /* NULL: it does not run */
    struct pv_overlay overlay;
    struct pv_overlay_told told;
    struct pv_overlay_own own;
    struct pv_ctlsrv *ctl;
    struct pv_streams ctl_streams;
    struct pv_events events;
    uint32_t client, watcher; /* sids of control clients */
    uint64_t request;         /* number of the last */
    /* what is seen of it */
    struct world_text answer, heard, log, ran;
    unsigned opened, wanted, released, passed, ops_done;
    sqlite3 *db, *backup;
    struct pv_chat_store store; /* db, as chat calls it */
    enum world_disk disk;
    bool settling;
    struct world_part parts[16];
    size_t n_parts;
};

struct world {
    pv_ns now;
    struct test_rng rng;
    struct world_node n[WORLD_MAX];
    size_t n_nodes;
    bool cut[WORLD_MAX][WORLD_MAX];
    bool silent[WORLD_MAX][WORLD_MAX]; /* bytes from one to the other vanish */
    /* denied[i][j][service][to]: by the rules that machine i knows, towards j */
    bool denied[WORLD_MAX][WORLD_MAX][2][2];
    bool no_coordinator;
    enum pv_ctl_error refuses; /* the coordinator's answer to keep() */
    uint64_t file_rate;        /* bytes a second */
    pv_ns program_time;        /* of a user's program */
    bool program_fails;
    bool spoils; /* files arrive with wrong bytes */
};
extern struct world world;

void world_begin(uint64_t seed);
void world_end(void);
/* A member; it does not run yet. */
struct world_node *world_add(const char *name);
struct world_node *world_find(const char *handle); /* NULL: none */
int world_index(const struct world_node *n);

void world_start(struct world_node *n);
void world_kill(struct world_node *n); /* what is stored stays */
void world_stop(struct world_node *n); /* in order */
void world_run(pv_ns time);
/* One event, if there is one before end. */
bool world_step(pv_ns end);
/* Somebody reaches somebody else, or no longer; rules or names are others. */
void world_changed(void);
/* Tells the machine, if it runs, of these bits of enum pv_overlay_fact. */
void world_tell_own(struct world_node *n, unsigned facts);
void world_tell_all(const struct world_node *of, unsigned news);
/* The machine is a member no longer. */
void world_gone(struct world_node *n, enum pv_overlay_kind kind);
void world_cut_streams(const struct world_node *a, const struct world_node *b); /* b NULL: all */
unsigned world_streams(const struct world_node *a, const struct world_node *b);
void world_forget_copies(void); /* the coordinator's */
unsigned world_copies(const struct world_node *for_whom);

/* Sends a request, an object without its braces and id, as root. The answer comes to n->answer. */
void world_ask(struct world_node *n, const char *fields);
/* The same, and waits at most 10 s for the answer. NULL: none came. */
const char *world_answer(struct world_node *n, const char *fields);
/* Why messages of n wait for a member; "": for no reason that is known. */
const char *world_held(struct world_node *n, const struct world_node *of);
/* What the store counts: messages that are unread, and that wait. False: it does not answer. */
bool world_count(struct world_node *n, uint64_t *ret_unread, uint64_t *ret_queued);
/* So many unread messages of the other one fit in n's store, those that are there included. */
void world_leave_room(struct world_node *n, const struct world_node *of, unsigned messages);
/* The disk of n as it is now is kept, and comes back at its next start (true), as a backup does. */
void world_back_up(struct world_node *n, bool restore);
/* In its tables each log of a room but the shortest has so many texts. */
void world_lengthen_logs(struct world_node *n, uint64_t texts);
/* The control client of n hangs up, and another one comes. */
void world_change_client(struct world_node *n);
/* The id of a room, as any machine knows it by this name. NULL: none does. */
const uint8_t *world_room(const char *name);
/* n->client passes a descriptor of a file of that many bytes. */
void world_pass(struct world_node *n, int handle, uint64_t size);
/* Chat's share of `status`, as lines. */
const char *world_status(struct world_node *n);

/* A connection of somebody on a machine to a port of another. Nobody behind it proves
 * anything. */
void world_dial(struct world_node *from, struct world_node *to, uint16_t port);
void world_type(struct world_node *from, const char *bytes, size_t len);
const char *world_typed_back(struct world_node *from); /* what came back; NULL: it was closed */
void world_hang_up(struct world_node *from);

void world_text_add(struct world_text *t, const char *bytes, size_t len);
static inline const char *world_text(const struct world_text *t)
{
    return t->text == NULL ? "" : t->text;
}
