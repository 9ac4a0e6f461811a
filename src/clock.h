/*
 * clock.h
 *		The only source of "now" and the only way to wait.
 */
#ifndef DURABLE_CLOCK_H
#define DURABLE_CLOCK_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* The server's clock, or this session's virtual time after clock_advance_to(). */
extern TimestampTz clock_now(void);

/*
 * Makes clock_now() of this session at least t, until its end or until the
 * transaction is rolled back: for tests (run_until_idle(advance_time => true)).
 */
extern void clock_advance_to(TimestampTz t);

/* What a background process does about signals while it waits; in sessions, where it is NULL, the main loop reloads. */
extern void (*clock_serve_requests) (void);

/*
 * Sleeps until the process latch is set or clock_now() reaches "until"
 * (DT_NOEND: for ever), then resets the latch, serves interrupts and reloads
 * the configuration if that was asked for (in background processes).
 * Returns true if the latch was set.
 */
extern bool clock_wait_until(TimestampTz until);

/* The same at its end, for who has waited otherwise. */
extern void clock_reset_latch(void);

/*
 * Waits without falling asleep for what others change in shared memory, for
 * what comes sooner than one wakes up. Gives up after so many microseconds, and
 * at once if others want its core: false then, if it is still so.
 */
extern bool clock_wait_awake(bool (*is_still_so) (void), int64 us);

/* So long somebody waits so for another process that is at work for him, in us. */
#define AWAKE_FOR 300

/* How it went the last times, for waits of one kind; to begin with {0}. */
typedef struct AwakeWaits
{
	int			failures;
	int			left_out;		/* still to be */
} AwakeWaits;

/*
 * The same where it was enough lately: what was in vain is not due the next
 * time, then not the next three times, and so on. To be asked once for each wait.
 */
extern bool clock_awake_is_due(AwakeWaits *waits);
extern bool clock_try_awake(AwakeWaits *waits, bool (*is_still_so) (void), int64 us);

#endif							/* DURABLE_CLOCK_H */
