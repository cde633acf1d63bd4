/* flock, fcntl locks, locks of open file descriptions; signals while waiting. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct flock region(short type, off_t start, off_t len)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET,
		               .l_start = start, .l_len = len };
}

static int set(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = region(type, start, len);

	return fcntl(fd, cmd, &l);
}

/* In another process: may it lock? 0 or the error. */
static int try_shared(void)
{
	return flock(open("f", O_RDONLY), LOCK_SH | LOCK_NB) ? errno : 0;
}

static int try_exclusive(void)
{
	return flock(open("f", O_RDONLY), LOCK_EX | LOCK_NB) ? errno : 0;
}

static int try_read(void)
{
	return set(open("f", O_RDWR), F_SETLK, F_RDLCK, 0, 10) ? errno : 0;
}

static int try_write(void)
{
	return set(open("f", O_RDWR), F_SETLK, F_WRLCK, 5, 10) ? errno : 0;
}

static int try_write_far(void)
{
	return set(open("f", O_RDWR), F_SETLK, F_WRLCK, 1000, 0) ? errno : 0;
}

static void try_all(void)
{
	reap("flock sh", spawn(try_shared));
	reap("flock ex", spawn(try_exclusive));
	reap("read lock 0..9", spawn(try_read));
	reap("write lock 5..14", spawn(try_write));
	reap("write lock 1000..", spawn(try_write_far));
}

static void whole_file(void)
{
	int a, b, c, d;

	file("f", "x");
	a = open("f", O_RDONLY);
	b = open("f", O_RDWR);
	OK(flock(a, LOCK_SH));
	try_all();
	OK(flock(b, LOCK_SH | LOCK_NB));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(flock(a, LOCK_UN));
	OK(flock(b, LOCK_EX | LOCK_NB));
	OK(flock(a, LOCK_SH | LOCK_NB));
	try_all();
	c = dup(b);
	OK(close(b));
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(flock(c, LOCK_UN));
	OK(flock(a, LOCK_EX | LOCK_NB));
	OK(flock(a, 0));
	OK(flock(a, 99));
	OK(flock(-1, LOCK_SH));
	d = open(".", O_RDONLY);
	OK(flock(d, LOCK_EX | LOCK_NB));
	OK(close(c));
	OK(close(a));
	try_all();
	OK(unlink("f"));
	OK(close(d));
}

static void say_lock(const char *what, int fd, int cmd, short type, off_t start,
                     off_t len)
{
	struct flock l = region(type, start, len);

	if (fcntl(fd, cmd, &l))
		step(what, -1);
	else
		say(what, "%d %jd %jd", l.l_type, (intmax_t)l.l_start,
		    (intmax_t)l.l_len);
}

static int look(void)
{
	int fd = open("f", O_RDWR);

	say_lock("getlk w 0", fd, F_GETLK, F_WRLCK, 0, 0);
	say_lock("getlk r 0", fd, F_GETLK, F_RDLCK, 0, 0);
	say_lock("getlk w 12 4", fd, F_GETLK, F_WRLCK, 12, 4);
	say_lock("getlk w 100", fd, F_GETLK, F_WRLCK, 100, 0);
	return 0;
}

static void regions(void)
{
	int fd, r, w, again;

	file("f", "0123456789");
	fd = open("f", O_RDWR);
	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	OK(set(fd, F_SETLK, F_WRLCK, 0, 10));
	OK(set(fd, F_SETLK, F_RDLCK, 10, 10));
	try_all();
	reap("look", spawn(look));
	OK(set(fd, F_SETLK, F_UNLCK, 5, 10));
	reap("look", spawn(look));
	try_all();
	OK(set(fd, F_SETLK, F_WRLCK, 0, 0));
	OK(set(fd, F_SETLK, F_UNLCK, 3, 1));
	reap("look", spawn(look));
	OK(set(r, F_SETLK, F_WRLCK, 0, 1));
	OK(set(w, F_SETLK, F_RDLCK, 0, 1));
	OK(set(fd, F_SETLK, F_WRLCK, -1, 1));
	OK(set(fd, F_SETLK, F_WRLCK, 5, -3));
	OK(set(fd, F_SETLK, 77, 0, 1));
	OK(set(-1, F_SETLK, F_RDLCK, 0, 1));
	/* Any close of the file ends the process's locks on it. */
	again = open("f", O_RDONLY);
	OK(close(again));
	try_all();
	OK(close(fd));
	OK(close(r));
	OK(close(w));
}

static void descriptions(void)
{
	int a, b;

	file("f", "x");
	a = open("f", O_RDWR);
	b = open("f", O_RDWR);
	OK(set(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	OK(set(b, F_OFD_SETLK, F_WRLCK, 5, 10));
	OK(set(b, F_OFD_SETLK, F_RDLCK, 10, 10));
	say_lock("ofd getlk", b, F_OFD_GETLK, F_WRLCK, 0, 0);
	OK(set(b, F_SETLK, F_WRLCK, 0, 1));
	try_all();
	OK(close(a));
	OK(set(b, F_OFD_SETLK, F_WRLCK, 0, 10));
	OK(close(b));
	try_all();
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void wake_after(long ms)
{
	struct sigaction a = { .sa_handler = on_alarm };
	timer_t timer;
	struct itimerspec t = { .it_value = { 0, ms * 1000000 } };

	sigaction(SIGALRM, &a, NULL);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	timer_settime(timer, 0, &t, NULL);
}

/* The waiting child must not hold the description that it waits for. */
static int held = -1;

static int wait_flock(void)
{
	close(held);
	return flock(open("f", O_RDONLY), LOCK_EX) ? errno : 0;
}

static int wait_region(void)
{
	return set(open("f", O_RDWR), F_SETLKW, F_WRLCK, 0, 1) ? errno : 0;
}

static int wait_flock_alarm(void)
{
	wake_after(100);
	return wait_flock();
}

static int wait_region_alarm(void)
{
	wake_after(100);
	return wait_region();
}

static void waiting(void)
{
	int fd;
	pid_t a, b;

	file("f", "x");
	held = fd = open("f", O_RDWR);
	OK(flock(fd, LOCK_EX));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 1));
	reap("flock, a signal", spawn(wait_flock_alarm));
	reap("region, a signal", spawn(wait_region_alarm));
	a = spawn(wait_flock);
	b = spawn(wait_region);
	pause_ms(150);
	/* Other calls go on meanwhile. */
	C(pwrite(fd, "y", 1, 0));
	OK(mkdir("d", 0755));
	content("f");
	kill(a, 0);
	OK(flock(fd, LOCK_UN));
	reap("flock after the release", a);
	OK(set(fd, F_SETLK, F_UNLCK, 0, 1));
	reap("region after the release", b);
	OK(flock(fd, LOCK_EX));
	a = spawn(wait_flock);
	pause_ms(100);
	kill(a, SIGKILL);
	reap("killed while waiting", a);
	a = spawn(wait_flock);
	pause_ms(100);
	OK(close(fd));
	reap("flock after the close", a);
}

/* Takes the byte at `at`, and then waits for the first. */
static int and_first(int cmd, off_t at)
{
	int fd = open("f", O_RDWR);

	if (set(fd, cmd, F_WRLCK, at, 1))
		return errno;
	return set(fd, F_SETLKW, F_WRLCK, 0, 1) ? errno : 0;
}

/* Each waits for what the other holds; the signal is for one that is not told. */
static int second(void)
{
	return and_first(F_SETLK, 1);
}

static void deadlock(void)
{
	int fd;
	pid_t pid;

	file("f", "x");
	fd = open("f", O_RDWR);
	OK(set(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = spawn(second);
	pause_ms(200);
	wake_after(900);
	OK(set(fd, F_SETLKW, F_WRLCK, 1, 1));
	OK(close(fd));
	reap("the second", pid);
}

/* Who gave up what the other waits for may wait for the other: no deadlock. */
static int handed(void)
{
	return and_first(F_SETLKW, 1);
}

static void handed_on(void)
{
	int fd;

	file("f", "x");
	fd = open("f", O_RDWR);
	for (int i = 0; i < fewer(10); i++) {
		pid_t pid;

		OK(set(fd, F_SETLK, F_WRLCK, 0, 1));
		pid = spawn(handed);
		pause_ms(30);
		/* To a read lock and to none: both let the other go on. */
		OK(set(fd, F_SETLK, i % 2 ? F_UNLCK : F_RDLCK, 0, 1));
		OK(set(fd, F_SETLK, F_UNLCK, 0, 1));
		OK(set(fd, F_SETLKW, F_WRLCK, 1, 1));
		OK(set(fd, F_SETLK, F_UNLCK, 1, 1));
		reap("who it was handed to", pid);
	}
	OK(close(fd));
}

/* Three in a ring, over two files. */
static int ring_second(void)
{
	int f = open("f", O_RDWR), g = open("g", O_RDWR);

	if (set(g, F_SETLK, F_WRLCK, 0, 0))
		return errno;
	return set(f, F_SETLKW, F_WRLCK, 5, 1) ? errno : 0;
}

static int ring_third(void)
{
	return and_first(F_SETLK, 5);
}

static void deadlock_ring(void)
{
	pid_t a, b;
	int f, g;

	file("f", "x");
	file("g", "x");
	f = open("f", O_RDWR);
	g = open("g", O_RDWR);
	OK(set(f, F_SETLK, F_WRLCK, 0, 1));
	a = spawn(ring_second);
	pause_ms(200);
	b = spawn(ring_third);
	pause_ms(300);
	wake_after(900);
	OK(set(g, F_SETLKW, F_WRLCK, 7, 1));
	/* No deadlock: nobody who is in the way waits for us. */
	OK(set(f, F_SETLK, F_UNLCK, 0, 1));
	reap("the third", b);
	reap("the second", a);
	OK(set(g, F_SETLKW, F_WRLCK, 7, 1));
	OK(close(f));
	OK(close(g));
}

/* Four processes add a line each, a hundred times in all, under a lock. */
static int append_locked(void)
{
	for (int i = 0; i < fewer(25); i++) {
		int fd = open("log", O_RDWR | O_CREAT, 0644);
		off_t end;

		if (fd < 0 || flock(fd, LOCK_EX))
			return errno;
		end = lseek(fd, 0, SEEK_END);
		if (pwrite(fd, "line\n", 5, end) != 5 || flock(fd, LOCK_UN) ||
		    close(fd))
			return errno;
	}
	return 0;
}

static int append_unlocked(void)
{
	int fd = open("log2", O_WRONLY | O_APPEND | O_CREAT, 0644);

	for (int i = 0; i < fewer(100); i++)
		if (write(fd, "line\n", 5) != 5)
			return errno;
	return close(fd) ? errno : 0;
}

static void contended(void)
{
	pid_t p[8];

	for (int i = 0; i < 8; i++)
		p[i] = spawn(i < 4 ? append_locked : append_unlocked);
	for (int i = 0; i < 8; i++)
		reap("appender", p[i]);
	stat_of("log");
	stat_of("log2");
	content("log");
	content("log2");
}

const struct posix_case cases_locks[] = {
	{ "flock", whole_file, AT_ALL },
	{ "fcntl_locks", regions, AT_ALL },
	{ "ofd_locks", descriptions, 0 },
	{ "lock_waiting", waiting, 0 },
	{ "lock_deadlock", deadlock, 0 },
	{ "lock_handed_on", handed_on, 0 },
	{ "lock_deadlock_ring", deadlock_ring, 0 },
	{ "lock_contended", contended, AT_ALL },
	{ NULL, NULL, 0 },
};
