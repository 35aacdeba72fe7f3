/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities, no_new_privs and a seccomp filter of the process that serves. */
#include "fs/mount/harden.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/auto.h"

#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

/*
 * To serve files of every owner: CHOWN to SYS_ADMIN's left. SYS_ADMIN unmounts when the supervisor has died (the filter leaves
 * nothing else of mount(2)'s kin), IPC_LOCK keeps keys out of swap, SYS_NICE lets a lock go before all that keep the machine
 * busy (beside 8 busy processes on two processors in 43 to 66 ms instead of 139 to 307). None that lets one take blocks kept for
 * root by a quota or a limit (SYS_RESOURCE), load code into the kernel, or reach into other processes.
 */
static const unsigned kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
				CAP_FSETID, CAP_SYS_ADMIN,    CAP_IPC_LOCK,        CAP_SYS_NICE};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		mask |= UINT64_C(1) << kept[i];
	return mask;
}

/* The bounding set first: it needs SETPCAP. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	const uint64_t mask = kept_mask();
	int r = 0;

	for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			r = -errno;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective &= (uint32_t)(mask >> 32 * i);
		data[i].permitted &= (uint32_t)(mask >> 32 * i);
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : r;
}

#ifdef HAVE_SECCOMP
/*
 * A list of what is refused and not of what is allowed: libraries of a KMS make calls that nobody here can list, and a call that is
 * missed in an allow list is an I/O error of somebody's backup. umount2 stays, see above.
 */
static const char *const refused[] = {
	"execve",
	"execveat",
	"ptrace",
	"process_vm_readv",
	"process_vm_writev",
	"kcmp",
	"pidfd_getfd",
	"mount",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"pivot_root",
	"chroot",
	"setns",
	"unshare",
	"kexec_load",
	"kexec_file_load",
	"init_module",
	"finit_module",
	"delete_module",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"open_by_handle_at",
	"name_to_handle_at",
	"add_key",
	"request_key",
	"keyctl",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"syslog",
	"iopl",
	"ioperm",
	"settimeofday",
	"clock_settime",
	"adjtimex",
	"clock_adjtime",
	"sethostname",
	"setdomainname",
	"personality",
	"vhangup",
	"lookup_dcookie",
	"nfsservctl",
	"uselib",
	"io_uring_setup",
	"fanotify_init",
	"mknod",
	"mknodat",
	"setuid",
	"setreuid",
	"setresuid",
	"setgid",
	"setregid",
	"setresgid",
	"setgroups",
};

static int filter_load(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(refused); i++) {
		int call = seccomp_syscall_resolve_name(refused[i]);

		/* not known to this library, or not there on this processor */
		if (call != __NR_SCMP_ERROR)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0);
		if (r == -EDOM)
			r = 0;
	}
	if (!r)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}
#else
static int filter_load(void)
{
	return -ENOSYS;
}
#endif

void harden_worker(void (*log)(int priority, const char *text))
{
	char text[200];

	if (geteuid() != 0)
		return;
	int nnp = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
	int caps = drop_capabilities();
	int filter = filter_load();
	if (!(nnp || caps || filter) || !log)
		return;
	snprintf(text, sizeof(text), "less hardened than it could be: no_new_privs %s, capabilities %s, seccomp %s",
		 nnp ? strerror(-nnp) : "ok", caps ? strerror(-caps) : "ok", filter ? strerror(-filter) : "ok");
	log(LOG_NOTICE, text);
}
