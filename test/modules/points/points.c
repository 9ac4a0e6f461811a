/*
 * points.c
 *		What happens at a DURABLE_POINT() of src/.
 *
 * A test arms a point by a file in the data directory, so that it stays armed
 * over a restart of the server, and needs no SQL:
 *
 *		durable_points/<point>@<subject>
 *
 * The subject is the task hub of a worker, "coordinator", "launcher", or the
 * application_name of any other process. The first such process that comes to the
 * point takes the file, by renaming it to <point>@<subject>#<pid>, and does
 * what it says:
 *
 *		pause		waits until the test removes the file, or ends the process (also if it is empty)
 *		learn		the same, and then learns what others have changed in the catalogs, as whoever reads one may; in a transaction
 *		kill		kills itself, so that the server starts again
 *		terminate	ends itself as pg_terminate_backend() does
 *		error		raises an error, if an error may be raised there
 *		witness		from now on writes to the file "witness" whether the commit is durable when its callback is called
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"
#include "utils/inval.h"

#include "points.h"
#include "shmem.h"

#define POINTS_DIRECTORY "durable_points"
#define PAUSE_USECS 1000

/* On whose behalf this process runs; NULL: a worker that has come too late for its slot. */
static const char *
subject(void)
{
	if (MyBgworkerEntry == NULL)
		return application_name;
	if (strcmp(MyBgworkerEntry->bgw_type, "durable worker") == 0)
		return slot_mine() == NULL ? NULL : slot_mine()->hub;
	if (strcmp(MyBgworkerEntry->bgw_type, "durable coordinator") == 0)
		return "coordinator";
	return "launcher";
}

/* The first word of the file: what is to be done. */
static void
read_action(const char *path, char *action, Size size)
{
	int			fd = open(path, O_RDONLY);
	ssize_t		n = fd < 0 ? -1 : read(fd, action, size - 1);

	if (fd >= 0)
		close(fd);
	action[Max(n, 0)] = '\0';
	action[strcspn(action, " \n")] = '\0';
}

/* The process may be ended here as it would be anyway (not in the callbacks at commit and exit); a timeout has to wait. */
static void
wait_for_release(const char *path)
{
	while (access(path, F_OK) == 0 && PostmasterIsAlive())
	{
		if (ProcDiePending)
			CHECK_FOR_INTERRUPTS();
		pg_usleep(PAUSE_USECS);
	}
}

static void
terminate_self(void)
{
	kill(MyProcPid, SIGTERM);
	CHECK_FOR_INTERRUPTS();		/* where they are held it ends later */
}

/* As a library does that was loaded after this one, and tells the outside of commits. */
static void
witness(XactEvent event, void *arg)
{
	FILE	   *file = event == XACT_EVENT_COMMIT ? fopen(POINTS_DIRECTORY "/witness", "a") : NULL;

	if (file == NULL)
		return;
	fputs(GetFlushRecPtr(NULL) >= XactLastCommitEnd ? "durable\n" : "not durable\n", file);
	fclose(file);
}

static void
act(const char *name, const char *path, const char *action)
{
	if (strcmp(action, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	else if (strcmp(action, "terminate") == 0)
		terminate_self();
	else if (strcmp(action, "witness") == 0)
		RegisterXactCallback(witness, NULL);
	else if (strcmp(action, "error") != 0)
	{
		wait_for_release(path);
		if (strcmp(action, "learn") == 0)
			AcceptInvalidationMessages();
	}
	else if (INTERRUPTS_CAN_BE_PROCESSED())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("a test asked for an error at point %s", name)));
}

void
point_reached(const char *name)
{
	const char *who = subject();
	char		armed[MAXPGPATH];
	char		taken[MAXPGPATH];
	char		action[32];
	int			save_errno = errno;

	if (who == NULL)
		return;
	snprintf(armed, sizeof(armed), "%s/%s@%s", POINTS_DIRECTORY, name, who);
	snprintf(taken, sizeof(taken), "%s#%d", armed, MyProcPid);
	if (rename(armed, taken) == 0)
	{
		read_action(taken, action, sizeof(action));
		act(name, taken, action);
	}
	errno = save_errno;
}
