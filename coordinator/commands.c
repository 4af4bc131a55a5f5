/* SPDX-License-Identifier: MIT */
/* The output of the subcommands, for people and as JSON; backup.c does the work. */
#include "coordinator/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/harmless.h"
#include "base/jsonread.h"
#include "base/remedy.h"
#include "base/text.h"
#include "coordinator/backup.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "coordinator/exchange.h"
#include "coordinator/keys.h"
#include "coordinator/rights.h"
#include "coordinator/settings/settings_limits.h"
#include "coordinator/store/store_sqlite.h"
#include "crypto/ct.h"
#include "proto/local/harmless.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    SEEN = 18, /* columns of "not for 365d 23h" where a name stands behind it */
};

#define START_WAIT PV_S(10) /* ours: for who starts, until it can be asked */

int pv_coord_print_error(const char *error)
{
    char shown[2048]; /* it may quote the process that was asked, the database or another
                         coordinator */
    pv_harmless_show(pv_view(error, strlen(error)), shown, sizeof(shown));
    fprintf(stderr, "p2pvpn-coordinator: %s\n", shown);
    return PV_COORDEXIT_FAILED;
}

/* A script tells by it what another user could do from what nobody can now. */
static int exit_of(int r)
{
    return r == -EACCES || r == -EPERM ? PV_COORDEXIT_PERMISSION : PV_COORDEXIT_FAILED;
}

/* One line, so that a shell reads it with one `read`. */
int pv_coord_print_json(json_t *doc)
{
    size_t len = 0;
    char *text = doc == NULL ? NULL : pv_harmless_dump(doc, &len);
    json_decref(doc);
    if (text == NULL)
        return pv_coord_print_error("out of memory");
    fputs(text, stdout);
    free(text);
    return PV_COORDEXIT_DONE;
}

/* --- backup and restore ---------------------------------------------------------------------- */

static void print_counts(const struct pv_backup *b)
{
    printf("%llu network%s, %llu statement%s", (unsigned long long)b->networks,
           b->networks == 1 ? "" : "s", (unsigned long long)b->statements,
           b->statements == 1 ? "" : "s");
}

/* How much is in it tells an operator at once when it was made of the wrong directory. */
static int backup(const struct pv_coordset *set)
{
    char error[PV_BACKUP_ERROR_MAX];
    struct pv_backup b;
    int r = pv_backup_make(set->state, set->operand, pv_clock_wall_us() / 1000000, &b, error);
    if (r < 0) {
        (void)pv_coord_print_error(error);
        return exit_of(r);
    }
    if (set->json)
        return pv_coord_print_json(
            json_pack("{s:i, s:s, s:I, s:I, s:I, s:I}", "version", PV_REPORT_VERSION, "file",
                      set->operand, "made", (json_int_t)b.made, "bytes", (json_int_t)b.bytes,
                      "networks", (json_int_t)b.networks, "statements", (json_int_t)b.statements));
    print_counts(&b);
    printf(", %s in %s\nIt has the coordinator's keys: keep it as safe as those.\n",
           PV_BYTES_STR((double)b.bytes), set->operand);
    return PV_COORDEXIT_DONE;
}

/* Its age tells whether it is the one that was meant; what was there is never deleted here. */
static int restore(struct pv_coordset *set)
{
    char error[PV_BACKUP_ERROR_MAX];
    struct pv_backup b;
    uint64_t wall = pv_clock_wall_us() / 1000000;
    int r = pv_backup_restore(set, set->operand, wall, &b, error);
    if (r < 0) {
        (void)pv_coord_print_error(error);
        return exit_of(r);
    }
    if (set->json)
        return pv_coord_print_json(json_pack(
            "{s:i, s:s, s:I, s:I, s:I, s:s?}", "version", PV_REPORT_VERSION, "file", set->operand,
            "made", (json_int_t)b.made, "networks", (json_int_t)b.networks, "statements",
            (json_int_t)b.statements, "kept", b.kept[0] == '\0' ? NULL : b.kept));
    print_counts(&b);
    printf(" of %s ago restored\n", PV_DURATION_STR(wall > b.made ? (double)(wall - b.made) : 0));
    if (b.kept[0] != '\0')
        printf("The former files are kept beside it: coordinator.db%s and so on.\n", b.kept);
    return PV_COORDEXIT_DONE;
}

/* --- between SQLite and PostgreSQL ----------------------------------------------------------- */

/* It says the next step, too: with the configuration as it is the coordinator would serve from the
 * store that was left. */
static int exchange(struct pv_coordset *set)
{
    char error[PV_EXCHANGE_ERROR_MAX];
    struct pv_transfer t;
    bool import = set->action == PV_COORDSET_IMPORT;
    int r = pv_exchange(set, import, &t, error);
    if (r < 0) {
        (void)pv_coord_print_error(error);
        return r == PV_ERR_STATE ? PV_COORDEXIT_USAGE : exit_of(r);
    }
    if (set->json)
        return pv_coord_print_json(json_pack("{s:i, s:I, s:I}", "version", PV_REPORT_VERSION,
                                             "statements", (json_int_t)t.statements, "copies",
                                             (json_int_t)t.copies));
    printf("%llu statement%s and %llu message%s for members %s\n", (unsigned long long)t.statements,
           t.statements == 1 ? "" : "s", (unsigned long long)t.copies, t.copies == 1 ? "" : "s",
           import ? "are in PostgreSQL now: start the coordinator with the same configuration"
                  : "are in the state directory now: take [store] postgres out of the "
                    "configuration before you start the coordinator");
    return PV_COORDEXIT_DONE;
}

/* --- what the running coordinator does ------------------------------------------------------- */

/* JSON is printed with fields that this version does not know, too. It is read as a report first,
 * to see that it is one. */
static int print_report(const struct pv_coordset *set, const json_t *doc)
{
    char lines[PV_REPORT_TEXT_MAX], *text = NULL;
    size_t n = 0;
    bool metrics = set->action == PV_COORDSET_METRICS;
    int r = metrics ? pv_report_metrics(doc, &text, &n) : pv_report_text(doc, lines);
    if (r == PV_OK && !metrics && set->json && (text = pv_harmless_dump(doc, &n)) == NULL)
        r = PV_ERR_NOMEM;
    if (r == PV_OK)
        fputs(text != NULL ? text : lines, stdout);
    free(text);
    return r;
}

/* Nothing of the state directory is opened here. */
int pv_coord_status(const struct pv_coordset *set)
{
    char why[PV_COORDSET_ERROR_MAX];
    json_t *doc = NULL;
    int r = pv_ctlsock_ask(set->state, NULL, &doc, why, sizeof(why));
    if (r == PV_OK && (r = print_report(set, doc)) < 0)
        snprintf(why, sizeof(why), "%.200s: %s", set->state,
                 r == PV_ERR_MALFORMED ? "the answer is not understood: is it of this version?"
                                       : pv_strstatus(r));
    bool well = r == PV_OK && pv_report_is_well(doc);
    json_decref(doc);
    if (r == PV_OK)
        return set->check && !well ? PV_COORDEXIT_FAILED : PV_COORDEXIT_DONE;
    (void)pv_coord_print_error(why);
    return r == PV_ERR_NOT_FOUND ? PV_COORDEXIT_NOT_RUNNING : exit_of(r);
}

int pv_coord_ask(const struct pv_coordset *set, json_t *request, json_t **ret_doc, int *ret_status)
{
    char why[1200] = "out of memory";
    json_t *doc = NULL;
    int r = request == NULL ? PV_ERR_NOMEM
                            : pv_ctlsock_ask(set->state, request, &doc, why, sizeof(why));
    json_decref(request);
    *ret_status = r;
    if (r == PV_ERR_NOT_FOUND)
        snprintf(why, sizeof(why), "no coordinator runs with this state directory (%.200s): %s",
                 set->state, PV_DO_STR(start_coordinator));
    if (r < 0) {
        if (r != PV_ERR_NOT_FOUND || set->action != PV_COORDSET_SECRET)
            (void)pv_coord_print_error(why);
        return r == PV_ERR_NOT_FOUND ? PV_COORDEXIT_NOT_RUNNING : exit_of(r);
    }
    const char *code = pv_json_text(doc, "error", NULL);
    if (code != NULL) {
        bool elsewhere = strcmp(code, "elsewhere") == 0;
        bool unknown = elsewhere || strcmp(code, "unknown_network") == 0;
        char remedy[500] = "`p2pvpn-coordinator networks` lists their ids";
        if (elsewhere)
            pv_cluster_home_of(set, set->operand, remedy, sizeof(remedy));
        bool has_remedy = unknown || strcmp(code, "bad_request") == 0;
        snprintf(why, sizeof(why), "%.600s%s%s", pv_json_text(doc, "message", code),
                 has_remedy ? ": " : "", has_remedy ? remedy : "");
        (void)pv_coord_print_error(why);
        json_decref(doc);
        return unknown ? PV_COORDEXIT_UNKNOWN : PV_COORDEXIT_FAILED;
    }
    *ret_doc = doc;
    return PV_COORDEXIT_DONE;
}

void pv_coord_set_copies(void *ctx, const uint8_t network[static PV_NETWORK_ID_LEN], uint64_t bytes)
{
    char id[PV_NETID_BUF];
    json_t *list = ctx;
    pv_netid_format(network, id);
    PV_EACH_JSON(list, n) {
        if (pv_json_is(n, "id", id))
            json_object_set_new(n, "copies", json_integer((json_int_t)bytes));
    }
}

/* One line for people. uptime: for how long nobody may have been seen without being known. */
static void print_network(const json_t *n, uint64_t wall, json_int_t uptime)
{
    char seen[2 * PV_AMOUNT_BUF];
    const char *name = pv_json_text(n, "name", "");
    const json_t *at = json_object_get(n, "seen");
    json_int_t ago = (json_int_t)wall - json_integer_value(at);
    if (pv_json_int(n, "online") > 0)
        snprintf(seen, sizeof(seen), "now");
    else if (json_is_integer(at))
        snprintf(seen, sizeof(seen), "%s ago", PV_DURATION_STR(ago > 0 ? (double)ago : 0));
    else
        snprintf(seen, sizeof(seen), "not for %s", PV_DURATION_STR((double)uptime));
    printf("%-32s %7lld %6lld %10lld %9s  %-*s%s\n", pv_json_text(n, "id", "?"),
           (long long)pv_json_int(n, "members"), (long long)pv_json_int(n, "online"),
           (long long)pv_json_int(n, "statements"),
           PV_BYTES_STR((double)(pv_json_int(n, "bytes") + pv_json_int(n, "copies"))),
           name[0] == '\0' ? 0 : SEEN, seen, name);
}

/* The coordinator has no figures of copies: they are added here, from where they are kept. */
static int networks(const struct pv_coordset *set)
{
    json_t *doc = NULL;
    int status = 0;
    int code = pv_coord_ask(set, json_pack("{s:s, s:b}", "do", "networks", "names", set->names),
                            &doc, &status);
    if (code != PV_COORDEXIT_DONE)
        return code;
    json_t *list = json_object_get(doc, "networks");
    PV_EACH_JSON(list, n)
        json_object_set_new(n, "copies", json_integer(0));
    char why[PV_RIGHTS_ERROR_MAX];
    bool shared = pv_json_bool(doc, "shared");
    if (!shared)
        pv_coordstore_bytes(set->state, pv_coord_set_copies, list);
    else if (!pv_cluster_copies(set, list, why, sizeof(why)))
        fprintf(stderr, "p2pvpn-coordinator: copies are not counted: %s\n", why);
    if (set->json)
        return pv_coord_print_json(doc);
    printf("%-32s %7s %6s %10s %9s  %-*s%s\n", "NETWORK", "MEMBERS", "ONLINE", "STATEMENTS",
           "STORED", set->names ? SEEN : 0, "LAST SEEN", set->names ? "NAME" : "");
    PV_EACH_JSON(list, n)
        print_network(n, pv_clock_wall_us() / 1000000, pv_json_int(doc, "uptime"));
    json_decref(doc);
    if (shared)
        printf("This coordinator is their home; `p2pvpn-coordinator homes` lists those of all.\n");
    return PV_COORDEXIT_DONE;
}

static int drop(const struct pv_coordset *set)
{
    json_t *doc = NULL;
    int status = 0;
    int code = pv_coord_ask(set, json_pack("{s:s, s:s}", "do", "drop", "network", set->operand),
                            &doc, &status);
    if (code != PV_COORDEXIT_DONE)
        return code;
    if (set->json)
        return pv_coord_print_json(doc);
    json_decref(doc);
    printf("%s dropped: its statements and copies are deleted here, its nodes are sent away\n",
           set->operand);
    return PV_COORDEXIT_DONE;
}

/* Without a coordinator that runs the file is all there is to change; the lock keeps one from
 * starting meanwhile. PV_ERR_EXISTS: it has the lock already. */
static int rotate_alone(struct pv_coordset *set, char ret_error[static PV_RIGHTS_ERROR_MAX])
{
    struct pv_rights rights;
    struct pv_rng rng = pv_entropy();
    uint8_t secret[PV_CTL_SECRET_LEN];
    int lock = -1;
    /* A word that is mistyped would make new keys, and leave the secret that leaked good. */
    if (access(PV_STR("%s/" PV_COORDKEYS_FILE, set->state), F_OK) != 0 && errno == ENOENT) {
        snprintf(ret_error, PV_RIGHTS_ERROR_MAX,
                 "no coordinator has been in %.300s: name its state directory with --state",
                 set->state);
        return PV_ERR_NOT_FOUND;
    }
    int r = pv_rights_enter(&rights, set, ret_error);
    if (r == PV_OK)
        r = pv_coordkeys_lock(set->state, &lock, ret_error);
    if (r == PV_OK)
        r = pv_coordkeys_rotate(set->state, &rng, secret, ret_error);
    pv_wipe(secret, sizeof(secret));
    if (lock >= 0)
        close(lock);
    return r;
}

/* Each coordinator has the secret in a file of its own, so the old one is good at the others still.
 * Beside the URL, which is for scripts. */
static int say_who_has_the_old_one(const struct pv_coordset *set)
{
    if (set->store.postgres[0] != '\0')
        fprintf(stderr, "p2pvpn-coordinator: other coordinators of this database take the old URL "
                        "until they have this one's create.key (copy it from its state directory) "
                        "and were restarted\n");
    return PV_COORDEXIT_DONE;
}

/* A coordinator that starts has the lock before it can be asked. */
static int rotate(struct pv_coordset *set)
{
    pv_ns end = pv_clock_now() + START_WAIT;
    char error[PV_RIGHTS_ERROR_MAX];
    bool last;
    int r;
    do {
        json_t *doc = NULL;
        int status = 0;
        last = pv_clock_now() >= end; /* it is asked once more after that time */
        int code = pv_coord_ask(set, json_pack("{s:s}", "do", "secret"), &doc, &status);
        json_decref(doc);
        if (status != PV_ERR_NOT_FOUND)
            return code == PV_COORDEXIT_DONE ? say_who_has_the_old_one(set) : code;
        r = rotate_alone(set, error);
    } while (r == PV_ERR_EXISTS && !last);
    if (r == PV_OK)
        return say_who_has_the_old_one(set);
    (void)pv_coord_print_error(error);
    return exit_of(r);
}

static void print_names(const char *what, const json_t *list)
{
    PV_EACH_JSON(list, name) {
        printf("%s %s%s", name_i == 0 ? what : "", pv_json_string(name),
               name_i + 1 == json_array_size(list) ? "\n" : ",");
    }
}

static int reload(const struct pv_coordset *set)
{
    json_t *doc = NULL;
    int status = 0;
    int code = pv_coord_ask(set, json_pack("{s:s}", "do", "reload"), &doc, &status);
    if (code != PV_COORDEXIT_DONE)
        return code;
    if (set->json)
        return pv_coord_print_json(doc);
    const json_t *changed = json_object_get(doc, "changed");
    const json_t *restart = json_object_get(doc, "restart");
    printf("read %s%s\n", pv_json_text(doc, "file", "?"),
           json_array_size(changed) + json_array_size(restart) == 0 ? ": nothing has changed" : "");
    print_names("changed:", changed);
    print_names("waits for a restart:", restart);
    json_decref(doc);
    return PV_COORDEXIT_DONE;
}

int pv_coord_command(struct pv_coordset *set)
{
    switch (set->action) {
    case PV_COORDSET_NETWORKS:
        return networks(set);
    case PV_COORDSET_DROP:
        return drop(set);
    case PV_COORDSET_SECRET:
        return rotate(set);
    case PV_COORDSET_RELOAD:
        return reload(set);
    case PV_COORDSET_HOMES:
        return pv_cluster_homes(set);
    case PV_COORDSET_DRAIN:
        return pv_cluster_drain(set);
    case PV_COORDSET_WEB:
        return pv_coord_web(set);
    case PV_COORDSET_BACKUP:
        return backup(set);
    case PV_COORDSET_IMPORT:
    case PV_COORDSET_EXPORT:
        return exchange(set);
    default:
        return restore(set);
    }
}
