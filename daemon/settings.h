/* SPDX-License-Identifier: MIT */
/*
 * settings.h - what p2pvpnd.conf says (DESIGN 9), checked: every unknown key and bad value is an
 * error with file and line.
 *
 * Parsing only: key files named here are read by pv_settings_load_keys(). Thread-safe.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "daemon/core/engine.h"
#include "proto/local/scrape.h"
#include "sys/file/ini.h"

enum {
    PV_SETTINGS_MAX_RULES = 256,       /* auto-accept lines */
    PV_SETTINGS_PATH_MAX = 200,        /* a line is no longer */
    PV_SETTINGS_ERROR_MAX = 512,       /* "FILE:LINE: what: what to do", with the NUL */
    PV_SETTINGS_MAX_KEYS = 48,         /* in all sections */
    PV_SETTINGS_KEY_BUF = 48,          /* "[interface] private-key-file", with the NUL */
    PV_SETTINGS_MTU = 1420,            /* bytes, DESIGN 7 */
    PV_SETTINGS_ROTATE_S = 30 * 86400, /* the age at which a transport key is replaced */
    PV_SETTINGS_MTU_MIN = 1280,        /* bytes, RFC 8200 s5 */
};

/* pv_fault.what of features that are no [peer]. */
#define PV_FAULT_RELAY    "[relay] turn"
#define PV_FAULT_RELAY_CA "[relay] turn by TLS"
#define PV_FAULT_NOTIFY   "[chat] notify"
#define PV_FAULT_METRICS  "[metrics]"
#define PV_FAULT_PROXY    "[coordinator] proxy-password-file"
#define PV_FAULT_ENV      "https_proxy"

struct pv_settings_peer {
    struct pv_static_peer peer;
    char preshared_key_file[PV_SETTINGS_PATH_MAX]; /* "" = none */
    bool locked; /* that file cannot be read: the peer must not be used without its key */
};

#define PV_SETTINGS_FILE_MAX \
    (UINT64_C(1) << 62) /* bytes of a file: what off_t holds, and to spare */

struct pv_settings {
    struct pv_engine_config engine; /* as far as the file says it; what is owned is below */
    char tun_name[PV_JOB_IFNAME];   /* "" = not given */
    uint16_t port;                  /* 0 = not given */
    unsigned workers;               /* 1..PV_FP_MAX_WORKERS */
    unsigned threads; /* of a single worker, 1 or 2; 0 = by the processors it may use */
    char private_key_file[PV_SETTINGS_PATH_MAX]; /* "" = none */
    struct pv_settings_peer *peers;              /* owned */
    size_t n_peers;
    char notify[PV_SETTINGS_PATH_MAX];              /* [chat] notify; "" = none */
    bool dns;                                       /* [dns] listen = on */
    char relay_password_file[PV_SETTINGS_PATH_MAX]; /* "" = none */
    char relay_ca_file[PV_SETTINGS_PATH_MAX];       /* "" = the system's authorities */
    char proxy_password_file[PV_SETTINGS_PATH_MAX]; /* "" = none */
    struct pv_connect_login proxy_login;            /* a secret */
    struct pv_scrapeset metrics;                    /* [metrics] */
    enum pv_log_level log_level;
    bool for_user;                    /* of p2pvpnd --user: the caller's, for what errors advise */
    char note[PV_SETTINGS_ERROR_MAX]; /* about a value that may be a mistake; "" = none */
    struct pv_faults faults;          /* features that are off */
    /* A digest of all that the file says with each key; 0 = it does not have the key. */
    uint64_t said[PV_SETTINGS_MAX_KEYS];
};

/* The defaults, nothing owned. */
void pv_settings_init(struct pv_settings *s);
void pv_settings_done(struct pv_settings *s); /* wipes keys */

/* The name of the key that said[i] is of, "[chat] keep", and whether a reload keeps its old value;
 * false: there are no more. */
PV_MUST_CHECK bool pv_settings_key(size_t i, char ret_name[static PV_SETTINGS_KEY_BUF],
                                   bool *ret_kept);

/*
 * Parses the text of a configuration file; file is its name for messages. PV_ERR_MALFORMED with
 * ret_error written, PV_ERR_NOMEM (too). s holds what was read so far either way.
 */
PV_MUST_CHECK int pv_settings_parse(struct pv_settings *s, const char *file, struct pv_view text,
                                    char ret_error[static PV_SETTINGS_ERROR_MAX]);
/* Reads the file and parses it. PV_ERR_NOT_FOUND: no such file (ret_error written as well). */
PV_MUST_CHECK int pv_settings_load(struct pv_settings *s, const char *file,
                                   char ret_error[static PV_SETTINGS_ERROR_MAX]);
/* Reads one key in wg's form (base64, one line) from a file. PV_ERR_MALFORMED, -errno; ret_error.
 */
PV_MUST_CHECK int pv_settings_read_key(const struct pv_settings *s, const char *file,
                                       uint8_t ret_key[static PV_DH_LEN],
                                       char ret_error[static PV_SETTINGS_ERROR_MAX]);
/* Reads the preshared keys of all peers into them, the relays' password and the proxy's; sees
 * whether the CA file and the program of [chat] notify can be used. For a user without a proxy in
 * the file, takes the proxy of the environment. Writes s->faults anew: a fault keeps nobody out of
 * the network. */
void pv_settings_load_keys(struct pv_settings *s);
/* Adds a fault that is no [peer]; those have places of their own. */
void pv_settings_add_fault(struct pv_settings *s, struct pv_fault fault);
/* Returns true if the feature is among the faults. */
PV_MUST_CHECK bool pv_settings_has_fault(const struct pv_settings *s, const char *what);
/* Copies the peer for the engine; the caller wipes the copy. A locked peer gets a random preshared
 * key and no endpoint: its packets are dropped, and leave by no other way. */
void pv_settings_give_peer(const struct pv_settings_peer *p, const struct pv_rng *rng,
                           struct pv_static_peer *ret_peer);
