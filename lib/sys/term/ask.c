/* SPDX-License-Identifier: MIT */
/* ask.c - turns the terminal's echo off for one line, and on again whatever happens. */
#include "sys/term/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "crypto/ct.h"

/* Reads up to the end of a line. signals: a descriptor that tells of blocked signals. *ret_signal
 * is the signal that came, 0 = none. */
static int read_line(int tty, int signals, char *buf, size_t cap, int *ret_signal)
{
    struct pollfd fds[] = {{.fd = tty, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;
    size_t n = 0;

    *ret_signal = 0;
    for (;;) {
        char c;
        if (poll(fds, 2, -1) < 0)
            return -errno;
        if (fds[1].revents != 0) {
            if (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                *ret_signal = (int)info.ssi_signo;
            return -EINTR;
        }
        ssize_t got = read(tty, &c, 1);
        if (got < 0)
            return -errno;
        if (got == 0)
            return PV_ERR_TRUNCATED;
        if (c == '\n')
            break;
        if (n + 1 >= cap)
            return PV_ERR_NO_SPACE;
        buf[n++] = c;
    }
    buf[n] = '\0';
    return PV_OK;
}

/* Those by which a person or a closing terminal ends a process; blocked while the echo is off. */
static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTSTP);
    return set;
}

int pv_ask_secret(const char *prompt, char *buf, size_t cap)
{
    sigset_t set = ending_signals(), before;
    struct termios shown, hidden;
    int signo = 0, r = PV_OK;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    if (tty < 0)
        return PV_ERR_NOT_FOUND;
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0 || tcgetattr(tty, &shown) < 0) {
        r = -errno;
        close(tty);
        if (signals >= 0)
            close(signals);
        return r;
    }
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    /* The end of the line is shown, so that what follows begins on a line of its own. */
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    hidden.c_lflag |= ECHONL;
    if (tcsetattr(tty, TCSAFLUSH, &hidden) < 0 || write(tty, prompt, strlen(prompt)) < 0)
        r = -errno;
    if (r == PV_OK)
        r = read_line(tty, signals, buf, cap, &signo);
    /* The rest of a line that was too long is dropped with it, not taken for the next answer. */
    (void)tcsetattr(tty, TCSAFLUSH, &shown);
    close(tty);
    close(signals);
    if (r != PV_OK)
        pv_wipe(buf, cap);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    /* It was taken from the queue: given again, it does what the process has it do. */
    if (signo != 0)
        (void)raise(signo);
    return r;
}
