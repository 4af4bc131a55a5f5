/* SPDX-License-Identifier: MIT */
/* keeper.c - the root key's process, and the daemon's end of it. */
#include "daemon/store/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/store/identity.h"
#include "proto/roster/paperkey.h"
#include "sys/proc/child.h"
#include "sys/proc/entropy.h"
#include "sys/proc/procinfo.h"

enum {
    SIGN_MS = 5000, /* ours: a keeper that has not signed by then never will */
};

enum kind {
    OPEN = 1,
    SIGN,
    MAKE,
    ANEW,
    BACK,
    IMPORT,
    FORGET,
    KINDS,
};

/* SOCK_SEQPACKET keeps message boundaries; both ends are the same program. No bool: the sender may
 * have been taken over. */
struct request {
    uint32_t kind;
    char dir[PATH_MAX];                                                           /* OPEN */
    struct pv_sandbox_user user;                                                  /* OPEN */
    uint8_t key[PV_PWHASH_KEY_LEN], box[PV_PAPERKEY_BOX_LEN], pk[PV_SIGN_PK_LEN]; /* IMPORT */
    uint16_t body_len;                                                            /* SIGN */
    uint8_t body[PV_STATEMENT_MAX];
};

struct reply {
    int32_t status;
    uint32_t has; /* a key, whose public half is pk */
    uint32_t exposed;
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t sig[PV_SIGN_LEN];
    char error[PV_JOB_ERROR_MAX];
};

/* --- the keeper's side ----------------------------------------------------------------------- */

struct keeping {
    bool open; /* what OPEN gives: the other requests are served from then on, and it is not */
    char dir[PATH_MAX];
    uint8_t *sk, *former; /* pv_secret_alloc(); that of before the last ANEW */
    bool has, has_former;
    struct reply reply;
};

/* The seed is the first half of the secret key. */
static void take_seed(struct keeping *k, const uint8_t *seed)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    pv_sign_keypair(seed, k->sk, pk);
    k->has = true;
}

static const uint8_t *pk_of(const struct keeping *k)
{
    return k->sk + PV_SIGN_SEED_LEN;
}

/* Its mode takes the file from its own user, who may change that as long as it may change modes.
 */
static bool is_exposed(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* An intruder in an earlier control process may have left a link there, or a second name, to a key
 * of another network on this machine: such a file is none of ours, and keeps its mode. */
static void set_mode(const char *path, mode_t mode)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
        (st.st_mode & 07777) != mode)
        (void)!chmod(path, mode); /* what that does not help is told by reading */
}

static int read_root(struct keeping *k)
{
    uint8_t seed[PV_SIGN_SEED_LEN];
    int r = pv_identity_read_root(k->dir, seed, k->reply.error);
    if (r == PV_OK)
        take_seed(k, seed);
    pv_wipe(seed, sizeof(seed));
    return r == PV_ERR_NOT_FOUND ? PV_OK : r;
}

/* Root reads it as it is: while its user may read it, so may an earlier control process that an
 * intruder kept running. Units start it as that user, and leave no such process running. */
static int take_root(struct keeping *k, const struct pv_sandbox_user *user)
{
    char path[PATH_MAX + sizeof("/root.key")];
    snprintf(path, sizeof(path), "%s/root.key", k->dir);
    int r = read_root(k);
    bool is_closed = r == -EACCES;
    if (pv_sandbox_become(user->uid == geteuid() ? NULL : user, 0) < 0) {
        snprintf(k->reply.error, sizeof(k->reply.error),
                 "keep the root key: the keeper cannot become user %s", user->name);
        return PV_ERR_REFUSED;
    }
    if (is_closed) {
        k->reply.error[0] = '\0';
        set_mode(path, 0400);
        r = read_root(k);
    }
    set_mode(path, 0);
    k->reply.exposed = is_exposed(path);
    return r;
}

static int give_up_rights(struct keeping *k)
{
    const struct pv_sandbox_path paths[] = {
        {k->dir, PV_SANDBOX_READ | PV_SANDBOX_WRITE},
        {"/dev/urandom", PV_SANDBOX_READ},
    };
    int landlock;
    int r = pv_sandbox_no_new_privs();
    if (r == PV_OK)
        r = pv_sandbox_files(paths, PV_ARRAY_LEN(paths),
                             PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT |
                                 PV_SANDBOX_NO_TCP_BIND | PV_SANDBOX_NO_TCP_CONNECT,
                             &landlock);
    if (r == PV_OK || r == PV_ERR_UNSUPPORTED)
        r = pv_sandbox_calls(PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_FILES, NULL, 0);
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

static int open_dir(struct keeping *k, const struct request *req)
{
    snprintf(k->dir, sizeof(k->dir), "%s", req->dir);
    k->sk = pv_secret_alloc(PV_SIGN_SK_LEN);
    k->former = pv_secret_alloc(PV_SIGN_SK_LEN);
    int r = k->sk == NULL || k->former == NULL ? PV_ERR_NOMEM : take_root(k, &req->user);
    if (r == PV_OK)
        r = give_up_rights(k);
    k->open = r == PV_OK;
    if (r != PV_OK && k->reply.error[0] == '\0')
        snprintf(k->reply.error, sizeof(k->reply.error), "keep the root key: %s", pv_strstatus(r));
    return r;
}

static int sign(struct keeping *k, const struct request *req)
{
    if (!k->has)
        return PV_ERR_NOT_FOUND;
    if (req->body_len > sizeof(req->body))
        return PV_ERR_MALFORMED;
    return pv_statement_sign_as_root(pv_view(req->body, req->body_len), k->sk, k->reply.sig);
}

/* On disk before anybody hears of it. */
static int save(struct keeping *k, const uint8_t *seed)
{
    int r = pv_identity_save_root(k->dir, seed, k->reply.error);
    if (r == PV_OK)
        take_seed(k, seed);
    return r;
}

static int save_new(struct keeping *k)
{
    const struct pv_rng rng = pv_entropy();
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&rng, seed, sizeof(seed));
    int r = save(k, seed);
    pv_wipe(seed, sizeof(seed));
    return r;
}

static int make(struct keeping *k, const struct request *req)
{
    return k->has ? PV_OK : save_new(k);
}

/* A key that is there may still rule a network, so it stays, but rules no second one: who has it of
 * the first would have that as well. */
static int make_anew(struct keeping *k, const struct request *req)
{
    char error[PV_JOB_ERROR_MAX];
    if (!k->has)
        return save_new(k);
    int r = pv_identity_root_aside(k->dir, pk_of(k), false, k->reply.error);
    if (r != PV_OK)
        return r;
    memcpy(k->former, k->sk, PV_SIGN_SK_LEN);
    k->has_former = true;
    r = save_new(k);
    if (r != PV_OK) /* what that does not bring back is where it was moved */
        (void)!pv_identity_root_aside(k->dir, k->former + PV_SIGN_SEED_LEN, true, error);
    k->has_former = r == PV_OK;
    return r;
}

/* No network came of the new one: nobody has heard of it. */
static int bring_back(struct keeping *k, const struct request *req)
{
    if (!k->has || !k->has_former)
        return PV_ERR_NOT_FOUND;
    int r = pv_identity_root_aside(k->dir, k->former + PV_SIGN_SEED_LEN, true, k->reply.error);
    if (r != PV_OK)
        return r;
    memcpy(k->sk, k->former, PV_SIGN_SK_LEN);
    pv_wipe(k->former, PV_SIGN_SK_LEN);
    k->has_former = false;
    return PV_OK;
}

static int import(struct keeping *k, const struct request *req)
{
    uint8_t seed[PV_SIGN_SEED_LEN], sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    int r = pv_paperkey_open(seed, req->key, req->box);
    if (r == PV_OK) {
        pv_sign_keypair(seed, sk, pk);
        pv_wipe(sk, sizeof(sk));
        if (memcmp(pk, req->pk, sizeof(pk)) != 0)
            r = PV_ERR_REFUSED;
        else if (!k->has)
            r = save(k, seed);
        else if (memcmp(pk, pk_of(k), sizeof(pk)) != 0)
            r = PV_ERR_EXISTS;
    }
    pv_wipe(seed, sizeof(seed));
    return r;
}

static int forget(struct keeping *k, const struct request *req)
{
    int r = pv_identity_forget_root(k->dir, k->reply.error);
    if (r == PV_OK) {
        pv_wipe(k->sk, PV_SIGN_SK_LEN);
        pv_wipe(k->former, PV_SIGN_SK_LEN);
        k->has = k->has_former = false;
    }
    return r;
}

/* All that there is, as in the helper (helper_serve.c): OPEN is for before, the rest for after. */
static int (*const requests[KINDS])(struct keeping *k, const struct request *req) = {
    [OPEN] = open_dir,   [SIGN] = sign,     [MAKE] = make,    [ANEW] = make_anew,
    [BACK] = bring_back, [IMPORT] = import, [FORGET] = forget};

/* False: the daemon has ended. It may have given its end of the socket to a process that stays. */
static bool await_request(int fd, int daemon)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = daemon, .events = POLLIN}};
    while (poll(p, PV_ARRAY_LEN(p), -1) < 0 && errno == EINTR) {
    }
    return p[1].revents == 0;
}

static void serve(int fd, int daemon)
{
    struct keeping k = {.open = false};
    struct request req;
    ssize_t n;
    while (await_request(fd, daemon) && (n = read(fd, &req, sizeof(req))) > 0) {
        memset(&k.reply, 0, sizeof(k.reply));
        bool known = n == (ssize_t)sizeof(req) && req.kind > 0 && req.kind < KINDS;
        k.reply.status = !known                         ? -EINVAL
                         : (req.kind == OPEN) == k.open ? PV_ERR_STATE
                                                        : requests[req.kind](&k, &req);
        pv_wipe(&req, sizeof(req));
        k.reply.has = k.has;
        if (k.has)
            memcpy(k.reply.pk, pk_of(&k), sizeof(k.reply.pk));
        if (write(fd, &k.reply, sizeof(k.reply)) != (ssize_t)sizeof(k.reply))
            break;
    }
    pv_secret_free(k.sk);
    pv_secret_free(k.former);
}

/* In the child. It stays until the daemon has finished with it, whatever the terminal says. */
static void be_keeper(int fd, pid_t parent, const void *ctx)
{
    int daemon = -1;
    /* A daemon that was taken over reads no answer, and must not hold it up beyond its own end. */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && pv_crypto_init() == PV_OK &&
        pv_procinfo_watch_parent(parent, &daemon) == PV_OK)
        serve(fd, daemon);
}

/* --- the daemon's side ----------------------------------------------------------------------- */

struct pv_keeper {
    pthread_mutex_t lock; /* one request at a time */
    int fd;
    pid_t pid;
    bool lost; /* an answer did not come: one that came now would belong to another request */
    bool has;  /* as the last reply said */
    uint8_t pk[PV_SIGN_PK_LEN];
};

int pv_keeper_start(struct pv_keeper **ret_keeper)
{
    struct pv_keeper *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return PV_ERR_NOMEM;
    int r = pv_child_fork("p2pvpnd-keeper", be_keeper, NULL, NULL, &k->fd, &k->pid);
    if (r < 0) {
        free(k);
        return r;
    }
    pthread_mutex_init(&k->lock, NULL);
    *ret_keeper = k;
    return PV_OK;
}

struct pv_keeper *pv_keeper_stop(struct pv_keeper *k)
{
    if (k != NULL) {
        close(k->fd);
        while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        pthread_mutex_destroy(&k->lock);
        free(k);
    }
    return NULL;
}

static bool is_answered(struct pv_keeper *k, const struct request *req, struct reply *ret_reply)
{
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    int ready;
    if (k->lost || send(k->fd, req, sizeof(*req), MSG_NOSIGNAL) != (ssize_t)sizeof(*req))
        return false;
    do {
        ready = poll(&p, 1, req->kind == SIGN ? SIGN_MS : -1);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 &&
           recv(k->fd, ret_reply, sizeof(*ret_reply), 0) == (ssize_t)sizeof(*ret_reply);
}

/* The request may hold a key, and is wiped. */
static int call(struct pv_keeper *k, struct request *req, struct reply *ret_reply)
{
    pthread_mutex_lock(&k->lock);
    k->lost = !is_answered(k, req, ret_reply);
    if (k->lost) {
        *ret_reply = (struct reply){.status = PV_ERR_CLOSED};
        snprintf(ret_reply->error, sizeof(ret_reply->error),
                 "ask the keeper of the root key: it is gone: restart p2pvpnd");
    } else {
        k->has = ret_reply->has != 0;
        memcpy(k->pk, ret_reply->pk, sizeof(k->pk));
    }
    pthread_mutex_unlock(&k->lock);
    pv_wipe(req, sizeof(*req));
    return ret_reply->status;
}

int pv_keeper_open(struct pv_keeper *k, const char *dir, const struct pv_sandbox_user *user,
                   bool *ret_exposed, char ret_error[static PV_JOB_ERROR_MAX])
{
    struct request req = {.kind = OPEN, .user = *user};
    struct reply reply;
    snprintf(req.dir, sizeof(req.dir), "%s", dir);
    int r = call(k, &req, &reply);
    memcpy(ret_error, reply.error, sizeof(reply.error));
    *ret_exposed = reply.exposed != 0;
    return r;
}

static int ask_to_sign(void *keeper, struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    struct request req = {.kind = SIGN, .body_len = (uint16_t)body.len};
    struct reply reply;
    if (body.len > sizeof(req.body))
        return PV_ERR_MALFORMED;
    memcpy(req.body, body.ptr, body.len);
    int r = call(keeper, &req, &reply);
    memcpy(ret_sig, reply.sig, sizeof(reply.sig));
    return r;
}

bool pv_keeper_key(struct pv_keeper *k, struct pv_kept_key *ret_key)
{
    *ret_key = (struct pv_kept_key){.sign = ask_to_sign, .keeper = k};
    memcpy(ret_key->pk, k->pk, sizeof(ret_key->pk));
    return k->has;
}

int pv_keeper_have(struct pv_keeper *k, const struct pv_job_root *want,
                   uint8_t ret_pk[static PV_SIGN_PK_LEN], char ret_error[static PV_JOB_ERROR_MAX])
{
    struct request req = {.kind = want->import ? IMPORT
                                  : want->back ? BACK
                                  : want->anew ? ANEW
                                               : MAKE};
    struct reply reply;
    memcpy(req.key, want->key, sizeof(req.key));
    memcpy(req.box, want->box, sizeof(req.box));
    memcpy(req.pk, want->pk, sizeof(req.pk));
    int r = call(k, &req, &reply);
    memcpy(ret_pk, reply.pk, sizeof(reply.pk));
    memcpy(ret_error, reply.error, sizeof(reply.error));
    if (r != PV_OK && ret_error[0] == '\0')
        snprintf(ret_error, PV_JOB_ERROR_MAX, "%s", pv_strstatus(r));
    return r;
}

int pv_keeper_forget(struct pv_keeper *k, char ret_error[static PV_JOB_ERROR_MAX])
{
    struct request req = {.kind = FORGET};
    struct reply reply;
    int r = call(k, &req, &reply);
    memcpy(ret_error, reply.error, sizeof(reply.error));
    return r;
}
