/*
 * clock.c
 *		Now, and how to wait for later.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/s_lock.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"

void		(*clock_serve_requests) (void) = NULL;

/* How far this session's time is ahead of the server's, and was before the transaction at work. */
static int64 ahead = 0;
static int64 ahead_before = 0;

TimestampTz
clock_now(void)
{
	return GetCurrentTimestamp() + ahead;
}

/*
 * What was done ahead of time and is rolled back never was: the session's time
 * goes back with it. Else what the session starts next would be due for nobody
 * else until then.
 */
static void
clock_at_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		ahead = ahead_before;
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		ahead_before = ahead;
}

void
clock_advance_to(TimestampTz t)
{
	static bool registered = false;
	TimestampTz now = clock_now();

	if (!registered)
		RegisterXactCallback(clock_at_end, NULL);
	registered = true;
	if (!TIMESTAMP_NOT_FINITE(t) && t > now)
		ahead += t - now;
}

/* Rounded up, so that nobody wakes before his time; as much as a latch can wait for. */
static long
milliseconds_until(TimestampTz until)
{
	TimestampTz now = clock_now();
	int64		ms;

	if (until <= now)
		return 0;
	if (TIMESTAMP_IS_NOEND(until))
		return INT_MAX;
	ms = (int64) (((uint64) until - (uint64) now + 999) / 1000);
	return (long) Min(ms, INT_MAX);
}

void
clock_reset_latch(void)
{
	ResetLatch(MyLatch);
	if (clock_serve_requests != NULL)
		clock_serve_requests();
	else
		CHECK_FOR_INTERRUPTS();
}

/*
 * The only wait of the program: it ends with the postmaster, and lets
 * interrupts and barriers through, without which DROP DATABASE of any
 * database would hang on us.
 */
bool
clock_wait_until(TimestampTz until)
{
	int			events;

	do
	{
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						   milliseconds_until(until), PG_WAIT_EXTENSION);
		clock_reset_latch();
	} while (!(events & WL_LATCH_SET) && clock_now() < until);
	return (events & WL_LATCH_SET) != 0;
}

/* So often one looks before the core is offered to others. */
#define LOOKS 20

/* An offer that took longer was taken, in us: then one may as well sleep. */
#define TAKEN 100

/*
 * Has every thread that wants to run a core, this one included? Linux says how
 * many they are; where nobody says it, no.
 */
static bool
has_core_to_spare(void)
{
	static long cores = 0;
	char		text[64] = "";
	int			running;
	int			file = open("/proc/loadavg", O_RDONLY);

	if (file < 0)
		return false;
	if (read(file, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(file);
	if (cores == 0)
		cores = sysconf(_SC_NPROCESSORS_ONLN);
	return sscanf(text, "%*s %*s %*s %d/", &running) == 1 && running <= cores;
}

static int64
microseconds_since(instr_time begin)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, begin);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

static bool
stay_awake(bool (*is_still_so) (void), int64 us)
{
	instr_time	begin;
	int64		spent = 0;
	int64		before = 0;

	INSTR_TIME_SET_CURRENT(begin);
	while (spent < us && spent - before < TAKEN)
	{
		for (int i = 0; i < LOOKS; i++)
		{
			if (!is_still_so())
				return true;
			SPIN_DELAY();
		}
		(void) sched_yield();
		before = spent;
		spent = microseconds_since(begin);
	}
	return !is_still_so();
}

bool
clock_wait_awake(bool (*is_still_so) (void), int64 us)
{
	return has_core_to_spare() ? stay_awake(is_still_so, us) : !is_still_so();
}

/* So often it is left out at most. */
#define MOST_LEFT_OUT 63

bool
clock_awake_is_due(AwakeWaits *waits)
{
	return waits->left_out == 0 || waits->left_out-- == 0;
}

/* That it is so no more, or that there is no core to spare, says nothing of how long it would have taken. */
bool
clock_try_awake(AwakeWaits *waits, bool (*is_still_so) (void), int64 us)
{
	bool		succeeded;

	if (!is_still_so())
		return true;
	if (!has_core_to_spare())
		return false;
	succeeded = stay_awake(is_still_so, us);
	waits->failures = succeeded ? 0 : Min(2 * waits->failures + 1, MOST_LEFT_OUT);
	waits->left_out = waits->failures;
	return succeeded;
}
