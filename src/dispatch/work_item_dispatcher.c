/*
 * work_item_dispatcher.c
 *		What both kinds of work items have in common: when the next is due.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "dispatch/dispatchers.h"
#include "processor.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "store/hub_store.h"

TimestampTz
dispatch_next_due(const char *task_hub, TimestampTz after)
{
	TimestampTz due;

	if (!work_item_begin(NULL))
		return DT_NOEND;
	due = store_next_due(task_hub, after);
	work_item_commit();
	return due;
}

/* How many activities go before the next turn, and until when at most. */
static int64 activities_first = 0;
static TimestampTz activities_first_until = 0;

/* A look for turns in vain takes no more than this part of the time of a worker that has activities to run. */
#define PART_OF_VAIN_LOOKS 10

/* But one is due after so long, in us: what made the last one slow, a lock perhaps, may be over. */
#define LONGEST_WITHOUT_LOOK 3000000

/* Until when no such look is due: where others have in hand what is ready, it is long, and they go on with it. */
static TimestampTz no_look_until = 0;

/* A worker that waited for a processor for longer than this, in us, rests so many times as long, at most so long. */
#define SHORT_WAIT 1000
#define REST_FACTOR 4
#define LONGEST_REST 25000

/*
 * Where processors are short, and instances wait for what others send, workers
 * beside the first take turns less often: they would only split among
 * themselves what came meanwhile, to more turns with fewer messages each, and
 * take the processor from those who send them.
 */
static void
give_way(int64 waited)
{
	int64		rest = Min(waited * REST_FACTOR, LONGEST_REST);
	TimestampTz until = clock_now() + rest;

	if (waited <= SHORT_WAIT || !worker_is_additional())
		return;
	while (clock_now() < until && until - clock_now() <= rest && !worker_is_asked_to_leave())
		(void) clock_wait_until(until);
}

/*
 * Turns, which let the activities they queued go first: in a worker for as
 * long as a batch may take, or as they took themselves; a client's session
 * has nobody else to serve, and tests want to know what comes next.
 */
static DispatchResult
run_turns(const char *task_hub, int64 *done)
{
	TimestampTz begin = GetCurrentTimestamp();
	int64		waited_before = session_is_worker() ? processor_waited() : 0;
	bool		wait_again;
	DispatchResult result = orchestration_dispatcher_run(task_hub, done, &activities_first, &wait_again);
	TimestampTz end = GetCurrentTimestamp();

	no_look_until = session_is_worker() && result == DISPATCH_IDLE ?
		end + Min((end - begin) * PART_OF_VAIN_LOOKS, LONGEST_WITHOUT_LOOK) : 0;
	activities_first_until = session_is_worker() ?
		end + Max(end - begin, setting_batch_time * INT64CONST(1000)) : DT_NOEND;
	if (session_is_worker() && wait_again)
		give_way(processor_waited() - waited_before);
	return result;
}

/* If it seems to be for longer, the clock was set back. */
static bool
needs_no_look(TimestampTz now)
{
	return now < no_look_until && no_look_until - now <= LONGEST_WITHOUT_LOOK;
}

static DispatchResult
run_activity(const char *task_hub, int64 *done)
{
	int64		before = *done;
	DispatchResult result = activity_dispatcher_run(task_hub, done);

	activities_first = result == DISPATCH_DONE ? activities_first - Max(*done - before, 1) : 0;
	return result;
}

/*
 * Turns go before activities: they are short, and activities come of them.
 * But the activities they queued run before the next turn, for where many
 * answers are on their way to one instance, a turn for each of them would
 * replay a long history as often.
 */
DispatchResult
dispatch_one(const char *task_hub, bool turns, bool activities, int64 *done)
{
	DispatchResult result = DISPATCH_IDLE;
	TimestampTz now = GetCurrentTimestamp();
	bool		asks_activities = activities && ((activities_first > 0 && now < activities_first_until) || needs_no_look(now));

	if (asks_activities)
		result = run_activity(task_hub, done);
	if (result == DISPATCH_IDLE && turns)
		result = run_turns(task_hub, done);
	if (result == DISPATCH_IDLE && activities && !asks_activities)
		result = run_activity(task_hub, done);
	return result;
}
