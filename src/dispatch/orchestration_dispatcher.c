/*
 * orchestration_dispatcher.c
 *		Turns: a batch of instances fetched, run and checkpointed in one
 *		transaction.
 *
 * An error in a batch undoes it; then each of its instances has its turn
 * alone, so that only the one at fault is failed, or put off if the fault is
 * not its own.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/failure.h"
#include "core/history_check.h"
#include "core/reconcile.h"
#include "dispatch/begun_children.h"
#include "dispatch/dispatchers.h"
#include "dispatch/inline_activities.h"
#include "dispatch/pinned_code.h"
#include "dispatch/registry.h"
#include "dispatch/sharing.h"
#include "dispatch/speculative_turns.h"
#include "dispatch/turns.h"
#include "dispatch/versioning.h"
#include "errors.h"
#include "ids.h"
#include "points.h"
#include "replay/function_lookup.h"
#include "replay/orchestration_executor.h"
#include "replay/sandbox.h"
#include "rests.h"
#include "session.h"
#include "settings.h"
#include "shmem.h"
#include "store/inbox_store.h"
#include "store/instance_store.h"
#include "store/known_histories.h"
#include "store/rewind_store.h"
#include "suspects.h"

/* Continue-as-new runs on in the same episode; this often at most (Go has the same limit). */
#define MAX_GENERATIONS_PER_EPISODE 20

/* A turn that takes longer is taken out of its batch, in ms: it shall not hold up the others. */
#define PATIENCE_IN_BATCH 250

/* The same where activities have run, whose locks others wait for. */
#define PATIENCE_WHILE_SHARING 40

/* How long an instance waits after an error that was not its own, and after a lost conflict. */
#define DEFER_INTERVAL (5 * USECS_PER_SEC)
#define CONFLICT_INTERVAL (50 * INT64CONST(1000))

/* How often a process says what keeps it from processing instances. */
#define SAY_AGAIN_INTERVAL (60 * USECS_PER_SEC)

/* ------------------------------------------------------------------------
 * One turn
 * ------------------------------------------------------------------------
 */

static void
fail_instance(RuntimeState *state, Jsonb *failure, Outbox *outbox, TimestampTz now)
{
	TurnResult	result = {0};

	result.completion = COMPLETED_FAILED;
	result.failure = failure;
	result.completion_id = list_length(state->past_events) + list_length(state->new_events);
	(void) decisions_apply(state, &result, outbox, 0, now);
}

static Jsonb *
poisoned_failure(int deaths)
{
	Failure		failure = {0};

	failure.sqlstate = "UD012";
	failure.error_type = "Poisoned";
	failure.message = psprintf("the process that ran this turn died %d times", deaths);
	failure.hint = "Look for crashes in the server log; durable.max_dispatch_attempts sets how often it is tried.";
	failure.non_retriable = true;
	return failure_make(&failure);
}

static Jsonb *
history_limit_failure(const RuntimeState *state)
{
	Failure		failure = {0};
	int			hub_limit = state->rules->limits.max_history_events;

	failure.sqlstate = "UD007";
	failure.error_type = "HistoryLimitExceeded";
	if (hub_limit > 0 && hub_limit < setting_max_history_events)
		failure.message = psprintf("the history of the instance has %d events, max_history_events of task hub \"%s\" is %d",
								   list_length(state->past_events), state->task_hub, hub_limit);
	else
		failure.message = psprintf("the history of the instance has %d events, durable.max_history_events is %d",
								   list_length(state->past_events), setting_max_history_events);
	failure.hint = "Use durable.continue_as_new() in endless orchestrators, and sub-orchestrations for large fan-outs.";
	failure.non_retriable = true;
	return failure_make(&failure);
}

/* The smaller of the hub's and the server's. */
static int
max_history_events(const RuntimeState *state)
{
	int			hub_limit = state->rules->limits.max_history_events;

	return hub_limit > 0 ? Min(hub_limit, setting_max_history_events) : setting_max_history_events;
}

/* The first turn of the next generation: its start and the events carried over. */
static RuntimeState *
next_generation(const RuntimeState *state, const TurnResult *result)
{
	pg_uuid_t	execution_id;
	RuntimeState *next;
	ListCell   *lc;

	make_time_ordered_uuid(clock_now(), &execution_id);
	next = runtime_state_next_generation(state, result->output, result->new_version, &execution_id, clock_now());
	foreach(lc, result->carried_events)
	{
		HistoryEvent *carried = palloc(sizeof(HistoryEvent));

		*carried = *(HistoryEvent *) lfirst(lc);
		carried->opens_turn = carried->closes_turn = false;
		runtime_state_add_event(next, carried);
	}
	runtime_state_end_turn(next);
	return next;
}

/* The next generation goes on in another episode, at once or later. */
static void
continue_later(const RuntimeState *state, Outbox *outbox, TimestampTz visible_at)
{
	OutboundMessage *message = palloc(sizeof(OutboundMessage));
	HistoryEvent *wake = history_event_make(EVENT_GENERIC, clock_now());

	wake->has_execution_id = true;
	wake->execution_id = state->execution_id;
	wake->visible_at = visible_at;
	message->instance_id = state->instance_id;
	message->event = wake;
	outbox->messages = lappend(outbox->messages, message);
}

/* A name and version looked up in the sandbox. */
typedef struct Lookup
{
	const char *task_hub;
	const char *name;
	const char *version;
	bool		registered_only;
	char	   *function;
	PinnedCode *code;			/* of it; NULL: not pinned */
} Lookup;

static void
look_up_orchestrator(void *arg)
{
	Lookup	   *lookup = arg;

	lookup->function = lookup->registered_only ?
		registered_orchestrator_function(lookup->task_hub, lookup->name, lookup->version) :
		orchestrator_function(lookup->task_hub, lookup->name, lookup->version);
	lookup->code = lookup->function ? code_of_signature(lookup->function, GetUserId()) : NULL;
}

/* Finds an orchestrator as code that runs with these settings would; NULL, with the reason, if it does not. */
static char *
find_function(const char *task_hub, const char *name, const char *version,
			  const InstanceSettings *settings, bool registered_only,
			  const PinnedCode **code, Jsonb **failure)
{
	Lookup		lookup = {task_hub, name, version, registered_only};
	Sandbox		sandbox = {0};
	ErrorData  *error;

	sandbox.settings = settings;
	sandbox.read_only = true;
	if (sandbox_run(&sandbox, look_up_orchestrator, &lookup, &error) == SANDBOX_OK)
	{
		*code = lookup.code;
		return lookup.function;
	}
	if (error_is_circumstantial(error))
		ReThrowError(error);
	*failure = failure_from_error(error, true);
	return NULL;
}

/* Ends an instance that is terminated while its code may not run. */
static void
terminate_instance(RuntimeState *state, const HistoryEvent *termination, Outbox *outbox, TimestampTz now)
{
	TurnResult	result = {0};
	const HistoryEvent *recursive = find_termination(state->new_events, true);

	result.completion = COMPLETED_TERMINATED;
	result.output = termination->payload;
	result.terminate_children = recursive != NULL;
	result.termination_reason = recursive ? recursive->payload : NULL;
	result.completion_id = list_length(state->past_events) + list_length(state->new_events);
	(void) decisions_apply(state, &result, outbox, 0, now);
}

/* The version of the instance is not one its hub runs: its code is not run in this turn, or never. */
static void
refuse_version(RuntimeState *state, const char *mismatch, Outbox *outbox, TimestampTz now)
{
	const HistoryEvent *termination = find_termination(state->new_events, false);

	if (termination != NULL)
		terminate_instance(state, termination, outbox, now);
	else if (state->rules->versioning.fails)
		fail_instance(state, version_mismatch_failure(mismatch), outbox, now);
	else
	{
		runtime_state_end_turn(state);
		continue_later(state, outbox, rejected_until(state, now));
	}
}

/* In the version it continues as, the function may be another one. */
static bool
switch_version(RuntimeState *state, Outbox *outbox)
{
	Jsonb	   *failure = NULL;
	const PinnedCode *code = NULL;
	char	   *function = find_function(state->task_hub, state->name, state->version, &state->settings, true, &code, &failure);

	if (failure != NULL)
		fail_instance(state, failure, outbox, clock_now());
	else if (function != NULL)
	{
		state->function = function;
		state->found = InvalidOid;
		state->code = code;
	}
	return failure == NULL;
}

/*
 * Replays, with a copy of the instance's code if its function is another one
 * now. NULL: patience ran out, or there can be no copy and *failure says why.
 */
static TurnResult *
execute(RuntimeState *state, int patience_ms, Speculation *speculation, Jsonb **failure)
{
	TurnResult *result = orchestration_execute(state, patience_ms, speculation);

	*failure = NULL;
	if (!state->needs_copy)
		return result;
	return pinned_code_prepare(state, failure) ? orchestration_execute(state, patience_ms, speculation) : NULL;
}

/* The same, with the turns that follow and their activities if there is a scope for them and it goes well. */
static TurnResult *
execute_on(Checkpoint *checkpoint, RuntimeState *state, int patience_ms, InlineScope *scope, Jsonb **failure)
{
	SpeculativeTurns turns;
	TurnResult *result;

	if (scope == NULL || !inline_is_turned_on())
		return execute(state, patience_ms, NULL, failure);
	speculative_turns_init(&turns, scope, &checkpoint->outbox, max_history_events(state));
	result = execute(state, patience_ms, &turns.speculation, failure);
	if (turns.speculation.has_failed)
	{
		speculative_turns_undo(&turns, state);
		if (turns.speculation.cancel)
			ReThrowError(turns.speculation.cancel);
		return execute(state, patience_ms, NULL, failure);
	}
	if (turns.speculation.has_effects)
		speculative_turns_keep(&turns, state);
	if (result != NULL && (result->completion == COMPLETED || result->completion == COMPLETED_CONTINUE_AS_NEW))
		speculative_turns_learn(state);
	checkpoint->n_turns += turns.n_turns;
	return result;
}

/*
 * Runs the orchestrator, through as many generations as it continues and
 * durable.max_messages_per_turn allows. Returns the last one's state; NULL, and
 * nothing happened, if patience ran out.
 */
static RuntimeState *
run_generations(Checkpoint *checkpoint, RuntimeState *state, int patience_ms, InlineScope *scope)
{
	Outbox	   *outbox = &checkpoint->outbox;
	int			n_turns = checkpoint->n_turns;

	for (int i = 0; i < MAX_GENERATIONS_PER_EPISODE; i++)
	{
		const char *mismatch = version_mismatch(&state->rules->versioning, state->version);
		TurnResult *result;
		Jsonb	   *failure;

		if (mismatch != NULL)
		{
			refuse_version(state, mismatch, outbox, clock_now());
			return state;
		}
		result = execute_on(checkpoint, state, patience_ms, scope, &failure);
		if (failure != NULL)
		{
			fail_instance(state, failure, outbox, clock_now());
			return state;
		}
		if (result == NULL && checkpoint->n_turns == n_turns)
			return NULL;
		if (result == NULL)
			break;				/* what generations before it did inline stays */
		settle_retry_policies(state, result);
		if (!decisions_apply(state, result, outbox, setting_max_messages_per_turn, clock_now()) ||
			result->completion != COMPLETED_CONTINUE_AS_NEW)
			return state;
		state = next_generation(state, result);
		if (result->new_version != NULL && !switch_version(state, outbox))
			return state;
		if (state->status == STATUS_SUSPENDED)
			return state;		/* it begins when it is resumed */
	}
	continue_later(state, outbox, clock_now());
	return state;
}

/* Finds the function of a child as its parent's code would. */
static ResolvedChild *
resolve_child(const RuntimeState *parent, const ChildStart *start)
{
	ResolvedChild *child = palloc0(sizeof(ResolvedChild));

	child->start = start;
	child->parent = parent;
	child->function = find_function(parent->task_hub, start->name, start->version, &parent->settings, false,
									&child->code, &child->failure);
	return child;
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The same for all of a turn, of which most are alike: then they are found once. */
List *
resolve_children(const RuntimeState *parent, List *starts)
{
	List	   *children = NIL;
	ResolvedChild *last = NULL;
	ListCell   *lc;

	foreach(lc, starts)
	{
		const ChildStart *start = lfirst(lc);

		if (last == NULL || strcmp(start->name, last->start->name) != 0 || !is_same_text(start->version, last->start->version))
			last = resolve_child(parent, start);
		else
		{
			ResolvedChild *like = palloc(sizeof(ResolvedChild));

			*like = *last;
			like->start = start;
			last = like;
		}
		children = lappend(children, last);
	}
	return children;
}

/* Messages that arrive after the end are dropped, but a recursive termination reaches the children. */
static void
pass_on_termination(const FetchedInstance *fetched, TimestampTz now)
{
	ListCell   *lc;

	foreach(lc, fetched->messages)
	{
		HistoryEvent *message = lfirst(lc);

		if (message->type != EVENT_EXECUTION_TERMINATED || !message->recurse)
			continue;
		store_terminate_children(fetched->state->task_hub, fetched->state->instance_id, &fetched->state->execution_id,
								 message->payload, now);
		return;
	}
}

static Jsonb *
rewind_reason(List *accepted)
{
	ListCell   *lc;

	foreach(lc, accepted)
		if (((HistoryEvent *) lfirst(lc))->type == EVENT_EXECUTION_REWOUND)
			return ((HistoryEvent *) lfirst(lc))->payload;
	return NULL;
}

/*
 * Where the instance failed. What failed by its own code goes on with the code
 * as it is now, which was mended in between; so does what cannot be replayed
 * any more. What failed by a task goes on with its own.
 */
static RewindPoint *
find_failure(RuntimeState *state)
{
	RewindPoint *point;
	Jsonb	   *failure;

	state->takes_latest = setting_on_code_change != CODE_CHANGE_KEEP;
	point = orchestration_find_failure(state);
	if (state->needs_copy && pinned_code_prepare(state, &failure))
		point = orchestration_find_failure(state);
	if (state->needs_copy)
	{
		state->needs_copy = false;
		state->code = NULL;
		point = orchestration_find_failure(state);
	}
	state->takes_latest = state->takes_latest || point->first_forgotten_id == FORGET_NOTHING;
	return point;
}

/* Takes a failed execution back; returns the messages that still matter to it. */
static List *
rewind_turn(Checkpoint *checkpoint, RuntimeState *state, List *accepted, TimestampTz now)
{
	Rewind	   *rewind = palloc0(sizeof(Rewind));

	rewind->point = find_failure(state);
	rewind->plan = rewind_history(state, accepted, rewind->point,
								  store_read_rewind_facts(state, rewind_children(state)), now);
	rewind->reason = rewind_reason(accepted);
	checkpoint->rewind = rewind;
	return rewind_messages(accepted, rewind->point);
}

static void
begin_turn(RuntimeState *state, List *accepted, TimestampTz now)
{
	ListCell   *lc;

	runtime_state_begin_turn(state, now);
	foreach(lc, accepted)
		runtime_state_add_event(state, lfirst(lc));
}

/*
 * A turn that was running when a process died is by itself in its transaction,
 * so that it is the one that is counted if that happens again; and a rewind is
 * written first, from the state as it is now.
 */
static bool
may_run_on(const Checkpoint *checkpoint)
{
	return !checkpoint->charged && checkpoint->rewind == NULL;
}

/* Runs the code, unless it may not run any more. NULL: it has to wait for another turn, or patience ran out. */
static RuntimeState *
run_orchestrator(Checkpoint *checkpoint, RuntimeState *state, List *accepted, int patience_ms, InlineScope *scope,
				 TimestampTz now)
{
	WorkItemKey key = turn_key(state);
	int			deaths = suspect_take(&key);
	bool		is_poisoned = deaths >= setting_max_dispatch_attempts;

	if (deaths == SUSPECT_MUST_WAIT)
		return NULL;
	DURABLE_POINT("turn.taken");
	checkpoint->charged = deaths > 0;
	if (checkpoint->charged)
		work_item_flush_at_commit();	/* else the crash of a later turn undoes this one, but not that it is acquitted */
	if (rewind_is_due(state) && !is_poisoned)
		accepted = rewind_turn(checkpoint, state, accepted, now);
	begin_turn(state, accepted, now);
	if (is_poisoned)
		fail_instance(state, poisoned_failure(deaths), &checkpoint->outbox, now);
	else if (list_length(state->past_events) > max_history_events(state))
		fail_instance(state, history_limit_failure(state), &checkpoint->outbox, now);
	else
		state = run_generations(checkpoint, state, patience_ms, may_run_on(checkpoint) ? scope : NULL);
	DURABLE_POINT("turn.replayed");
	suspect_release();
	return state;
}

/* What leaves so far; the lists of the original may grow. */
static Outbox
copy_of_outbox(const Outbox *outbox)
{
	Outbox		copy;

	copy.activities = list_copy(outbox->activities);
	copy.messages = list_copy(outbox->messages);
	copy.children = list_copy(outbox->children);
	copy.cancelled_timers = list_copy(outbox->cancelled_timers);
	return copy;
}

static int
patience_in_batch(void)
{
	return sharing_is_used() ? PATIENCE_WHILE_SHARING : PATIENCE_IN_BATCH;
}

/*
 * One more turn of the same transaction. False if it must wait for another
 * one: the state and the outbox are as before, also if generations of the turn
 * were through when patience ran out.
 */
static bool
run_next_turn(InlineScope *scope, Checkpoint *checkpoint, List *answers)
{
	RuntimeState *state = checkpoint->state;
	WorkItemKey key = turn_key(state);
	Outbox		outbox = copy_of_outbox(&checkpoint->outbox);
	RuntimeState before;

	(void) suspect_take(&key);	/* it was not charged, and nobody else can have had it in hand since */
	worker_report_item("turn", state->instance_id, state->name);
	runtime_state_keep_turn(state);
	before = *state;
	DURABLE_POINT("turn.next");
	begin_turn(state, answers, clock_now());
	if (list_length(state->past_events) > max_history_events(state))
		fail_instance(state, history_limit_failure(state), &checkpoint->outbox, clock_now());
	else
		checkpoint->state = run_generations(checkpoint, state, patience_in_batch(), scope);
	suspect_release();
	if (checkpoint->state != NULL)
		return true;
	*state = before;
	checkpoint->state = state;
	checkpoint->outbox = outbox;
	return false;
}

/* What was answered already is a message like any other. */
static void
send_answers(Checkpoint *checkpoint, List *answers)
{
	ListCell   *lc;

	foreach(lc, answers)
	{
		OutboundMessage *message = palloc(sizeof(OutboundMessage));
		HistoryEvent *answer = lfirst(lc);

		answer->has_execution_id = true;
		answer->execution_id = checkpoint->state->execution_id;
		answer->visible_at = answer->timestamp;
		message->instance_id = checkpoint->state->instance_id;
		message->event = answer;
		checkpoint->outbox.messages = lappend(checkpoint->outbox.messages, message);
	}
}

/*
 * The brief activities and the children the turn asked for, the turn that takes
 * their answers, and so on, as long as there is room for them in the
 * transaction.
 */
static void
run_on(InlineScope *scope, Checkpoint *checkpoint)
{
	bool		goes_on = true;

	while (goes_on)
	{
		List	   *answers = inline_activities_run(scope, checkpoint->state, &checkpoint->outbox);

		if (answers == NIL)
			answers = begin_children(scope, checkpoint);
		if (answers == NIL)
			break;
		/* else it waits for the queue, or for those that are started */
		goes_on = checkpoint->outbox.activities == NIL && checkpoint->outbox.children == NIL;
		if (run_next_turn(scope, checkpoint, answers))
			checkpoint->n_turns++;
		else
		{
			send_answers(checkpoint, answers);
			goes_on = false;
		}
	}
}

Checkpoint *
run_turn(FetchedInstance *fetched, int patience_ms, Jsonb *failure, InlineScope *scope)
{
	Checkpoint *checkpoint = palloc0(sizeof(Checkpoint));
	RuntimeState *state = fetched->state;
	TimestampTz now = clock_now();
	char	   *damage = history_damage(state, fetched->messages);
	List	   *accepted = damage ? NIL : reconcile_messages(state, fetched->messages);

	checkpoint->fetched = fetched;
	checkpoint->state = state;
	if (runtime_status_is_finished(state->status))
		pass_on_termination(fetched, now);
	if (damage != NULL)
	{
		history_mend_numbers(state);
		failure = failure_of_damage(state->task_hub, state->instance_id, damage);
	}
	else if (accepted == NIL)
		return checkpoint;
	worker_report_item("turn", state->instance_id, state->name);
	checkpoint->ran = true;
	if (failure)
	{
		begin_turn(state, accepted, now);
		fail_instance(state, failure, &checkpoint->outbox, now);
	}
	else
		checkpoint->state = run_orchestrator(checkpoint, state, accepted, patience_ms, scope, now);
	if (checkpoint->state == NULL)
		return NULL;
	checkpoint->n_turns++;
	if (scope != NULL && may_run_on(checkpoint))
		run_on(scope, checkpoint);
	if (scope != NULL)
		inline_group_activities(scope, &checkpoint->outbox);
	checkpoint->children = resolve_children(checkpoint->state, checkpoint->outbox.children);
	return checkpoint;
}

/* ------------------------------------------------------------------------
 * A batch
 * ------------------------------------------------------------------------
 */

typedef struct Batch
{
	const char *task_hub;
	List	   *rejected;		/* of FetchedInstance *: the hub does not run their version */
	List	   *instance_ids;	/* of char *: those that were fetched */
	List	   *slow_ids;		/* of char *: those to be run alone */
	InlineScope scope;
	int			n_reached;		/* of the instances that were fetched; the others are left for the next batch */
	int64		n_done;			/* work items */
	int64		n_queued;		/* activities */
	bool		wait_again;		/* most of the instances */
} Batch;

/* What takes its next turn later, for the sake of its activities. */
static void
let_rest(const Checkpoint *checkpoint, TimestampTz began)
{
	if (checkpoint->ran && !runtime_status_is_finished(checkpoint->state->status))
		rest_begin(checkpoint->state->task_hub, checkpoint->state->instance_id, GetCurrentTimestamp() - began);
}

/* Runs turns until all are done or the batch has taken long enough. */
static List *
run_turns(Batch *batch, List *instances)
{
	TimestampTz until = GetCurrentTimestamp() + setting_batch_time * INT64CONST(1000);
	List	   *checkpoints = NIL;
	ListCell   *lc;

	foreach(lc, instances)
	{
		FetchedInstance *fetched;
		Checkpoint *checkpoint;
		TimestampTz began = GetCurrentTimestamp();

		if (checkpoints != NIL && began > until)
			break;				/* the others are free again after this commit */
		if ((checkpoints != NIL || batch->slow_ids != NIL) && worker_is_asked_to_leave())
			break;
		if (sharing_is_used() && !sharing_has_room())
			break;
		CHECK_FOR_INTERRUPTS();
		fetched = lfirst(lc);
		batch->n_reached++;
		if (versioning_keeps_waiting(fetched))
		{
			batch->rejected = lappend(batch->rejected, fetched);
			continue;
		}
		batch->scope.root = fetched->state;
		batch->scope.children_until = until;
		checkpoint = run_turn(fetched, list_length(instances) > 1 ? patience_in_batch() : 0, NULL, &batch->scope);
		if (checkpoint == NULL)
		{
			batch->slow_ids = lappend(batch->slow_ids, (char *) fetched->state->instance_id);
			until += PATIENCE_IN_BATCH * INT64CONST(1000);
		}
		else
		{
			checkpoints = lappend(list_concat(checkpoints, checkpoint->begun), checkpoint);
			batch->n_done += checkpoint->n_turns;
			let_rest(checkpoint, began);
		}
	}
	batch->n_done += batch->scope.n_run;
	return checkpoints;
}

/* Turns that do not take place because of the version: their messages stay. */
static void
put_off_rejected(const char *task_hub, List *rejected)
{
	TimestampTz now = clock_now();
	FetchedInstance *first;

	if (rejected == NIL)
		return;
	first = linitial(rejected);
	store_put_off_instances(task_hub, rejected, now, rejected_until(first->state, now));
}

static int64
count_activities(List *checkpoints)
{
	int64		count = 0;
	ListCell   *lc;

	foreach(lc, checkpoints)
		count += list_length(((Checkpoint *) lfirst(lc))->outbox.activities);
	return count;
}

/* Have most of them had turns before, and wait for more than they have asked for themselves now? */
static bool
most_wait_again(List *checkpoints)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, checkpoints)
	{
		const Checkpoint *checkpoint = lfirst(lc);

		if (checkpoint->ran && checkpoint->fetched->turn > 0 && !runtime_status_is_finished(checkpoint->state->status) &&
			checkpoint->outbox.activities == NIL && checkpoint->outbox.children == NIL)
			count++;
	}
	return count > list_length(checkpoints) / 2;
}

/* How many instances a batch had room for lately: what it has not is read in vain. */
static int recent_batch = INT_MAX;

static int
fetch_size(void)
{
	return Min(setting_batch_size, recent_batch);
}

static void
adapt_fetch_size(int fetched, int ran)
{
	if (ran < fetched)
		recent_batch = Max(ran, 1);
	else if (recent_batch < INT_MAX / 2)
		recent_batch += recent_batch / 4 + 1;
}

/* It may wait for clients: for the id of a child, or the row of code that is new. */
static void
write_turns(const char *task_hub, List *checkpoints)
{
	int			nest_level = sharing_begin_writing();

	store_checkpoint(task_hub, checkpoints, clock_now());
	sharing_end_writing(nest_level);
}

/* One transaction; throws what goes wrong. */
static DispatchResult
try_batch(Batch *batch)
{
	int			size = fetch_size();
	int			starts = worker_take_starts(size);
	List	   *instances;
	List	   *checkpoints = NIL;
	bool		found;
	ListCell   *lc;

	if (!work_item_begin(NULL))
		return DISPATCH_GONE;
	sharing_begin();
	DURABLE_POINT("turn.before_claim");
	instances = store_fetch_instances(batch->task_hub, clock_now(), size, starts);
	found = instances != NIL;
	foreach(lc, instances)
		batch->instance_ids = lappend(batch->instance_ids,
									  pstrdup(((FetchedInstance *) lfirst(lc))->state->instance_id));
	if (instances != NIL)
	{
		DURABLE_POINT("turn.claimed");
		if (list_length(instances) == size)
			worker_calls_for_help();
		batch->scope.begins_children = starts == UNLIMITED_STARTS;
		checkpoints = run_turns(batch, instances);
		DURABLE_POINT("turn.before_checkpoint");
		write_turns(batch->task_hub, checkpoints);
		put_off_rejected(batch->task_hub, batch->rejected);
		batch->n_queued = count_activities(checkpoints);
		batch->wait_again = most_wait_again(checkpoints);
		adapt_fetch_size(list_length(instances), batch->n_reached);
	}
	if (starts != UNLIMITED_STARTS)
		worker_give_back_starts(starts - store_count_starts(list_truncate(instances, batch->n_reached)));
	work_item_commit();
	known_histories_keep(checkpoints);
	if (found)
		DURABLE_POINT("turn.committed");
	return found ? DISPATCH_DONE : DISPATCH_IDLE;
}

/* One transaction for the turn of one instance; with "failure" the instance is failed instead. */
static DispatchResult
try_alone(const char *task_hub, const char *instance_id, Jsonb *failure)
{
	FetchedInstance *fetched;

	if (!work_item_begin(NULL))
		return DISPATCH_GONE;
	fetched = store_fetch_instance(task_hub, instance_id, clock_now());
	if (fetched && failure == NULL && versioning_keeps_waiting(fetched))
		put_off_rejected(task_hub, list_make1(fetched));
	else if (fetched && fetched->messages != NIL)
	{
		Checkpoint *checkpoint = run_turn(fetched, 0, failure, NULL);
		TimestampTz now = clock_now();

		if (checkpoint)
			store_checkpoint(task_hub, list_make1(checkpoint), now);
		else
			store_defer_instance(task_hub, instance_id, now, now + SUSPECT_INTERVAL);
	}
	work_item_commit();
	return DISPATCH_DONE;
}

static void
defer_instance(const char *task_hub, const char *instance_id, int64 interval)
{
	TimestampTz now = clock_now();

	if (!work_item_begin(NULL))
		return;
	store_defer_instance(task_hub, instance_id, now, now + interval);
	work_item_commit();
}

/* The error of the last attempt, copied to "context"; the work item is rolled back. */
static ErrorData *
catch_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	work_item_abort();
	orchestration_reset();
	suspect_release();
	MemoryContextSwitchTo(context);
	return error;
}

static void
log_engine_error(const char *instance_id, const ErrorData *error, const char *consequence)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not process orchestration \"%s\": %s", instance_id, error->message),
			 errdetail_internal("%s", consequence)));
}

/*
 * What keeps instances from being processed is mostly the same for all of
 * them, and for a while, a full disk for example: this process says it once a
 * minute, not for each. The SQLSTATE is what is the same: messages name files.
 */
static bool
trouble_is_news(int sqlerrcode)
{
	static struct
	{
		int			sqlerrcode;
		TimestampTz said_at;
	}			said[8];
	static int	next = 0;
	TimestampTz now = GetCurrentTimestamp();
	int			i = 0;

	while (i < lengthof(said) && said[i].sqlerrcode != sqlerrcode)
		i++;
	if (i < lengthof(said) && now < said[i].said_at + SAY_AGAIN_INTERVAL)
		return false;
	if (i == lengthof(said))
	{
		i = next;
		next = (next + 1) % lengthof(said);
	}
	said[i].sqlerrcode = sqlerrcode;
	said[i].said_at = now;
	return true;
}

/* try_alone() that returns the error it threw, or NULL. */
static ErrorData *
attempt_alone(const char *task_hub, const char *instance_id, Jsonb *failure)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		(void) try_alone(task_hub, instance_id, failure);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	return error;
}

/*
 * Is the engine itself in trouble: a table of ours that cannot be used, a lock
 * that is not to be had? What the instance's code raises does not get here.
 */
static bool
is_trouble_of_engine(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return error_is_circumstantial(error) || error_is_conflict(error) ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
		category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_SYSTEM_ERROR;
}

/* An error the instance is not to blame for is waited out; any other one is its end. */
static void
run_alone(const char *task_hub, const char *instance_id)
{
	ErrorData  *error = attempt_alone(task_hub, instance_id, NULL);

	if (error != NULL && !is_trouble_of_engine(error))
	{
		log_engine_error(instance_id, error, "The instance is failed.");
		error = attempt_alone(task_hub, instance_id, failure_from_error(error, true));
	}
	if (error == NULL)
		return;
	if (error_is_conflict(error))
	{
		defer_instance(task_hub, instance_id, CONFLICT_INTERVAL);
		return;
	}
	if (trouble_is_news(error->sqlerrcode))
		log_engine_error(instance_id, error, "It is tried again later, as are others that meet the same. This is said once a minute.");
	defer_instance(task_hub, instance_id, DEFER_INTERVAL);
}

/* In a client's session a cancel ends the client's statement, not a turn. */
static void
rethrow_cancel(const ErrorData *error)
{
	if (!session_is_worker() && error->sqlerrcode == ERRCODE_QUERY_CANCELED && error_is_circumstantial(error))
		ReThrowError((ErrorData *) error);
}

static void
run_each_alone(Batch *batch, List *instance_ids)
{
	ListCell   *lc;

	foreach(lc, instance_ids)
	{
		run_alone(batch->task_hub, lfirst(lc));
		batch->n_done++;
		if (worker_is_asked_to_leave())
			break;				/* they are free for another worker */
	}
}

static DispatchResult
run_batch(Batch *batch)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	volatile DispatchResult result = DISPATCH_DONE;

	PG_TRY();
	{
		result = try_batch(batch);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error == NULL)
	{
		run_each_alone(batch, batch->slow_ids);
		return result;
	}
	rethrow_cancel(error);
	if (batch->instance_ids == NIL)
		ReThrowError(error);	/* the fetch itself failed */
	run_each_alone(batch, batch->instance_ids);
	return DISPATCH_DONE;
}

DispatchResult
orchestration_dispatcher_run(const char *task_hub, int64 *done, int64 *queued, bool *wait_again)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "durable batch of turns", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Batch		batch = {task_hub, .scope = {task_hub}};
	DispatchResult result = run_batch(&batch);

	*done += batch.n_done;
	*queued = batch.n_queued;
	*wait_again = batch.wait_again;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}
