/* SPDX-License-Identifier: MIT */
/* This node's keys as files: read, made at the first start, deleted when the user says so. */
#include "daemon/store/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "sys/file/file.h"

static const char identity_file[] = "identity.key", transport_file[] = "transport.key",
                  root_file[] = "root.key";
enum {
    KEY_LINE = PV_KEY_TEXT + 24, /* bytes of a line: a key, a blank, a number, the line's end */
    KEYS_FILE = KEY_LINE * PV_JOB_KEYS,
};

static void key_path(const char *dir, const char *name, char path[static PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
}

typedef int reader(const char *path, size_t max, char **ret_text, size_t *ret_len);

/* The whole file. PV_ERR_NOT_FOUND is no failure: nothing is written to ret_error then. */
static int read_text(const char *path, reader *read, char **ret_text, size_t *ret_len,
                     char ret_error[static PV_JOB_ERROR_MAX])
{
    int r = read(path, KEYS_FILE, ret_text, ret_len);
    if (r == PV_ERR_LIMIT) /* a directory, too */
        snprintf(ret_error, PV_JOB_ERROR_MAX,
                 "read %.120s: not a file of keys: restore it from a backup, or move it away",
                 path);
    else if (r < 0 && r != PV_ERR_NOT_FOUND)
        snprintf(ret_error, PV_JOB_ERROR_MAX, "read %.120s: %s", path, pv_strstatus(r));
    return r;
}

/* Without its identity a node is a new machine to the others. */
static int no_key(const char *path, const char *name, char ret_error[static PV_JOB_ERROR_MAX])
{
    snprintf(
        ret_error, PV_JOB_ERROR_MAX,
        name == identity_file
            ? "read %.120s: not a key: restore it from a backup, or move it away, `sudo p2pvpnctl "
              "leave` and join again"
            : "read %.120s: not a key: restore it from a backup, or move it away to get a new "
              "one",
        path);
    return PV_ERR_MALFORMED;
}

/* PV_ERR_NOT_FOUND as above. */
static int read_key(const char *dir, const char *name, reader *read,
                    uint8_t ret_key[static PV_KEY_LEN], char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    key_path(dir, name, path);
    int r = read_text(path, read, &text, &len, ret_error);
    if (r < 0)
        return r;
    text[strcspn(text, "\r\n")] = '\0';
    if (pv_key_parse(text, ret_key) < 0)
        r = no_key(path, name, ret_error);
    pv_file_free(text, len);
    return r;
}

/* "KEY" of the one in use, "KEY TIME" of another. The line is cut up in place. */
static int take_line(char *line, struct pv_identity *id, size_t *n)
{
    char *number = strchr(line, ' ');
    if (*n == 0)
        return pv_key_parse(line, id->dh_sk);
    if (number == NULL || *n > PV_ARRAY_LEN(id->others))
        return PV_ERR_MALFORMED;
    struct pv_other_key *other = &id->others[*n - 1];
    *number = '\0';
    int r = pv_key_parse(line, other->sk);
    if (r == PV_OK)
        r = pv_u64_parse(number + 1, 0, INT64_MAX, &other->replaced_s);
    other->used = r == PV_OK;
    if (r == PV_OK)
        pv_dh_public(other->sk, other->pk);
    return r;
}

/* PV_ERR_NOT_FOUND as above. */
static int read_transport(const char *dir, struct pv_identity *id,
                          char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t len = 0, n = 0;
    key_path(dir, transport_file, path);
    int r = read_text(path, pv_file_read, &text, &len, ret_error);
    if (r < 0)
        return r;
    for (char *line = text, *end; r == PV_OK && *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        if (*end != '\0')
            *end++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        r = take_line(line, id, &n);
        n++;
    }
    if (r < 0 || n == 0)
        r = no_key(path, transport_file, ret_error);
    pv_file_free(text, len);
    return r;
}

/* By a temporary file and a rename (pv_file_write()): a power cut leaves the old key or the new
 * one. */
static int write_key(const char *dir, const char *name, const uint8_t key[static PV_KEY_LEN],
                     unsigned mode, char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX], text[PV_KEY_TEXT_BUF + 1];
    key_path(dir, name, path);
    pv_key_format(key, text);
    text[PV_KEY_TEXT] = '\n';
    int r = pv_file_write(path, pv_view(text, PV_KEY_TEXT + 1), mode);
    pv_wipe(text, sizeof(text));
    if (r < 0)
        snprintf(ret_error, PV_JOB_ERROR_MAX, "write %.120s: %s%s", path, pv_strstatus(r),
                 r == -ENOSPC ? ": free some space" : "");
    return r;
}

/* The key in the file, or a new one that is stored before it is used. */
static int read_or_make(const char *dir, const char *name, const struct pv_rng *rng,
                        uint8_t ret_key[static PV_KEY_LEN], char ret_error[static PV_JOB_ERROR_MAX])
{
    int r = read_key(dir, name, pv_file_read, ret_key, ret_error);
    if (r != PV_ERR_NOT_FOUND)
        return r;
    pv_rng_fill(rng, ret_key, PV_KEY_LEN);
    return write_key(dir, name, ret_key, 0600, ret_error);
}

static int read_or_make_transport(const char *dir, const struct pv_rng *rng, struct pv_identity *id,
                                  char ret_error[static PV_JOB_ERROR_MAX])
{
    int r = read_transport(dir, id, ret_error);
    if (r != PV_ERR_NOT_FOUND)
        return r;
    pv_rng_fill(rng, id->dh_sk, sizeof(id->dh_sk));
    return write_key(dir, transport_file, id->dh_sk, 0600, ret_error);
}

int pv_identity_load(const char *dir, const uint8_t *transport_key, const struct pv_rng *rng,
                     struct pv_identity *ret_identity, char ret_error[static PV_JOB_ERROR_MAX])
{
    struct pv_identity *id = ret_identity;
    uint8_t seed[PV_SIGN_SEED_LEN];
    memset(id, 0, sizeof(*id));
    int r = read_or_make(dir, identity_file, rng, seed, ret_error);
    if (r >= 0)
        pv_sign_keypair(seed, id->sign_sk, id->sign_pk);
    pv_wipe(seed, sizeof(seed));
    if (r >= 0 && transport_key != NULL)
        memcpy(id->dh_sk, transport_key, sizeof(id->dh_sk));
    else if (r >= 0)
        r = read_or_make_transport(dir, rng, id, ret_error);
    if (r >= 0)
        pv_dh_public(id->dh_sk, id->dh_pk);
    if (r < 0)
        pv_wipe(id, sizeof(*id));
    return r;
}

int pv_identity_read_root(const char *dir, uint8_t ret_seed[static PV_KEY_LEN],
                          char ret_error[static PV_JOB_ERROR_MAX])
{
    return read_key(dir, root_file, pv_file_read_here, ret_seed, ret_error);
}

int pv_identity_save_root(const char *dir, const uint8_t seed[static PV_KEY_LEN],
                          char ret_error[static PV_JOB_ERROR_MAX])
{
    return write_key(dir, root_file, seed, 0, ret_error);
}

int pv_identity_root_aside(const char *dir, const uint8_t pk[static PV_SIGN_PK_LEN], bool back,
                           char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX], aside[PATH_MAX];
    key_path(dir, root_file, path);
    pv_job_root_aside(path, pk, aside, sizeof(aside));
    int r = pv_file_rename(back ? aside : path, back ? path : aside);
    if (r < 0)
        snprintf(ret_error, PV_JOB_ERROR_MAX, "move %.120s away: %s%s", path, pv_strstatus(r),
                 r == -ENOENT ? ": restart p2pvpnd, which reads it anew" : "");
    return r;
}

int pv_identity_save_transport(const char *dir, const struct pv_job_keys *keys,
                               char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX], text[KEYS_FILE], key[PV_KEY_TEXT_BUF];
    struct pv_text lines = pv_text_in(text, sizeof(text));
    key_path(dir, transport_file, path);
    for (size_t i = 0; i < keys->n; i++) {
        pv_key_format(keys->keys[i].sk, key);
        pv_text_add(&lines, "%s", key);
        if (i > 0)
            pv_text_add(&lines, " %" PRIu64, keys->keys[i].replaced_s);
        pv_text_add(&lines, "\n");
    }
    int r = pv_file_write(path, pv_view(text, lines.len), 0600);
    pv_wipe(text, sizeof(text));
    pv_wipe(key, sizeof(key));
    if (r < 0)
        snprintf(ret_error, PV_JOB_ERROR_MAX, "write %.120s: %s%s", path, pv_strstatus(r),
                 r == -ENOSPC ? ": free some space" : "");
    return r;
}

/* A file that is gone already is no failure: the user asks for an end, not for a change. */
static int delete_key(const char *dir, const char *name, char ret_error[static PV_JOB_ERROR_MAX])
{
    char path[PATH_MAX];
    key_path(dir, name, path);
    if (unlink(path) == 0 || errno == ENOENT)
        return PV_OK;
    int r = -errno;
    snprintf(ret_error, PV_JOB_ERROR_MAX, "delete %.120s: %s", path, pv_strstatus(r));
    return r;
}

int pv_identity_forget(const char *dir, char ret_error[static PV_JOB_ERROR_MAX])
{
    int r = delete_key(dir, identity_file, ret_error);
    return r < 0 ? r : delete_key(dir, transport_file, ret_error);
}

int pv_identity_forget_root(const char *dir, char ret_error[static PV_JOB_ERROR_MAX])
{
    return delete_key(dir, root_file, ret_error);
}
