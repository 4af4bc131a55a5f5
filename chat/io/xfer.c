/* SPDX-License-Identifier: MIT */
/* One transfer of a file, both sides: asking, answering, chunks, the hash of
 * the whole at the end, and going on where a transfer was cut off.
 */
#include "chat/io/xfer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "sys/file/file.h"
#include "sys/helper/source.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"
#include "sys/proc/event.h"

#define DRAIN_TIME PV_S(5) /* for the other side to read why we stopped */

int pv_xfer_init(struct pv_xfer *x)
{
    atomic_store(&x->done, 0);
    atomic_store(&x->wants, false);
    atomic_store(&x->given, -1);
    x->came_fd = -1;
    int r = pv_event_open(&x->cancel_fd);
    return r < 0 ? r : pv_event_open(&x->came_fd);
}

void pv_xfer_give(struct pv_xfer *x, int fd)
{
    atomic_store(&x->given, fd);
    pv_event_raise(x->came_fd);
}

void pv_xfer_cancel(struct pv_xfer *x)
{
    /* The event stays raised: each later wait of the transfer ends at once, too. */
    pv_event_raise(x->cancel_fd);
}

void pv_xfer_done(struct pv_xfer *x)
{
    const int fds[] = {x->sock, x->file, x->cancel_fd, x->came_fd, atomic_load(&x->given)};
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pv_wipe(&x->proof, sizeof(x->proof));
}

void pv_xfer_name(uint32_t number, const uint8_t id[static PV_FILE_ID_LEN], bool part,
                  char buf[static PV_XFER_NAME_BUF])
{
    struct pv_text name = pv_text_in(buf, PV_XFER_NAME_BUF);
    pv_text_add(&name, "%lu-", (unsigned long)number);
    for (size_t i = 0; i < 8; i++)
        pv_text_add(&name, "%02x", id[i]);
    pv_text_add(&name, "%s", part ? ".part" : "");
}

/* --- the socket ---------------------------------------------------------------------------- */

/* fd is ready for events, or the transfer is over: PV_ERR_TIMEOUT, PV_ERR_CLOSED (cancelled). */
static int wait_for_fd(const struct pv_xfer *x, int fd, short events, unsigned seconds)
{
    const pv_ns until = pv_clock_now() + PV_S(seconds);
    struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = x->cancel_fd, .events = POLLIN}};
    for (;;) {
        int n = poll(p, 2, pv_poll_ms(until, pv_clock_now()));
        if (n == 0)
            return PV_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
        /* The cancel counts more than data: a fast sender could keep the transfer going for
         * ever. */
        if (n > 0)
            return p[1].revents != 0 ? PV_ERR_CLOSED : PV_OK;
    }
}

static int wait_for(const struct pv_xfer *x, short events, unsigned seconds)
{
    return wait_for_fd(x, x->sock, events, seconds);
}

static bool is_cancelled(const struct pv_xfer *x)
{
    struct pollfd p = {.fd = x->cancel_fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* The socket does not block, so that a user's cancel and the time limit end a wait. */
static int send_all(const struct pv_xfer *x, const void *data, size_t len)
{
    struct pv_view v = pv_view(data, len);
    while (v.len > 0) {
        size_t n = 0;
        int r = pv_stream_write(x->sock, v, &n);
        if (r == PV_ERR_AGAIN)
            r = wait_for(x, POLLOUT, PV_XFER_IDLE_S);
        if (r < 0)
            return r;
        v = pv_view(v.ptr + n, v.len - n);
    }
    return PV_OK;
}

static int recv_from(const struct pv_xfer *x, int fd, void *buf, size_t len, unsigned seconds)
{
    size_t got = 0;
    while (got < len) {
        size_t n = 0;
        int r = pv_stream_read(fd, (uint8_t *)buf + got, len - got, &n);
        if (r == PV_ERR_AGAIN)
            r = wait_for_fd(x, fd, POLLIN, seconds);
        if (r < 0)
            return r;
        got += n;
    }
    return PV_OK;
}

static int recv_all(const struct pv_xfer *x, void *buf, size_t len, unsigned seconds)
{
    return recv_from(x, x->sock, buf, len, seconds);
}

/* Why the connection failed. */
static enum pv_file_why lost(const struct pv_xfer *x)
{
    return is_cancelled(x) ? PV_FILE_WHY_STOPPED : PV_FILE_WHY_LOST;
}

/* --- hashing what is there ----------------------------------------------------------------- */

/* The first len bytes of the file in our directory. PV_ERR_TRUNCATED: it is shorter; PV_ERR_CLOSED;
 * -errno; PV_ERR_CRYPTO. */
static int hash_head(struct pv_xfer *x, uint64_t len, uint8_t *buf)
{
    int r = PV_OK;
    for (uint64_t at = 0; at < len && r == PV_OK;) {
        size_t want = len - at < PV_FILE_CHUNK_MAX ? (size_t)(len - at) : PV_FILE_CHUNK_MAX;
        ssize_t n = pread(x->file, buf, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? PV_ERR_TRUNCATED : -errno;
        r = pv_blake2b512_update(x->hash, buf, (size_t)n);
        at += (uint64_t)n;
        if (is_cancelled(x))
            return PV_ERR_CLOSED;
    }
    return r;
}

/* --- the file that is sent ----------------------------------------------------------------- */

/* The socket is empty: nothing but answers comes out of it, and requests are short. */
static int ask_reader(const struct pv_xfer *x, const struct pv_source_request *req)
{
    size_t n = 0;
    int r = pv_stream_write(x->file, pv_view(req, sizeof(*req)), &n);
    return r == PV_OK && n != sizeof(*req) ? PV_ERR_CLOSED : r;
}

/* The next chunk of the range that was asked for; *ret_n 0: the file has ended. PV_ERR_CLOSED:
 * cancelled, or its reader has gone; -EIO. */
static int read_chunk(const struct pv_xfer *x, uint8_t *buf, size_t *ret_n)
{
    uint32_t len = 0;
    int r = recv_from(x, x->file, &len, sizeof(len), PV_XFER_IDLE_S);
    if (r == PV_OK && len > PV_FILE_CHUNK_MAX)
        return -EIO;
    *ret_n = len;
    return r < 0 ? r : recv_from(x, x->file, buf, len, PV_XFER_IDLE_S);
}

/* The part that the receiver has already, hashed. As hash_head(). */
static int hash_sent(const struct pv_xfer *x, struct pv_blake2b512 *hash, uint64_t len,
                     uint8_t *buf)
{
    const struct pv_source_request req = {.what = PV_SOURCE_READ, .len = len};
    int r = len == 0 ? PV_OK : ask_reader(x, &req);
    for (uint64_t at = 0; at < len && r == PV_OK;) {
        size_t n = 0;
        r = read_chunk(x, buf, &n);
        if (r == PV_OK && (n == 0 || n > len - at))
            return PV_ERR_TRUNCATED;
        if (r == PV_OK)
            r = pv_blake2b512_update(hash, buf, n);
        at += n;
    }
    return r;
}

/* --- sending ------------------------------------------------------------------------------- */

/* The file's owner may change it at any time; size, time, device and inode tell a changed file
 * without reading all of it. */
enum change {
    UNCHANGED,
    GROWN, /* as a log grows: the bytes that were offered may be as they were */
    CHANGED,
};

static enum change look_at_file(const struct pv_xfer *x)
{
    const struct pv_source_request req = {.what = PV_SOURCE_INFO};
    struct pv_source_info info;
    if (ask_reader(x, &req) < 0 || recv_from(x, x->file, &info, sizeof(info), PV_XFER_IDLE_S) < 0 ||
        info.is_file == 0 || info.dev != x->op.stamp.dev || info.ino != x->op.stamp.ino)
        return CHANGED;
    if (info.size > x->op.size)
        return GROWN;
    return info.size == x->op.size && info.mtime_ns == x->op.stamp.mtime_ns ? UNCHANGED : CHANGED;
}

/* Are the first bytes of a file that grew still those with this hash, which were sent? The receiver
 * waits meanwhile, and gives up after PV_XFER_IDLE_S: then it goes on where it was. */
static bool begins_as_before(const struct pv_xfer *x, const uint8_t hash[static PV_FILE_HASH_LEN],
                             uint8_t *buf)
{
    struct pv_blake2b512 *again = NULL;
    uint8_t now[PV_FILE_HASH_LEN];
    bool same = pv_blake2b512_new(&again) == PV_OK &&
                hash_sent(x, again, x->op.size, buf) == PV_OK &&
                pv_blake2b512_digest(again, now) == PV_OK && memcmp(now, hash, sizeof(now)) == 0;
    pv_blake2b512_free(again);
    return same;
}

static enum pv_file_why read_failure(int status)
{
    if (status == PV_ERR_TRUNCATED)
        return PV_FILE_WHY_CHANGED;
    return status == PV_ERR_CLOSED ? PV_FILE_WHY_STOPPED : PV_FILE_WHY_UNREADABLE;
}

/* The receiver's last word, when it has said it already. */
static bool early_word(const struct pv_xfer *x, enum pv_file_why *ret_why)
{
    uint8_t word;
    size_t n = 0;
    /* The socket does not block: this look costs nothing when nothing was said. */
    if (pv_stream_read(x->sock, &word, 1, &n) != PV_OK)
        return false;
    *ret_why = word == 0 ? PV_FILE_WHY_LOST : pv_file_why_parse(word);
    return true;
}

/* A length, then bytes, up to the end of the file; over: the receiver wants no more, or is gone.
 * Otherwise why tells what END shall say. */
static enum pv_file_why send_chunks(struct pv_xfer *x, uint8_t *buf, bool *ret_over)
{
    enum pv_file_why why = PV_FILE_WHY_NONE;
    /* A file that grows is read only up to the size that was offered. */
    const struct pv_source_request req = {
        .what = PV_SOURCE_READ, .offset = x->op.offset, .len = x->op.size - x->op.offset};
    int r = req.len == 0 ? PV_OK : ask_reader(x, &req);
    for (uint64_t at = x->op.offset; at < x->op.size;) {
        size_t n = 0;
        if (r == PV_OK)
            r = read_chunk(x, buf + 4, &n);
        if (r < 0)
            return is_cancelled(x) ? PV_FILE_WHY_STOPPED : PV_FILE_WHY_UNREADABLE;
        /* A short file has been cut since it was offered. */
        if (n == 0 || n > x->op.size - at)
            return PV_FILE_WHY_CHANGED;
        pv_store_be32(buf, (uint32_t)n);
        r = send_all(x, buf, n + 4);
        /* The word comes before the error of the send: a receiver that stops closes its side,
         * and its reason says more than EPIPE. */
        bool told = early_word(x, &why);
        if (told || r < 0) {
            *ret_over = true;
            return told ? why : lost(x);
        }
        if (pv_blake2b512_update(x->hash, buf + 4, n) != PV_OK)
            return PV_FILE_WHY_UNREADABLE;
        at += n;
        atomic_store(&x->done, at);
    }
    return PV_FILE_WHY_NONE;
}

static enum pv_file_why send_end(struct pv_xfer *x, enum pv_file_why why, uint8_t *buf)
{
    uint8_t end[4 + PV_FILE_END_LEN] = {0}, word = 0;
    /* The hash covers what was sent, so only the stamp can tell that the file changed behind the
     * reader. */
    const enum change change = why == PV_FILE_WHY_NONE ? look_at_file(x) : CHANGED;
    if (why == PV_FILE_WHY_NONE && pv_blake2b512_digest(x->hash, end + 5) != PV_OK)
        why = PV_FILE_WHY_UNREADABLE;
    if (why == PV_FILE_WHY_NONE &&
        (change == CHANGED || (change == GROWN && !begins_as_before(x, end + 5, buf))))
        why = PV_FILE_WHY_CHANGED;
    end[4] = (uint8_t)why;
    int r = send_all(x, end, sizeof(end));
    if (why != PV_FILE_WHY_NONE)
        return why;
    /* The receiver syncs and renames before it answers, which may take long on a slow disk. */
    if (r == PV_OK)
        r = recv_all(x, &word, 1, PV_XFER_HASH_S);
    if (r < 0)
        return lost(x);
    return pv_file_why_parse(word);
}

static enum pv_file_why serve(struct pv_xfer *x, uint8_t *buf)
{
    uint8_t answer[PV_FILE_ANSWER_LEN], head[PV_FILE_HASH_LEN] = {0};
    enum pv_file_why why = PV_FILE_WHY_NONE;
    bool over = false;
    if (look_at_file(x) == CHANGED)
        why = PV_FILE_WHY_CHANGED;
    int r = why != PV_FILE_WHY_NONE ? PV_OK : hash_sent(x, x->hash, x->op.offset, buf);
    if (r == PV_OK && why == PV_FILE_WHY_NONE)
        r = pv_blake2b512_digest(x->hash, head);
    if (r < 0)
        why = read_failure(r);
    /* The answer is sent in any case, so that the receiver learns the reason. */
    pv_file_answer_build(why, x->op.size, head, answer);
    r = send_all(x, answer, sizeof(answer));
    if (why != PV_FILE_WHY_NONE || r < 0)
        return why != PV_FILE_WHY_NONE ? why : PV_FILE_WHY_LOST;
    why = send_chunks(x, buf, &over);
    return over ? why : send_end(x, why, buf);
}

/* --- receiving ----------------------------------------------------------------------------- */

static enum pv_file_why write_failure(int err)
{
    bool full = err == ENOSPC || err == EDQUOT || err == EFBIG;
    return full ? PV_FILE_WHY_DISK_FULL : PV_FILE_WHY_UNWRITABLE;
}

/* Is there room for all of it, with something left for others? The room is set aside, so that a
 * full disk is found now and not at the end. */
static enum pv_file_why make_room(int fd, uint64_t have, uint64_t size)
{
    struct statvfs fs;
    struct statfs kind;
    struct stat st;
    if (fstatvfs(fd, &fs) != 0 || fstat(fd, &st) != 0)
        return PV_FILE_WHY_UNWRITABLE;
    uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize;
    /* st_blocks counts units of 512 bytes whatever the file system's block size is (inode(7)). */
    uint64_t owned = (uint64_t)st.st_blocks * 512; /* set aside before */
    uint64_t need = size > owned ? size - owned : 0;
    need = need < size - have ? need : size - have; /* there may be holes in what is here */
    if (need > 0 && (uint64_t)fs.f_bavail * fs.f_frsize < need + pv_disk_reserve(total))
        return PV_FILE_WHY_DISK_FULL;
    /* tmpfs would fill all of it with zeros first; what was asked above must do there. */
    if (fstatfs(fd, &kind) == 0 && kind.f_type == TMPFS_MAGIC)
        return PV_FILE_WHY_NONE;
    /* KEEP_SIZE leaves the size alone: it says how much has arrived. A file system without
     * fallocate() is no reason to refuse. */
    if (size > have && fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)have, (off_t)(size - have)) != 0 &&
        errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
        return write_failure(errno);
    return PV_FILE_WHY_NONE;
}

/* A write of nothing without an error would go on for ever, so it counts as a full disk. */
static enum pv_file_why write_all(int fd, const uint8_t *p, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_failure(n < 0 ? errno : ENOSPC);
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return PV_FILE_WHY_NONE;
}

static bool is_zeros(const uint8_t *p, size_t len)
{
    return len > 0 && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* A chunk of zeros becomes a hole, so that a sparse file stays one; the size says all the same how
 * much has arrived. Where the file system has no holes it is written. */
static enum pv_file_why write_chunk(int fd, const uint8_t *p, size_t len, uint64_t at)
{
    /* ext4 makes no hole behind the end of a file, so the size comes first. */
    if (is_zeros(p, len) && ftruncate(fd, (off_t)(at + len)) == 0 &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len) == 0)
        return PV_FILE_WHY_NONE;
    return write_all(fd, p, len, at);
}

/* Chunks up to END, into the file from at on. */
static enum pv_file_why take_chunks(struct pv_xfer *x, uint8_t *buf, uint64_t at)
{
    uint8_t head[4], end[PV_FILE_END_LEN], mine[PV_FILE_HASH_LEN];
    for (;;) {
        if (recv_all(x, head, sizeof(head), PV_XFER_IDLE_S) < 0)
            return lost(x);
        uint32_t len = pv_load_be32(head);
        if (len == 0)
            break;
        /* A sender must not write beyond the size that was accepted. */
        if (len > PV_FILE_CHUNK_MAX || len > x->op.size - at)
            return PV_FILE_WHY_CORRUPT;
        if (recv_all(x, buf, len, PV_XFER_IDLE_S) < 0)
            return lost(x);
        enum pv_file_why why = write_chunk(x->file, buf, len, at);
        if (why != PV_FILE_WHY_NONE)
            return why;
        if (pv_blake2b512_update(x->hash, buf, len) != PV_OK)
            return PV_FILE_WHY_UNWRITABLE;
        at += len;
        atomic_store(&x->done, at);
    }
    if (recv_all(x, end, sizeof(end), PV_XFER_IDLE_S) < 0)
        return lost(x);
    if (end[0] != PV_FILE_WHY_NONE)
        return pv_file_why_parse(end[0]);
    if (pv_blake2b512_digest(x->hash, mine) != PV_OK)
        return PV_FILE_WHY_UNWRITABLE;
    /* Both must hold: a sender could send less than it offered, with a hash that is right. */
    return at == x->op.size && memcmp(mine, end + 1, sizeof(mine)) == 0 ? PV_FILE_WHY_NONE
                                                                        : PV_FILE_WHY_CORRUPT;
}

/* The node makes the connection. It is asked for when the part that is here is hashed: the sender
 * does not wait so long. */
static int connect_to(struct pv_xfer *x)
{
    if (x->sock >= 0)
        return PV_OK;
    atomic_store(&x->wants, true);
    pv_event_raise(x->want_fd);
    int r = wait_for_fd(x, x->came_fd, POLLIN, PV_XFER_CONNECT_S);
    x->sock = atomic_exchange(&x->given, -1);
    return r < 0 ? r : x->sock < 0 ? PV_ERR_CLOSED : PV_OK;
}

/* The part of it that came before, hashed; from the beginning when it cannot be part of this
 * file. */
static enum pv_file_why open_part(struct pv_xfer *x, uint8_t *buf, uint64_t *ret_have)
{
    char name[PV_XFER_NAME_BUF];
    struct stat st;
    pv_xfer_name(x->op.number, x->op.id, true, name);
    /* O_NOFOLLOW: a link in this place must not lead the daemon elsewhere. */
    x->file = openat(x->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (x->file < 0 || fstat(x->file, &st) != 0)
        return write_failure(errno);
    uint64_t have = (uint64_t)st.st_size;
    /* The bytes that are there cannot be a part of this file. */
    if (have > x->op.size) {
        have = 0;
        if (ftruncate(x->file, 0) != 0)
            return write_failure(errno);
    }
    int r = hash_head(x, have, buf);
    *ret_have = have;
    return r == PV_OK           ? PV_FILE_WHY_NONE
           : r == PV_ERR_CLOSED ? PV_FILE_WHY_STOPPED
                                : PV_FILE_WHY_UNWRITABLE;
}

/* The sender's daemon proves itself, and then we; before, the id is told to nobody. */
static int prove(const struct pv_xfer *x)
{
    uint8_t hello[PV_FILE_HELLO_LEN], challenge[PV_FILE_CHALLENGE_LEN], mac[PV_PROOF_MAC_LEN];
    if (!x->proof.wanted)
        return PV_OK;
    pv_file_hello_build(x->proof.nonce, hello);
    int r = send_all(x, hello, sizeof(hello));
    if (r == PV_OK)
        r = recv_all(x, challenge, sizeof(challenge), PV_XFER_IDLE_S);
    if (r < 0)
        return r;
    const struct pv_proof proof = {.key = x->proof.key,
                                   .opener = x->proof.opener,
                                   .acceptor = x->proof.acceptor,
                                   .opener_nonce = x->proof.nonce,
                                   .acceptor_nonce = challenge};
    if (!pv_proof_is_right(&proof, PV_PROOF_FILE_ACCEPTED, challenge + PV_PROOF_NONCE_LEN))
        return PV_ERR_AUTH;
    pv_proof_mac(&proof, PV_PROOF_FILE_OPENED, mac);
    return send_all(x, mac, sizeof(mac));
}

/* The sender has it, and what we have is its beginning. */
static enum pv_file_why ask_sender(struct pv_xfer *x, uint64_t have)
{
    uint8_t get[PV_FILE_GET_LEN], answer[PV_FILE_ANSWER_LEN], mine[PV_FILE_HASH_LEN];
    const uint8_t *theirs;
    enum pv_file_why why;
    uint64_t size;
    pv_file_get_build(x->op.id, have, get);
    if (prove(x) < 0 || send_all(x, get, sizeof(get)) < 0 ||
        recv_all(x, answer, sizeof(answer), PV_XFER_HASH_S) < 0)
        return lost(x);
    if (pv_file_answer_parse(answer, &why, &size, &theirs) != PV_OK)
        return PV_FILE_WHY_LOST;
    if (why != PV_FILE_WHY_NONE)
        return why;
    if (pv_blake2b512_digest(x->hash, mine) != PV_OK)
        return PV_FILE_WHY_UNWRITABLE;
    if (size != x->op.size)
        return PV_FILE_WHY_CHANGED;
    return memcmp(mine, theirs, sizeof(mine)) == 0 ? PV_FILE_WHY_NONE : PV_FILE_WHY_CORRUPT;
}

/* On disk under its final name before anybody is told. */
static enum pv_file_why keep(struct pv_xfer *x)
{
    char part[PV_XFER_NAME_BUF], whole[PV_XFER_NAME_BUF];
    pv_xfer_name(x->op.number, x->op.id, true, part);
    pv_xfer_name(x->op.number, x->op.id, false, whole);
    if (fdatasync(x->file) != 0 || renameat(x->dir, part, x->dir, whole) != 0 || fsync(x->dir) != 0)
        return write_failure(errno);
    return PV_FILE_WHY_NONE;
}

/* Says why and lets the other side read it: closing with unread data would throw the word away. */
static void say(struct pv_xfer *x, enum pv_file_why why, uint8_t *buf)
{
    const uint8_t word = (uint8_t)why;
    const pv_ns until = pv_clock_now() + DRAIN_TIME;
    if (send_all(x, &word, 1) < 0)
        return;
    shutdown(x->sock, SHUT_WR);
    while (pv_clock_now() < until) {
        size_t n = 0;
        int r = pv_stream_read(x->sock, buf, PV_FILE_CHUNK_MAX, &n);
        if (r == PV_ERR_AGAIN)
            r = wait_for(x, POLLIN, 1);
        if (r < 0 && r != PV_ERR_TIMEOUT)
            return;
    }
}

/* It was there already when the last life ended. */
static bool is_kept(const struct pv_xfer *x)
{
    char whole[PV_XFER_NAME_BUF];
    struct stat st;
    pv_xfer_name(x->op.number, x->op.id, false, whole);
    return fstatat(x->dir, whole, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == x->op.size;
}

/* Names in the request the hash of the bytes that this side already has. So a transfer that was cut
 * off goes on where it was, and the sender finds out that the file has changed before a byte moves.
 */
static enum pv_file_why fetch(struct pv_xfer *x, uint8_t *buf)
{
    uint64_t have = 0;
    if (is_kept(x)) {
        atomic_store(&x->done, x->op.size);
        return PV_FILE_WHY_NONE;
    }
    enum pv_file_why why = open_part(x, buf, &have);
    if (why != PV_FILE_WHY_NONE)
        return why;
    atomic_store(&x->done, have);
    if (connect_to(x) < 0)
        return lost(x);
    why = ask_sender(x, have);
    bool answered = why == PV_FILE_WHY_NONE || why == PV_FILE_WHY_CORRUPT;
    if (why == PV_FILE_WHY_NONE)
        why = make_room(x->file, have, x->op.size);
    if (why == PV_FILE_WHY_NONE)
        why = take_chunks(x, buf, have);
    if (why == PV_FILE_WHY_NONE)
        why = keep(x);
    /* The next attempt must not go on behind bytes that are wrong. */
    if (why == PV_FILE_WHY_CORRUPT && ftruncate(x->file, 0) != 0)
        why = PV_FILE_WHY_UNWRITABLE;
    if (answered && why != PV_FILE_WHY_LOST && why != PV_FILE_WHY_CHANGED)
        say(x, why, buf);
    return why;
}

void pv_xfer_run(struct pv_xfer *x)
{
    /* 4 bytes for the length before each chunk, so that both leave in one write. */
    uint8_t *buf = malloc(PV_FILE_CHUNK_MAX + 4);
    if (buf == NULL || pv_blake2b512_new(&x->hash) != PV_OK)
        x->why = PV_FILE_WHY_BUSY;
    else
        x->why = x->op.type == PV_FILEOP_SERVE ? serve(x, buf) : fetch(x, buf);
    x->hash = pv_blake2b512_free(x->hash);
    free(buf);
}
