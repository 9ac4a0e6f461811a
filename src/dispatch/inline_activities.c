/*
 * inline_activities.c
 *		Activities right after their turn: see inline_activities.h.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "core/json.h"
#include "dispatch/activity_execution.h"
#include "dispatch/inline_activities.h"
#include "dispatch/sharing.h"
#include "durations.h"
#include "points.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "suspects.h"

/* A turn that asks for more at once is worth the work of several workers. */
#define MAX_ACTIVITIES_OF_TURN 8

/* So is one that asks for more than this, in ms, where no replay is the price of doing it here. */
#define MAX_TIME_WITHIN 4.0

/*
 * Brief activities have rows of the queue together, so many that they take no
 * longer than this, in ms, and that two rows are what one transaction has room for: what they
 * have together is not shared with other workers.
 */
#define MAX_TIME_TOGETHER 4.0
#define MAX_TOGETHER 25

/* What was looked up in this transaction of an activity of a name and version. */
typedef struct KnownActivity
{
	const char *name;
	const char *version;
	bool		may_be_inline;
	double		usual_ms;		/* 0: not known */
	RegistryMatch match;
	ActivityRegistration registration;
} KnownActivity;

/*
 * Not for what is limited or leaves the database, nor for what is not known
 * to be brief. In a client's session nothing is known of durations, and tests
 * want to see each work item: there only if it is asked for.
 */
static bool
suits(const char *task_hub, const KnownActivity *known)
{
	if (known->match == OTHER_VERSIONS || known->registration.external || known->registration.max_concurrency > 0)
		return false;
	return setting_inline_activities == INLINE_ALWAYS || duration_is_brief(task_hub, known->name);
}

static const KnownActivity *
know_activity(InlineScope *scope, const char *name, const char *version)
{
	KnownActivity *known;
	ListCell   *lc;

	foreach(lc, scope->known)
	{
		known = lfirst(lc);
		if (strcmp(known->name, name) == 0 && strcmp(known->version, version ? version : "") == 0)
			return known;
	}
	known = palloc(sizeof(KnownActivity));
	known->name = name;
	known->version = version ? version : "";
	known->match = store_find_registration(scope->task_hub, name, version, &known->registration);
	known->may_be_inline = suits(scope->task_hub, known);
	known->usual_ms = session_is_worker() ? duration_usual(scope->task_hub, name) : 0;
	scope->known = lappend(scope->known, known);
	return known;
}

bool
inline_is_turned_on(void)
{
	if (setting_inline_activities == INLINE_ALWAYS)
		return !session_is_assumed();
	return setting_inline_activities == INLINE_ON && session_is_worker();
}

WorkItemKey
turn_key(const RuntimeState *state)
{
	const RuntimeState *charged = state->begun_by ? state->begun_by : state;
	WorkItemKey key = {charged->task_hub, charged->instance_id, charged->execution_id.data, NO_TASK_ID};

	return key;
}

static void
set_key(WorkItemKey *key, const RuntimeState *state, int task_id)
{
	*key = turn_key(state);
	if (state->begun_by == NULL)
		key->task_id = task_id;
}

/* One that was in hand when a process died is the queue's, where it is counted. */
static bool
may_run(InlineScope *scope, const RuntimeState *state, const OutboundActivity *activity)
{
	const HistoryEvent *scheduled = activity->scheduled;
	WorkItemKey key;

	if (activity->keep_input || activity->generation != state->generation)
		return false;			/* of a generation that is over */
	set_key(&key, state, scheduled->event_id);
	return know_activity(scope, scheduled->name, scheduled->version)->may_be_inline && !suspect_is_charged(&key);
}

static bool
may_run_all(InlineScope *scope, const RuntimeState *state, const Outbox *outbox)
{
	ListCell   *lc;

	if (!inline_is_turned_on() || outbox->activities == NIL || outbox->messages != NIL || outbox->children != NIL ||
		list_length(outbox->activities) > MAX_ACTIVITIES_OF_TURN || state->status != STATUS_RUNNING ||
		worker_is_asked_to_leave())
		return false;
	foreach(lc, outbox->activities)
		if (!may_run(scope, state, lfirst(lc)))
			return false;
	return true;
}

/* As if it had been claimed. */
static void
describe_activity(InlineScope *scope, const RuntimeState *state, const HistoryEvent *scheduled, ClaimedActivity *activity)
{
	const KnownActivity *known = know_activity(scope, scheduled->name, scheduled->version);

	memset(activity, 0, sizeof(ClaimedActivity));
	activity->instance_id = state->instance_id;
	activity->execution_id = state->execution_id;
	activity->generation = state->generation;
	activity->task_id = scheduled->event_id;
	activity->seq = scheduled->seq;
	activity->attempt = 1;
	activity->name = scheduled->name;
	activity->version = scheduled->version;
	activity->input = scheduled->payload;
	activity->settings = state->settings;
	activity->instance_version = state->version;
	activity->parent_instance_id = state->parent_instance_id;
	activity->tags = scheduled->tags ? json_merge(state->tags, scheduled->tags) : state->tags;
	activity->max_payload_size = state->rules->limits.max_payload_size;
	activity->match = known->match;
	activity->registration = known->registration;
}

/* The message that the queue would have sent. */
static HistoryEvent *
make_answer(const HistoryEvent *scheduled, const ActivityOutcome *outcome)
{
	HistoryEvent *answer = history_event_make(outcome->failure ? EVENT_TASK_FAILED : EVENT_TASK_COMPLETED, clock_now());

	answer->task_id = scheduled->event_id;
	answer->name = scheduled->name;
	answer->payload = outcome->result;
	answer->failure = outcome->failure;
	return answer;
}

/* Takes it in hand; false: it was charged just now. */
static bool
take(InlineScope *scope, const RuntimeState *state, const HistoryEvent *scheduled, ClaimedActivity *activity)
{
	WorkItemKey key;

	describe_activity(scope, state, scheduled, activity);
	set_key(&key, state, scheduled->event_id);
	worker_report_item("activity", state->instance_id, psprintf("%s#%d", scheduled->name, scheduled->event_id));
	if (suspect_take(&key) != 0)
		return false;
	DURABLE_POINT("inline.taken");
	return true;
}

/* Its answer; NULL: it was undone. */
static HistoryEvent *
run_one(InlineScope *scope, const RuntimeState *state, const HistoryEvent *scheduled)
{
	ActivityOutcome outcome = {0};
	ClaimedActivity activity;

	if (!take(scope, state, scheduled, &activity))
		return NULL;
	activity_execute(scope->task_hub, &activity, true, &outcome);
	suspect_release();
	DURABLE_POINT("inline.done");
	return outcome.must_be_alone ? NULL : make_answer(scheduled, &outcome);
}

List *
inline_activities_run(InlineScope *scope, const RuntimeState *state, Outbox *outbox)
{
	List	   *answers = NIL;
	List	   *left = NIL;
	ListCell   *lc;

	if (!may_run_all(scope, state, outbox))
		return NIL;
	foreach(lc, outbox->activities)
	{
		const OutboundActivity *activity = lfirst(lc);
		HistoryEvent *answer = left == NIL && sharing_has_room() ? run_one(scope, state, activity->scheduled) : NULL;

		if (answer)
			answers = lappend(answers, answer);
		else
			left = lappend(left, (void *) activity);
	}
	outbox->activities = left;
	scope->n_run += list_length(answers);
	return answers;
}

static int
how_many_together(const KnownActivity *known)
{
	if (!known->may_be_inline)
		return 0;
	if (setting_inline_activities == INLINE_ALWAYS)
		return MAX_TOGETHER;
	return known->usual_ms > 0 ? (int) Min(MAX_TIME_TOGETHER / known->usual_ms, MAX_TOGETHER) : 0;
}

void
inline_group_activities(InlineScope *scope, Outbox *outbox)
{
	ListCell   *lc;

	if (!inline_is_turned_on() || list_length(outbox->activities) <= MAX_ACTIVITIES_OF_TURN)
		return;
	foreach(lc, outbox->activities)
	{
		OutboundActivity *activity = lfirst(lc);
		const HistoryEvent *scheduled = activity->scheduled;

		activity->together = how_many_together(know_activity(scope, scheduled->name, scheduled->version));
	}
}

/* Is it an activity that may run in the await? */
static const KnownActivity *
suits_await(InlineScope *scope, const RuntimeState *state, const Action *action)
{
	const KnownActivity *known;
	WorkItemKey key;

	if (action->kind != ACTION_SCHEDULE_TASK)
		return NULL;
	set_key(&key, state, action->id);
	known = know_activity(scope, action->name, action->version);
	return known->may_be_inline && !suspect_is_charged(&key) ? known : NULL;
}

bool
inline_suits_await(InlineScope *scope, const RuntimeState *state, const List *actions, double *usual_ms)
{
	double		sum = 0;
	bool		all_known = true;
	ListCell   *lc;

	foreach(lc, actions)
	{
		const KnownActivity *known = suits_await(scope, state, lfirst(lc));

		if (known == NULL)
			return false;
		sum += known->usual_ms;
		all_known = all_known && known->usual_ms > 0;
	}
	*usual_ms = sum;
	return actions != NIL && (list_length(actions) <= MAX_ACTIVITIES_OF_TURN || (all_known && sum <= MAX_TIME_WITHIN));
}

HistoryEvent *
inline_activity_run_within(InlineScope *scope, const RuntimeState *state, const HistoryEvent *scheduled)
{
	ActivityOutcome outcome = {0};
	ClaimedActivity activity;

	if (!take(scope, state, scheduled, &activity))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("activity %s was running when a process died", scheduled->name)));
	outcome.result = activity_execute_within(scope->task_hub, &activity);
	suspect_release();
	DURABLE_POINT("inline.done");
	return make_answer(scheduled, &outcome);
}
