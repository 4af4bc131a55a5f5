/* SPDX-License-Identifier: MIT */
/* A small loop of its own: it asks for the lease a few times a second, hears signals, and answers
 * `status`. A question may block it for two seconds, which nobody minds here. */
#include "coordinator/standby.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/jsonread.h"
#include "base/text.h"
#include "coordinator/core/report.h"
#include "coordinator/ctlsock.h"
#include "coordinator/url.h"
#include "crypto/hash.h"
#include "sys/proc/loop.h"

struct standby {
    const struct pv_pgplugin *pg;
    struct pv_pg_lease *lease;
    const struct pv_log *log;
    struct pv_loop *loop;
    int signals;
    struct pv_spare spare;
    struct pv_ctlsock status, ctl;
    int result;                  /* PV_ERR_AGAIN while it waits */
    char other[PV_PG_NAME_MAX];  /* who has the database; empty: nobody knows */
    char error[PV_PG_ERROR_MAX]; /* why nobody knows */
    char said[PV_PG_ERROR_MAX];  /* what the log says last */
};

/* --- who this is ----------------------------------------------------------------------------- */

/* The state directory has a lock, so nobody else is this holder while this program runs; after a
 * kill the next start is, and need not wait for its former self. Directories on other machines, and
 * copies, have other numbers. */
static int make_holder(const char *state, const char *host,
                       uint8_t ret_holder[static PV_PG_HOLDER_LEN])
{
    _Static_assert((int)PV_PG_HOLDER_LEN == (int)PV_BLAKE2B_LEN, "a holder is a hash");
    char boot[64];
    struct stat st;
    uint8_t numbers[16];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, boot, sizeof(boot));
    int r = len < 0 || stat(state, &st) < 0 ? -errno : PV_OK;
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    pv_store_be64(numbers, (uint64_t)st.st_dev);
    pv_store_be64(numbers + 8, (uint64_t)st.st_ino);
    pv_blake2b(ret_holder, pv_view(boot, (size_t)len), pv_view(host, strlen(host)),
               pv_view(numbers, sizeof(numbers)));
    return PV_OK;
}

int pv_standby_lease(struct pv_pg_lease **ret_lease, const struct pv_pgplugin *pg,
                     const struct pv_coordset *set, const uint8_t pk[static PV_SIGN_PK_LEN],
                     bool shared, char ret_error[static PV_STANDBY_ERROR_MAX])
{
    struct pv_pg_lease_config cfg = {.conninfo = set->store.postgres, .shared = shared};
    struct pv_coordurl_list public;
    struct pv_text addrs = pv_text_in(cfg.addrs, sizeof(cfg.addrs));
    pv_coordurl_public(set, &public);
    for (size_t i = 0; i < public.n; i++)
        pv_text_add(&addrs, "%s%s", i == 0 ? "" : " ", public.texts[i]);
    memcpy(cfg.pk, pk, sizeof(cfg.pk));
    if (gethostname(cfg.name, sizeof(cfg.name) - 1) < 0)
        snprintf(cfg.name, sizeof(cfg.name), "?");
    int r = make_holder(set->state, cfg.name, cfg.holder);
    if (r < 0) {
        snprintf(ret_error, PV_STANDBY_ERROR_MAX, "state directory %.200s: %s", set->state,
                 pv_strstatus(r));
        return r;
    }
    if (set->n_public > 0) {
        size_t used = strlen(cfg.name);
        snprintf(cfg.name + used, sizeof(cfg.name) - used, " (%.80s)", set->public[0].host);
    }
    return pg->lease_new(ret_lease, &cfg, ret_error);
}

/* --- waiting --------------------------------------------------------------------------------- */

/* The log has a line for each change, not for each question. */
static void say(struct standby *s)
{
    char text[PV_PG_ERROR_MAX];
    if (s->other[0] != '\0')
        snprintf(text, sizeof(text), "standing by: %.120s has the database alone", s->other);
    else
        snprintf(text, sizeof(text), "standing by: %.200s", s->error);
    if (strcmp(text, s->said) == 0)
        return;
    memcpy(s->said, text, sizeof(text));
    pv_log(s->log, s->other[0] == '\0' ? PV_LOG_WARN : PV_LOG_INFO, "%s", text);
}

static pv_ns ask(void *ctx, pv_ns now)
{
    struct standby *s = ctx;
    if (s->result != PV_ERR_AGAIN)
        return PV_NEVER;
    s->error[0] = '\0';
    int r = s->pg->lease_take(s->lease, s->other, s->error);
    if (r == PV_ERR_AGAIN || r == PV_ERR_CLOSED || r == PV_ERR_TIMEOUT || r == -EIO) {
        say(s);
        return now + PV_MS(PV_PG_LEASE_ASK_MS);
    }
    s->result = r;
    pv_loop_stop(s->loop);
    return PV_NEVER;
}

/* SIGHUP stays where it is until the server looks for it. */
static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct standby *s = ctx;
    int signal = 0;
    while (pv_signals_read(s->signals, &signal) == PV_OK) {
        pv_log(s->log, PV_LOG_INFO, "ending signal=%d", signal);
        s->result = PV_ERR_CLOSED;
        pv_loop_stop(s->loop);
    }
}

/* New settings are for who serves; everything else of the operator is, too. */
static void on_request(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct standby *s = ctx;
    const char *what = pv_json_text(request, "do", NULL);
    bool reload = what != NULL && strcmp(what, "reload") == 0 && raise(SIGHUP) == 0;
    pv_ctlsock_answer(&s->ctl, id,
                      json_pack("{s:i, s:s, s:s}", "version", PV_REPORT_VERSION, "error", "standby",
                                "message",
                                reload ? "it stands by: the settings are read as soon as it serves"
                                       : "it stands by: `p2pvpn-coordinator status` says why"));
}

static void on_status(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct standby *s = ctx;
    pv_ctlsock_answer(&s->status, id,
                      json_pack("{s:i, s:s, s:b, s:s?, s:s?}", "version", PV_REPORT_VERSION,
                                "coordinator", PV_VERSION, "standby", true, "serves",
                                s->other[0] == '\0' ? NULL : s->other, "error",
                                s->error[0] == '\0' ? NULL : s->error));
}

/* The supervisor hears that it is ready: to stand by is a good start, and may last for days. */
int pv_standby_wait(const struct pv_pgplugin *pg, struct pv_pg_lease *lease,
                    const struct pv_coordset *set, struct pv_supervisor *supervisor,
                    const struct pv_log *log, char ret_error[static PV_STANDBY_ERROR_MAX])
{
    static const int signals[] = {SIGTERM, SIGINT};
    sigset_t later;
    struct standby s = {
        .pg = pg, .lease = lease, .log = log, .signals = -1, .result = PV_ERR_AGAIN};
    struct pv_watch *watch = NULL;
    const struct pv_loop_owner owner = {.turn = ask, .ctx = &s};
    sigemptyset(&later);
    sigaddset(&later, SIGHUP);
    sigprocmask(SIG_BLOCK, &later, NULL);
    int r = pv_signals_open(signals, PV_ARRAY_LEN(signals), &s.signals);
    if (r == PV_OK)
        r = pv_loop_new(&s.loop);
    if (r == PV_OK)
        r = pv_watch_new(&watch, s.loop, s.signals, PV_LOOP_READ, on_signal, &s);
    if (r < 0)
        snprintf(ret_error, PV_STANDBY_ERROR_MAX, "start: %s", pv_strstatus(r));
    if (r == PV_OK) {
        pv_spare_open(&s.spare, s.signals);
        s.status.spare = &s.spare;
        s.status.greets = true;
        s.status.request = on_status;
        s.status.ctx = &s;
        if (pv_ctlsock_open(&s.status, s.loop, set->state) < 0)
            pv_log(log, PV_LOG_WARN, "`p2pvpn-coordinator status` will not work");
        s.ctl.spare = &s.spare;
        s.ctl.request = on_request;
        s.ctl.ctx = &s;
        if (pv_ctlsock_open(&s.ctl, s.loop, set->state) < 0)
            pv_log(log, PV_LOG_WARN, "`p2pvpn-coordinator reload` will not work");
        pv_supervisor_ready(supervisor, s.loop);
        pv_loop_run(s.loop, &owner);
        pv_supervisor_leave_loop(supervisor);
        pv_ctlsock_done(&s.status);
        pv_ctlsock_done(&s.ctl);
        pv_spare_done(&s.spare);
        r = s.result;
        snprintf(ret_error, PV_STANDBY_ERROR_MAX, "%s", s.error);
    }
    pv_watch_free(watch);
    if (s.loop != NULL)
        pv_loop_free(s.loop);
    if (s.signals >= 0)
        close(s.signals);
    return r;
}
