/* SPDX-License-Identifier: MIT */
/* The root key's process: it signs statements and nothing else, and nothing shows the key. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/store/keeper.h"
#include "proto/roster/paperkey.h"
#include "proto/roster/roster_make.h"
#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static char dir[64], path[80], error[PV_JOB_ERROR_MAX];
static struct pv_keeper *keeper;
static struct pv_kept_key key;
static bool exposed;

static const uint8_t network[PV_NETWORK_ID_LEN] = {1};

static int start(void **state)
{
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    snprintf(path, sizeof(path), "%s/root.key", dir);
    keeper = NULL;
    return 0;
}

static int stop(void **state)
{
    keeper = pv_keeper_stop(keeper);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(start, stop);

static int begin(void)
{
    const struct pv_sandbox_user self = {.uid = geteuid(), .gid = getegid()};
    assert_ok(pv_keeper_start(&keeper));
    return pv_keeper_open(keeper, dir, &self, &exposed, error);
}

static int again(void)
{
    keeper = pv_keeper_stop(keeper);
    return begin();
}

/* A key file as a user restores it. */
static void put_file(const char *text)
{
    assert_ok(pv_file_write(path, pv_view(text, strlen(text)), 0600));
}

static unsigned mode_of(const char *file)
{
    struct stat st;
    return stat(file, &st) < 0 ? 0xffff : st.st_mode & 07777;
}

/* The seed of nines. */
#define NINES "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"

static void pk_of_nines(uint8_t pk[static PV_SIGN_PK_LEN])
{
    uint8_t seed[PV_SIGN_SEED_LEN], sk[PV_SIGN_SK_LEN];
    memset(seed, 9, sizeof(seed));
    pv_sign_keypair(seed, sk, pk);
}

static int make_key(void)
{
    const struct pv_job_root want = {.import = false};
    uint8_t pk[PV_SIGN_PK_LEN];
    int r = pv_keeper_have(keeper, &want, pk, error);
    assert_int_equal(pv_keeper_key(keeper, &key), r == PV_OK);
    if (r == PV_OK)
        assert_memory_equal(key.pk, pk, sizeof(pk));
    return r;
}

static int grant(struct pv_made *ret_made)
{
    const struct pv_st_admin admin = {.node = {5}, .rights = PV_RIGHT_INVITE, .time = 7};
    return pv_make_admin(network, pv_signer_kept(&key), &admin, ret_made);
}

PV_TEST(a_made_key_signs_and_is_there_after_a_restart)
{
    uint8_t first[PV_SIGN_PK_LEN];
    struct pv_statement st;
    struct pv_made made;
    assert_ok(begin());
    assert_false(pv_keeper_key(keeper, &key));
    assert_int_equal(grant(&made), PV_ERR_NOT_FOUND);
    assert_ok(make_key());
    memcpy(first, key.pk, sizeof(first));
    assert_ok(make_key()); /* it is used again */
    assert_memory_equal(key.pk, first, sizeof(first));
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
    assert_ok(grant(&made));
    assert_ok(pv_statement_decode(pv_made_view(&made), &st));
    assert_ok(pv_statement_verify(&st));
    assert_memory_equal(st.signer, first, sizeof(first));
}

static int make_anew(void)
{
    const struct pv_job_root want = {.anew = true};
    uint8_t pk[PV_SIGN_PK_LEN];
    return pv_keeper_have(keeper, &want, pk, error);
}

/* The paper of the first network opens nothing in the second, and the first is not lost. */
PV_TEST(a_key_of_before_makes_room_and_stays)
{
    uint8_t first[PV_SIGN_PK_LEN];
    char aside[PATH_MAX];
    assert_ok(begin());
    assert_ok(make_anew()); /* where there is none, as ever */
    assert_true(pv_keeper_key(keeper, &key));
    memcpy(first, key.pk, sizeof(first));
    pv_job_root_aside(path, first, aside, sizeof(aside));
    assert_int_equal(mode_of(aside), 0xffff);
    assert_ok(make_anew());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_not_equal(key.pk, first, sizeof(first));
    assert_int_equal(mode_of(path), 0);
    assert_int_equal(mode_of(aside), 0);
    /* Back in its place it is the key again. */
    assert_int_equal(rename(aside, path), 0);
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
}

PV_TEST(a_key_of_before_takes_its_place_again)
{
    const struct pv_job_root back = {.back = true};
    uint8_t first[PV_SIGN_PK_LEN], pk[PV_SIGN_PK_LEN];
    char aside[PATH_MAX];
    assert_ok(begin());
    assert_ok(make_anew());
    assert_int_equal(pv_keeper_have(keeper, &back, pk, error), PV_ERR_NOT_FOUND);
    assert_true(pv_keeper_key(keeper, &key));
    memcpy(first, key.pk, sizeof(first));
    pv_job_root_aside(path, first, aside, sizeof(aside));
    assert_ok(make_anew());
    assert_ok(pv_keeper_have(keeper, &back, pk, error));
    assert_memory_equal(pk, first, sizeof(first));
    assert_int_equal(mode_of(aside), 0xffff);
    assert_int_equal(mode_of(path), 0);
    assert_int_equal(pv_keeper_have(keeper, &back, pk, error), PV_ERR_NOT_FOUND);
    /* It signs, and is the one on disk. */
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
}

PV_TEST(a_key_of_before_is_where_it_was_when_there_is_no_other)
{
    uint8_t first[PV_SIGN_PK_LEN];
    assert_ok(begin());
    assert_ok(make_anew());
    assert_true(pv_keeper_key(keeper, &key));
    memcpy(first, key.pk, sizeof(first));
    /* A directory is in the way of what is written. */
    assert_int_equal(mkdir(PV_STR("%s.tmp", path), 0700), 0);
    assert_true(make_anew() < 0);
    assert_has(error, "root.key");
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
    /* One that its user has deleted meanwhile is not said to be kept. */
    assert_int_equal(rmdir(PV_STR("%s.tmp", path)), 0);
    assert_int_equal(unlink(path), 0);
    assert_true(make_anew() < 0);
    assert_has(error, "restart p2pvpnd");
}

/* Root reads whatever it likes, so another user looks where this one is root. */
static bool can_read(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        const bool is_root = geteuid() == 0;
        if (is_root && (chown(path, 12345, 12345) < 0 || chmod(dir, 0755) < 0 ||
                        setresuid(12345, 12345, 12345) < 0))
            _exit(2);
        _exit(open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 1;
}

PV_TEST(the_file_is_closed_to_its_own_user)
{
    assert_ok(begin());
    assert_ok(make_key());
    assert_int_equal(mode_of(path), 0);
    assert_false(can_read());
}

PV_TEST(a_key_that_was_restored_is_closed_too)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    put_file(NINES "\n");
    assert_true(can_read());
    if (geteuid() == 0)
        assert_int_equal(chown(path, 0, 0), 0);
    assert_ok(begin());
    pk_of_nines(pk);
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, pk, sizeof(pk));
    assert_int_equal(mode_of(path), 0);
    assert_false(exposed);
}

/* A descriptor of an earlier control process that was kept running: as soon as the mode lets it,
 * such a process opens the file, so inotify must see no change of mode where root reads. */
PV_TEST(where_root_starts_it_the_file_never_opens_to_its_user)
{
    const struct pv_sandbox_user user = {.uid = 12345, .gid = 12345, .name = "12345"};
    struct pollfd p = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    uint8_t pk[PV_SIGN_PK_LEN];
    if (geteuid() != 0)
        return;
    put_file(NINES "\n");
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chown(path, user.uid, user.gid), 0);
    assert_int_equal(chown(dir, user.uid, user.gid), 0);
    assert_true(inotify_add_watch(p.fd, path, IN_ATTRIB) >= 0);
    assert_ok(pv_keeper_start(&keeper));
    assert_ok(pv_keeper_open(keeper, dir, &user, &exposed, error));
    pk_of_nines(pk);
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, pk, sizeof(pk));
    assert_int_equal(poll(&p, 1, 0), 0);
    close(p.fd);
}

PV_TEST(a_file_that_is_no_key_is_never_overwritten)
{
    put_file("hello\n");
    assert_int_equal(begin(), PV_ERR_MALFORMED);
    assert_has(error, "root.key: not a key: restore it");
    assert_int_equal(make_key(), PV_ERR_STATE);
}

/* An intruder in the control process of one network may write in its own directory only; the keeper
 * of the next start may read what other networks of the machine have. */
PV_TEST(a_link_or_a_second_name_leads_to_no_other_key)
{
    const char *other = PV_STR("%s/other.key", dir);
    put_file(NINES "\n");
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(begin(), -ELOOP);
    assert_has(error, "root.key: ");
    assert_false(pv_keeper_key(keeper, &key));
    assert_int_equal(mode_of(other), 0600); /* its daemon can go on */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(again(), -EMLINK);
    assert_false(pv_keeper_key(keeper, &key));
    assert_int_equal(mode_of(other), 0600);
}

/* --- what it signs ---------------------------------------------------------------------------- */

static int sign(const void *body, size_t len)
{
    uint8_t sig[PV_SIGN_LEN];
    return key.sign(key.keeper, pv_view(body, len), sig);
}

PV_TEST(nothing_but_a_statement_of_roots_is_signed)
{
    uint8_t other_sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], seed[PV_SIGN_SEED_LEN] = {3};
    const struct pv_st_admin admin = {.node = {5}, .rights = PV_RIGHT_INVITE, .time = 7};
    static const uint8_t nothing[PV_STATEMENT_MAX];
    struct pv_made made;
    assert_ok(begin());
    assert_ok(make_key());
    assert_ok(grant(&made));
    const size_t body = made.len - PV_SIGN_LEN;
    assert_ok(sign(made.raw, body));
    /* Every part of it, and what is behind it. */
    for (size_t len = 0; len <= made.len; len++)
        if (len != body)
            assert_int_equal(sign(made.raw, len), PV_ERR_MALFORMED);
    assert_int_equal(sign(nothing, sizeof(nothing)), PV_ERR_MALFORMED);
    assert_int_equal(sign("p2pvpn receipt v1", 17), PV_ERR_MALFORMED);
    made.raw[0] = 2;
    assert_int_equal(sign(made.raw, body), PV_ERR_MALFORMED);
    /* In the name of another key. */
    pv_sign_keypair(seed, other_sk, pk);
    assert_ok(pv_make_admin(network, pv_signer_sk(other_sk), &admin, &made));
    assert_int_equal(sign(made.raw, body), PV_ERR_REFUSED);
    /* A node's own word. */
    assert_ok(pv_make_leave(network, other_sk, 1, 7, &made));
    memcpy(made.raw + 2 + PV_NETWORK_ID_LEN, key.pk, sizeof(key.pk));
    assert_int_equal(sign(made.raw, made.len - PV_SIGN_LEN), PV_ERR_REFUSED);
}

/* --- import ----------------------------------------------------------------------------------- */

/* Nines, sealed with a key of ones. */
static struct pv_job_root sealed(void)
{
    struct pv_job_root want = {.import = true};
    uint8_t seed[PV_SIGN_SEED_LEN];
    memset(seed, 9, sizeof(seed));
    memset(want.key, 1, sizeof(want.key));
    pv_paperkey_seal(want.box, want.key, seed);
    pk_of_nines(want.pk);
    return want;
}

PV_TEST(an_imported_key_must_be_that_of_the_network)
{
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_job_root want = sealed();
    assert_ok(begin());
    want.key[0] ^= 1;
    assert_int_equal(pv_keeper_have(keeper, &want, pk, error), PV_ERR_AUTH);
    want = sealed();
    want.pk[0] ^= 1;
    assert_int_equal(pv_keeper_have(keeper, &want, pk, error), PV_ERR_REFUSED);
    assert_false(pv_keeper_key(keeper, &key));
    assert_int_equal(mode_of(path), 0xffff);
    want = sealed();
    assert_ok(pv_keeper_have(keeper, &want, pk, error));
    assert_memory_equal(pk, want.pk, sizeof(pk));
    assert_int_equal(mode_of(path), 0);
    assert_ok(pv_keeper_have(keeper, &want, pk, error)); /* once more */
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, want.pk, sizeof(pk));
}

PV_TEST(a_key_is_not_replaced_by_another)
{
    uint8_t first[PV_SIGN_PK_LEN], pk[PV_SIGN_PK_LEN];
    const struct pv_job_root want = sealed();
    assert_ok(begin());
    assert_ok(make_key());
    memcpy(first, key.pk, sizeof(first));
    assert_int_equal(pv_keeper_have(keeper, &want, pk, error), PV_ERR_EXISTS);
    assert_ok(again());
    assert_true(pv_keeper_key(keeper, &key));
    assert_memory_equal(key.pk, first, sizeof(first));
}

/* An intruder who may write in the directory has the file that becomes the key open beforehand. */
PV_TEST(nobody_has_the_file_open_that_the_key_is_written_to)
{
    char text[64];
    int fd = open(PV_STR("%s.tmp", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(begin());
    assert_ok(make_key());
    assert_int_equal(pread(fd, text, sizeof(text), 0), 0);
    close(fd);
}

PV_TEST(a_forgotten_key_is_gone)
{
    struct pv_made made;
    assert_ok(begin());
    assert_ok(make_key());
    assert_ok(pv_keeper_forget(keeper, error));
    assert_int_equal(mode_of(path), 0xffff);
    assert_int_equal(grant(&made), PV_ERR_NOT_FOUND);
    assert_ok(again());
    assert_false(pv_keeper_key(keeper, &key));
}

PV_TEST(a_second_directory_is_refused)
{
    const struct pv_sandbox_user self = {.uid = geteuid(), .gid = getegid()};
    assert_ok(begin());
    assert_int_equal(pv_keeper_open(keeper, "/etc", &self, &exposed, error), PV_ERR_STATE);
}

/* A daemon that was taken over can give its end to a process that stays, and would have what signs
 * for the network for good. */
static void end_daemon(void (*before)(void))
{
    int out[2];
    pid_t stays = 0;
    assert_int_equal(pipe(out), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        dup2(out[1], STDERR_FILENO); /* the keeper has the standard streams, and nothing else */
        close(out[1]);
        if (pv_keeper_start(&keeper) != PV_OK)
            _exit(1);
        if (before != NULL)
            before();
        stays = fork();
        if (stays == 0)
            close(STDERR_FILENO);
        else
            (void)!write(STDERR_FILENO, &stays, sizeof(stays));
        for (;;)
            pause();
    }
    close(out[1]);
    assert_int_equal(read(out[0], &stays, sizeof(stays)), sizeof(stays));
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    struct pollfd p = {.fd = out[0], .events = POLLIN};
    int ended = poll(&p, 1, 20000);
    kill(stays, SIGKILL);
    close(out[0]);
    assert_int_equal(ended, 1);
}

PV_TEST(it_ends_with_the_daemon_whoever_has_the_socket)
{
    end_daemon(NULL);
}

/* Asks and reads no answer, until neither has a place any more. */
static void ask_without_end(void)
{
    int type = 0, fd = 3;
    socklen_t len = sizeof(type);
    while (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
        fd++;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (poll(&p, 1, 1000) == 1 && send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
    }
}

PV_TEST(it_ends_with_the_daemon_also_when_nobody_reads_its_answers)
{
    end_daemon(ask_without_end);
}
