/* SPDX-License-Identifier: MIT */
/* p2pvpn-coordinator: start, run, end. Exit codes: commands.h. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/text.h"
#include "coordinator/cert.h"
#include "coordinator/commands.h"
#include "coordinator/core/coord.h"
#include "coordinator/keys.h"
#include "coordinator/pgload.h"
#include "coordinator/relaycfg.h"
#include "coordinator/reload.h"
#include "coordinator/rights.h"
#include "coordinator/server.h"
#include "coordinator/settings/settings.h"
#include "coordinator/standby.h"
#include "coordinator/store/store_sqlite.h"
#include "coordinator/url.h"
#include "crypto/ct.h"
#include "sys/file/logsink.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/sandbox.h"

enum {
    KEPT_FREE =
        4 << 20, /* ours: bytes of free memory at the end of the heap that the process keeps */
};

/* --- url ------------------------------------------------------------------------------------- */

/* The URL of a coordinator with these keys. It carries the secret that lets its holder create
 * networks, so whoever has the text wipes it. 0, or the exit code; note says that the address was
 * guessed. */
static int format_url(const struct pv_coordset *set, const struct pv_coordkeys *keys,
                      char text[static PV_URL_TEXT_BUF], char note[static PV_COORDURL_NOTE_MAX])
{
    struct pv_url url = {.has_secret = !set->switches.open};
    note[0] = '\0';
    if (pv_coordurl_address(set, &url.addr, note) < 0)
        return pv_coord_print_error(note);
    memcpy(url.pk, keys->pk, sizeof(url.pk));
    memcpy(url.secret, keys->secret, sizeof(url.secret));
    int r = pv_url_format(&url, text, PV_URL_TEXT_BUF);
    pv_url_done(&url);
    return r == PV_OK ? PV_COORDEXIT_DONE
                      : pv_coord_print_error("the public address cannot stand in a URL");
}

/* `url` works before the first start, so that the URL can be handed out early. Notes go to stderr:
 * stdout is for scripts. With a --state that is not the coordinator's, new keys are keys that
 * nobody serves, so they are told of. */
static int print_url(struct pv_coordset *set)
{
    char error[PV_RIGHTS_ERROR_MAX], note[PV_COORDURL_NOTE_MAX], text[PV_URL_TEXT_BUF] = "";
    char state[PATH_MAX]; /* as it was given */
    bool made = false;
    struct pv_rights rights;
    struct pv_rng rng = pv_entropy();
    struct pv_coordkeys *keys = pv_secret_alloc(sizeof(*keys));
    if (keys == NULL)
        return pv_coord_print_error("out of memory");
    memcpy(state, set->state, sizeof(state));
    /* As the user that runs it: keys made here are for it. */
    if (pv_rights_enter(&rights, set, error) < 0) {
        pv_secret_free(keys);
        return pv_coord_print_error(error);
    }
    int r = pv_coordkeys_get(set->state, &rng, keys, &made, error);
    int code = PV_COORDEXIT_PERMISSION;
    if (r != -EACCES)
        code = r < 0 ? PV_COORDEXIT_FAILED : format_url(set, keys, text, note);
    if (r < 0)
        (void)pv_coord_print_error(error);
    pv_secret_free(keys);
    if (code == PV_COORDEXIT_DONE) {
        printf(set->json ? "{\"version\":1,\"url\":\"%s\"}\n" : "%s\n", text);
        if (note[0] != '\0')
            fprintf(stderr, "p2pvpn-coordinator: %s\n", note);
        fflush(stdout);
        if (made)
            fprintf(stderr,
                    "p2pvpn-coordinator: made new keys in %s: this URL is right for a coordinator "
                    "with this --state\n",
                    state);
    }
    pv_wipe(text, sizeof(text));
    return code;
}

/* A word as a shell takes it. */
static void add_word(struct pv_text *text, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:=,@%+[]";
    bool bare = word[0] != '\0' && strspn(word, plain) == strlen(word);
    pv_text_add(text, bare ? " %s" : strchr(word, '\'') == NULL ? " '%s'" : " \"%s\"", word);
}

/* The URL depends on the flags of this start. */
static void name_url_command(const struct pv_coordset *set)
{
    char line[2 * PV_STR_BUF];
    struct pv_text text = pv_text_in(line, sizeof(line));
    for (int i = 1; i < set->argc; i++)
        add_word(&text, set->argv[i]);
    fprintf(stderr,
            "p2pvpn-coordinator: its URL holds a secret and is in no log: `p2pvpn-coordinator "
            "url%s` prints it\n",
            line);
}

/* An operator who starts the coordinator at a terminal needs its URL next. Into a file or the
 * journal it does not go: it holds a secret. A coordinator whose address nobody knows yet starts
 * all the same.
 */
static void announce(const struct pv_coordset *set, const struct pv_coordkeys *keys)
{
    char note[PV_COORDURL_NOTE_MAX], text[PV_URL_TEXT_BUF] = "";
    if (!isatty(STDOUT_FILENO))
        name_url_command(set);
    if (!isatty(STDOUT_FILENO) || format_url(set, keys, text, note) != PV_COORDEXIT_DONE)
        return;
    pv_coordurl_show(text, stdout);
    if (note[0] != '\0')
        fprintf(stderr, "p2pvpn-coordinator: %s\n", note);
    fflush(stdout);
    pv_wipe(text, sizeof(text));
}

/* --- run ------------------------------------------------------------------------------------- */

static int take_row(void *ctx, struct pv_storerow *row)
{
    return pv_coord_load(ctx, row);
}

static int take_entry(void *ctx, struct pv_storerow *row)
{
    return pv_coord_load_entry(ctx, row);
}

/* Logs the traffic of the relay in this run. */
static void log_end(struct pv_coord *coord, const struct pv_log *log)
{
    const struct pv_relaystats *st = pv_coord_relay_stats(coord);
    uint64_t packets = pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_PACKETS) +
                       pv_relaystat_get(st, PV_RELAYSTAT_STATIC_PACKETS);
    uint64_t bytes = pv_relaystat_get(st, PV_RELAYSTAT_MEMBER_BYTES) +
                     pv_relaystat_get(st, PV_RELAYSTAT_STATIC_BYTES);
    pv_log(log, PV_LOG_INFO, "ended relayed_packets=%llu relayed_bytes=%llu relay_dropped=%llu",
           (unsigned long long)packets, (unsigned long long)bytes,
           (unsigned long long)pv_relaystat_drops(st));
}

/* Opens the store that the settings name. */
static int open_store(const struct pv_coordset *set, struct pv_coordserver_parts *parts,
                      char error[static PV_STOREOP_ERROR_MAX])
{
    if (parts->lease == NULL)
        return pv_coordstore_open_sqlite(&parts->store, set->state, error);
    const struct pv_store_pg_config cfg = {.conninfo = set->store.postgres,
                                           .member = parts->pg->lease_fence(parts->lease),
                                           .epoch = parts->pg->lease_epoch(parts->lease),
                                           .decode = pv_statement_decode};
    return parts->pg->store_open(&parts->store, &cfg, error);
}

/* The store is loaded before the first connection: a node that came earlier would be told that its
 * network does not exist. From PostgreSQL networks come one by one, when somebody asks for them. */
static int serve(const struct pv_coordset *set, struct pv_coordserver_parts *parts,
                 struct pv_supervisor *supervisor, char error[static PV_COORDSERVER_ERROR_MAX])
{
    const struct pv_log *log = &parts->calm->log;
    struct pv_coordserver *server = NULL;
    struct pv_coord_stats stats;
    int r = open_store(set, parts, error);
    if (r == PV_OK && parts->lease == NULL)
        r = pv_coordstore_load(parts->store, take_row, parts->coord, error);
    if (r == PV_OK && parts->lease == NULL)
        r = pv_coordstore_entries(parts->store, take_entry, parts->coord, error);
    if (r == PV_OK && parts->lease != NULL)
        pv_coord_set_epoch(parts->coord, parts->pg->lease_epoch(parts->lease));
    if (r == PV_OK) {
        pv_coord_set_wall(parts->coord, pv_clock_wall_us(), pv_clock_now());
        r = pv_coordserver_new(&server, set, parts, error);
    }
    if (r == PV_OK) {
        pv_coord_stats(parts->coord, &stats);
        pv_log(log, PV_LOG_INFO, "started networks=%llu statements=%llu open=%d",
               (unsigned long long)stats.networks, (unsigned long long)stats.statements,
               set->switches.open);
        printf("p2pvpn-coordinator: listening on %s\n", pv_coordserver_addresses(server));
        fflush(stdout);
        pv_coordserver_run(server, supervisor);
        log_end(parts->coord, log);
        if (pv_coordserver_lost_lease(server)) {
            snprintf(error, PV_COORDSERVER_ERROR_MAX,
                     "another coordinator has this one's place in the database: is the state "
                     "directory a copy?");
            r = PV_ERR_REFUSED;
        }
    }
    pv_coordserver_free(server);
    pv_coordstore_close(parts->store);
    return r;
}

/* With a database that others use, too, it first becomes one of them. */
static int serve_until_end(const struct pv_coordset *set, const uint8_t *pk,
                           struct pv_coordserver_parts *parts)
{
    _Static_assert((int)PV_STANDBY_ERROR_MAX <= (int)PV_COORDSERVER_ERROR_MAX, "it fits");
    struct pv_supervisor supervisor = pv_supervisor_open();
    char error[PV_COORDSERVER_ERROR_MAX] = "";
    int r = PV_OK;
    if (parts->pg != NULL) {
        r = pv_standby_lease(&parts->lease, parts->pg, set, pk, true, error);
        if (r == PV_OK)
            r = pv_standby_wait(parts->pg, parts->lease, set, &supervisor, &parts->calm->log,
                                error);
    }
    bool ended = r == PV_ERR_CLOSED; /* before its turn came */
    if (r == PV_OK) {
        r = serve(set, parts, &supervisor, error);
        if (parts->lease != NULL && r != PV_ERR_REFUSED)
            parts->pg->lease_release(parts->lease);
    }
    if (parts->pg != NULL)
        parts->pg->lease_free(parts->lease);
    pv_supervisor_close(&supervisor);
    return r == PV_OK || ended ? PV_COORDEXIT_DONE : pv_coord_print_error(error);
}

/* ret_pg: NULL if the settings name no database. */
static int load_postgres(const struct pv_coordset *set, const struct pv_pgplugin **ret_pg,
                         char error[static PV_PG_ERROR_MAX])
{
    *ret_pg = NULL;
    return set->store.postgres[0] == '\0' ? PV_OK : pv_pgload(ret_pg, error);
}

/* The lock on the state directory is held to the end. Keys and passwords are copied by the core, so
 * both are freed as soon as it exists. */
static int run_coordinator(struct pv_coordset *set, const struct pv_log *log)
{
    char error[PV_RIGHTS_ERROR_MAX];
    struct pv_rights rights;
    struct pv_calmlog calm; /* strangers cause most of the core's lines */
    struct pv_rng rng = pv_entropy();
    struct pv_coord *coord = NULL;
    struct pv_coordtold told;
    struct pv_relaycfg *relay = NULL;
    const struct pv_pgplugin *pg = NULL;
    int lock = -1;
    /* Passwords of static users are read as whoever started it, everything else as its user. */
    int r = load_postgres(set, &pg, error);
    if (r == PV_OK)
        r = pv_relaycfg_new(&relay, set, error);
    if (r == PV_OK)
        r = pv_rights_enter(&rights, set, error);
    if (r < 0) {
        pv_relaycfg_free(relay);
        return pv_coord_print_error(error);
    }
    struct pv_coordkeys *keys = pv_secret_alloc(sizeof(*keys));
    r = keys == NULL ? PV_ERR_NOMEM : pv_coordkeys_lock(set->state, &lock, error);
    if (r == PV_OK)
        r = pv_coordkeys_make(set->state, &rng, keys, error);
    if (r < 0) {
        pv_secret_free(keys);
        pv_relaycfg_free(relay);
        return pv_coord_print_error(r == PV_ERR_NOMEM ? "out of memory" : error);
    }
    announce(set, keys);
    char doubt[PV_COORDURL_NOTE_MAX];
    if (set->note[0] != '\0')
        pv_log(log, PV_LOG_WARN, "what=\"look at the settings\" why=\"%s\"", set->note);
    if (pv_coordurl_is_doubtful(set, doubt))
        pv_log(log, PV_LOG_WARN, "what=\"public address\" why=\"%s\"", doubt);
    pv_coordtold_make(set, &told);
    const struct pv_coord_config cfg = {.sk = keys->sk,
                                        .secret = keys->secret,
                                        .policy = told.policy,
                                        .limits = set->limits.general,
                                        .homes = set->store.postgres[0] != '\0',
                                        .relay = pv_relaycfg_get(relay),
                                        .kem = pv_kem_mlkem768()};
    pv_calmlog_init(&calm, log, pv_clock_now());
    r = pv_coord_new(&coord, &cfg, &rng, &calm.log);
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, keys->pk, sizeof(pk));
    pv_secret_free(keys);
    pv_relaycfg_free(relay);
    struct pv_coordserver_parts parts = {
        .coord = coord, .told = &told, .pg = pg, .rights = &rights, .calm = &calm};
    int code =
        r == PV_OK ? serve_until_end(set, pk, &parts) : pv_coord_print_error("out of memory");
    pv_coord_free(coord);
    close(lock);
    return code;
}

/* How the database is named, which libpq knows; it is not asked for. */
static int check_database(const struct pv_coordset *set, char error[static PV_PG_ERROR_MAX])
{
    const struct pv_pg_lease_config cfg = {.conninfo = set->store.postgres};
    const struct pv_pgplugin *pg = NULL;
    struct pv_pg_lease *lease = NULL;
    int r = load_postgres(set, &pg, error);
    if (r < 0 || pg == NULL)
        return r;
    r = pg->lease_new(&lease, &cfg, error);
    pg->lease_free(lease);
    return r;
}

/* The files that the settings name are read, too: the certificate and the static users'
 * passwords. */
static int check_settings(const struct pv_coordset *set)
{
    char cert_error[PV_COORDCERT_ERROR_MAX];
    char relay_error[PV_COORDKEYS_ERROR_MAX];
    char database_error[PV_PG_ERROR_MAX], doubt[PV_COORDURL_NOTE_MAX];
    char state_error[PV_RIGHTS_ERROR_MAX];
    struct pv_relaycfg *relay = NULL;
    const char *why = pv_rights_check(set, state_error) < 0           ? state_error
                      : pv_coordcert_check(set, cert_error) < 0       ? cert_error
                      : pv_relaycfg_new(&relay, set, relay_error) < 0 ? relay_error
                      : check_database(set, database_error) < 0       ? database_error
                                                                      : NULL;
    pv_relaycfg_free(relay);
    if (why != NULL) {
        pv_coord_print_error(why);
        return PV_COORDEXIT_USAGE;
    }
    puts("p2pvpn-coordinator: the settings are right");
    if (set->note[0] != '\0')
        printf("p2pvpn-coordinator: note: %s\n", set->note);
    if (pv_coordurl_is_doubtful(set, doubt))
        printf("p2pvpn-coordinator: note: %s\n", doubt);
    if (pv_coordurl_is_foreign(set, doubt))
        printf("p2pvpn-coordinator: note: %s\n", doubt);
    return PV_COORDEXIT_DONE;
}

int main(int argc, char **argv)
{
    struct pv_coordset set;
    struct pv_logsink sink;
    char error[PV_COORDSET_ERROR_MAX];
    pv_sandbox_libc();
    if (pv_coordset_load(&set, argc, argv, error) < 0) {
        pv_coord_print_error(error);
        return PV_COORDEXIT_USAGE;
    }
    if (set.action == PV_COORDSET_HELP || set.action == PV_COORDSET_VERSION) {
        fputs(set.action == PV_COORDSET_HELP ? pv_coordset_usage
                                             : "p2pvpn-coordinator " PV_VERSION "\n",
              stdout);
        return PV_COORDEXIT_DONE;
    }
    if (set.action == PV_COORDSET_STATUS || set.action == PV_COORDSET_METRICS)
        return pv_coord_status(&set);
    (void)prctl(PR_SET_DUMPABLE, 0); /* no keys in core dumps */
    /* Buffers of connections come and go with every turn. By default glibc gives 128 KiB at the end
     * of the heap back to the kernel at once, and the next turn faults every page in again. */
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
    if (pv_crypto_init() < 0)
        return pv_coord_print_error("the crypto library does not start");
    if (set.action == PV_COORDSET_CHECK)
        return check_settings(&set);
    if (set.action == PV_COORDSET_URL)
        return print_url(&set);
    if (set.action != PV_COORDSET_RUN) {
        int code = pv_coord_command(&set);
        return code == PV_COORDEXIT_DONE && set.action == PV_COORDSET_SECRET ? print_url(&set)
                                                                             : code;
    }
    /* A connection that its peer has closed is an error of write(), not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    struct pv_log log = pv_logsink_open(&sink, "p2pvpn-coordinator", PV_LOG_INFO);
    return run_coordinator(&set, &log);
}
