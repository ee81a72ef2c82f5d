/*
 * PID 1 of a machine that is started only to say how it was started. It prints the files that the
 * test wants to see and powers off; with `test=hang` on the command line it opens the watchdog and
 * then never speaks again. No C library: a static program of a few kilobytes, from the compiler
 * that builds the kernel.
 */
#define NULL ((void *)0)

typedef unsigned long word;

enum call {
	IOCTL = 29, MOUNT = 40, OPENAT = 56, CLOSE = 57, GETDENTS = 61, READ = 63, WRITE = 64,
	NANOSLEEP = 101, REBOOT = 142,
};
enum { AT_FDCWD = -100, WRONLY = 1, DIRECTORY = 0x4000 };
#define POWER_OFF 0x4321fedcUL
#define WATCHDOG_SET_TIMEOUT 0xc0045706UL

static long call(enum call number, word a, word b, word c, word d, word e)
{
	register word x8 __asm__("x8") = number;
	register word x0 __asm__("x0") = a;
	register word x1 __asm__("x1") = b;
	register word x2 __asm__("x2") = c;
	register word x3 __asm__("x3") = d;
	register word x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return (long)x0;
}

static word length(const char *text)
{
	word n = 0;

	while (text[n])
		n++;
	return n;
}

static void say_bytes(const char *bytes, word count)
{
	while (count) {
		long written = call(WRITE, 1, (word)bytes, count, 0, 0);

		if (written <= 0)
			return;
		bytes += written;
		count -= (word)written;
	}
}

static void say(const char *text)
{
	say_bytes(text, length(text));
}

static long open_file(const char *path, word flags)
{
	return call(OPENAT, (word)AT_FDCWD, (word)path, flags, 0, 0);
}

static char buffer[65536];

/* Framed so that messages of the kernel between the lines are not taken for content. */
static long show(const char *path)
{
	long file = open_file(path, 0), count;

	if (file < 0)
		return file;
	count = call(READ, (word)file, (word)buffer, sizeof(buffer) - 1, 0, 0);
	call(CLOSE, (word)file, 0, 0, 0, 0);
	if (count < 0)
		return count;
	buffer[count] = 0;
	say("\n@@ ");
	say(path);
	say("\n");
	say_bytes(buffer, (word)count);
	say("\n@@ end\n");
	return count;
}

static const char *const shown[] = {
	"/proc/sys/kernel/osrelease", "/proc/version", "/proc/cmdline", "/proc/mounts",
	"/proc/filesystems", "/proc/modules", "/proc/irq/default_smp_affinity",
	"/sys/kernel/realtime", "/sys/devices/system/cpu/online",
	"/sys/devices/system/cpu/isolated", "/sys/devices/system/cpu/nohz_full",
	"/sys/devices/system/clocksource/clocksource0/current_clocksource",
	"/sys/class/watchdog/watchdog0/identity", "/sys/class/rtc/rtc0/name", NULL,
};

static void show_irqs(void)
{
	static char names[16384];
	long folder = open_file("/proc/irq", DIRECTORY), count;

	while ((count = call(GETDENTS, (word)folder, (word)names, sizeof(names), 0, 0)) > 0)
		for (long at = 0; at < count; at += *(unsigned short *)(names + at + 16)) {
			static char path[128];
			const char *parts[] = { "/proc/irq/", names + at + 19, "/effective_affinity_list" };
			word n = 0;

			for (int i = 0; i < 3; i++)
				for (word j = 0; parts[i][j] && n < sizeof(path) - 1; j++)
					path[n++] = parts[i][j];
			path[n] = 0;
			show(path);
		}
}

static int is_to_hang(void)
{
	static const char wanted[] = "test=hang";

	for (word at = 0; buffer[at]; at++) {
		word n = 0;

		while (wanted[n] && buffer[at + n] == wanted[n])
			n++;
		if (!wanted[n])
			return 1;
	}
	return 0;
}

static void hang(void)
{
	long watchdog = open_file("/dev/watchdog", WRONLY);
	int timeout_s = 4;
	word hour[2] = { 3600, 0 };

	say(watchdog < 0 ? "no watchdog\n" : "watchdog opened\n");
	call(IOCTL, (word)watchdog, WATCHDOG_SET_TIMEOUT, (word)&timeout_s, 0, 0);
	/* Closing it must not stop it: the kernel is built so. */
	call(CLOSE, (word)watchdog, 0, 0, 0, 0);
	for (;;)
		call(NANOSLEEP, (word)hour, 0, 0, 0, 0);
}

void _start(void)
{
	call(MOUNT, (word)"proc", (word)"/proc", (word)"proc", 0, 0);
	call(MOUNT, (word)"sysfs", (word)"/sys", (word)"sysfs", 0, 0);
	for (int i = 0; shown[i]; i++)
		show(shown[i]);
	show_irqs();
	show("/proc/cmdline");
	if (is_to_hang())
		hang();
	say("\n@@ all said\n");
	call(REBOOT, 0xfee1deadUL, 0x28121969UL, POWER_OFF, 0, 0);
	for (;;)
		;
}
