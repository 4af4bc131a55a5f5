/* SPDX-License-Identifier: MIT */
/* The two secrets of the coordinator on disk. With another coordinator.key the nodes would not know
 * this coordinator any more, so a damaged file is never replaced by a new one. */
#include "coordinator/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "sys/file/file.h"
#include "sys/proc/clock.h"

enum {
    FILE_MAX = 256, /* bytes: a key has 44 with its end of line; editors may add some */
};

static const char key_file[] = PV_COORDKEYS_FILE;
static const char secret_file[] = PV_COORDKEYS_SECRET_FILE;

/* settings.c leaves room for the longest name in the state directory. */
static void key_path(const char *dir, const char *name, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
}

struct pv_reason pv_coordkeys_unwritten(int status)
{
    struct pv_reason reason = {pv_strstatus(status), PV_DO_NOTHING};
    if (status == -ENOSPC || status == -EDQUOT)
        reason.todo = PV_DO(free_disk);
    else if (pv_unless_exhausted(status, "x")[0] != '\0')
        reason.todo = PV_DO(check_directory);
    return reason;
}

/* One attempt. */
static int try_lock(const char *dir, int *ret_lock_fd,
                    char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    char path[PATH_MAX];
    int r = pv_dir_make(dir, 0700);
    if (r < 0) {
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "state directory %.200s: %s%s", dir,
                 pv_strstatus(r), pv_unless_exhausted(r, PV_STR(": %s", PV_DO_STR(as_owner))));
        return r;
    }
    key_path(dir, "lock", path);
    r = pv_file_lock(path, ret_lock_fd);
    if (r == PV_ERR_EXISTS)
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX,
                 "state directory %.200s: in use: another p2pvpn-coordinator runs there: %s", dir,
                 PV_DO_STR(end_lock));
    if (r < 0 && r != PV_ERR_EXISTS) {
        struct pv_reason why = pv_coordkeys_unwritten(r);
        if (r == -EACCES)
            why.todo = PV_DO(as_owner);
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "lock %.200s: %s", path, PV_REASON_STR(why));
    }
    return r;
}

static void nap(void)
{
    const struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
    (void)nanosleep(&moment, NULL);
}

/* The lock is taken before anything is read or made: two coordinators with one key would give two
 * receipts for one place in the log. */
int pv_coordkeys_lock(const char *dir, int *ret_lock_fd,
                      char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    pv_ns end = pv_clock_now() + PV_COORDKEYS_WAIT;
    int r;
    while ((r = try_lock(dir, ret_lock_fd, ret_error)) == PV_ERR_EXISTS && pv_clock_now() < end)
        nap();
    return r;
}

/* A damaged file is never replaced here; what its operator can do depends on what it is. */
static struct pv_reason no_key(const char *name)
{
    return (struct pv_reason){"not a key", strcmp(name, secret_file) == 0 ? PV_DO(restore_url)
                                                                          : PV_DO(restore_key)};
}

/* Reads len bytes in base64url, one line. PV_ERR_NOT_FOUND writes no error, since it means the
 * first start. */
static int read_secret(const char *dir, const char *name, uint8_t *dst, size_t len,
                       char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t text_len = 0;
    size_t got = 0;
    key_path(dir, name, path);
    int r = pv_file_read(path, FILE_MAX, &text, &text_len);
    if (r == PV_ERR_NOT_FOUND)
        return r;
    if (r < 0) {
        struct pv_reason why =
            r == PV_ERR_LIMIT ? no_key(name) : (struct pv_reason){pv_strstatus(r), PV_DO_NOTHING};
        if (r == -EACCES)
            why.todo = PV_DO(ask_as_owner);
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "read %.200s: %s", path, PV_REASON_STR(why));
        return r;
    }
    r = pv_b64url_decode(text, strcspn(text, "\r\n"), dst, len, &got);
    if (r < 0 || got != len) {
        r = PV_ERR_MALFORMED;
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "read %.200s: %s", path,
                 PV_REASON_STR(no_key(name)));
    }
    pv_file_free(text, text_len);
    return r;
}

/* The text is as secret as the bytes, and wiped with them. */
static int write_secret(const char *dir, const char *name, const uint8_t *src, size_t len,
                        char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    char path[PATH_MAX];
    char text[PV_KEY_TEXT_BUF + 1];
    key_path(dir, name, path);
    int r = pv_b64url_encode(pv_view(src, len), text, sizeof(text) - 1);
    if (r == PV_OK) {
        size_t n = PV_B64_LEN(len);
        text[n] = '\n';
        r = pv_file_write(path, pv_view(text, n + 1), 0600);
    }
    pv_wipe(text, sizeof(text));
    if (r < 0)
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "write %.200s: %s", path,
                 PV_REASON_STR(pv_coordkeys_unwritten(r)));
    return r;
}

/* A file that is there but wrong is an error even when it could be made. */
static int read_or_make(const char *dir, const char *name, const struct pv_rng *rng, uint8_t *dst,
                        size_t len, char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    int r = read_secret(dir, name, dst, len, ret_error);
    if (r != PV_ERR_NOT_FOUND || rng == NULL)
        return r;
    pv_rng_fill(rng, dst, len);
    return write_secret(dir, name, dst, len, ret_error);
}

/* rng is NULL when the keys are only read. The key pair is made from the seed each time, so the
 * file has nothing that could disagree. */
static int load_keys(const char *dir, const struct pv_rng *rng, struct pv_coordkeys *ret_keys,
                     char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    uint8_t seed[PV_SIGN_SEED_LEN];
    int r = read_or_make(dir, key_file, rng, seed, sizeof(seed), ret_error);
    if (r >= 0)
        r = read_or_make(dir, secret_file, rng, ret_keys->secret, sizeof(ret_keys->secret),
                         ret_error);
    if (r >= 0)
        pv_sign_keypair(seed, ret_keys->sk, ret_keys->pk);
    else
        pv_wipe(ret_keys, sizeof(*ret_keys));
    if (r == PV_ERR_NOT_FOUND)
        snprintf(ret_error, PV_COORDKEYS_ERROR_MAX, "state directory %.200s: no keys there yet",
                 dir);
    pv_wipe(seed, sizeof(seed));
    return r;
}

int pv_coordkeys_read(const char *dir, struct pv_coordkeys *ret_keys,
                      char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    return load_keys(dir, NULL, ret_keys, ret_error);
}

int pv_coordkeys_make(const char *dir, const struct pv_rng *rng, struct pv_coordkeys *ret_keys,
                      char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    return load_keys(dir, rng, ret_keys, ret_error);
}

/* A coordinator that starts for the first time has the lock from before it makes the keys until its
 * end: so keys are looked for at each attempt. */
int pv_coordkeys_get(const char *dir, const struct pv_rng *rng, struct pv_coordkeys *ret_keys,
                     bool *ret_made, char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    pv_ns end = pv_clock_now() + PV_COORDKEYS_WAIT;
    int lock = -1;
    int r = pv_coordkeys_read(dir, ret_keys, ret_error);
    while (r == PV_ERR_NOT_FOUND && (r = try_lock(dir, &lock, ret_error)) == PV_ERR_EXISTS &&
           pv_clock_now() < end) {
        nap();
        r = pv_coordkeys_read(dir, ret_keys, ret_error);
    }
    if (lock < 0)
        return r;
    r = pv_coordkeys_read(dir, ret_keys, ret_error); /* they may have come before the lock */
    *ret_made = r == PV_ERR_NOT_FOUND;
    if (r == PV_ERR_NOT_FOUND)
        r = pv_coordkeys_make(dir, rng, ret_keys, ret_error);
    close(lock);
    return r;
}

int pv_coordkeys_rotate(const char *dir, const struct pv_rng *rng,
                        uint8_t ret_secret[static PV_CTL_SECRET_LEN],
                        char ret_error[static PV_COORDKEYS_ERROR_MAX])
{
    pv_rng_fill(rng, ret_secret, PV_CTL_SECRET_LEN);
    return write_secret(dir, secret_file, ret_secret, PV_CTL_SECRET_LEN, ret_error);
}

bool pv_coordkeys_is_key(struct pv_view text, size_t len)
{
    char line[FILE_MAX];
    uint8_t key[FILE_MAX];
    size_t n = 0;
    if (text.len >= sizeof(line))
        return false;
    memcpy(line, text.ptr, text.len);
    line[text.len] = '\0';
    bool is =
        pv_b64url_decode(line, strcspn(line, "\r\n"), key, sizeof(key), &n) == PV_OK && n == len;
    pv_wipe(line, sizeof(line));
    pv_wipe(key, sizeof(key));
    return is;
}
