/*
 * clock.c
 *		Now, and how to wait for later.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
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
		ResetLatch(MyLatch);
		if (clock_serve_requests != NULL)
			clock_serve_requests();
		else
			CHECK_FOR_INTERRUPTS();
	} while (!(events & WL_LATCH_SET) && clock_now() < until);
	return (events & WL_LATCH_SET) != 0;
}
