/*
 * reconcile_check.c
 *		Every batch of messages up to a size, through reconcile_start_first and
 *		reconcile_messages, held against semantics.md 3.2 and 3.3.
 *
 * All sequences of message kinds are all permutations of all multisets of
 * them. What a batch must come to is derived here from the kinds alone, by
 * the rules of the specification; no function of src/core/ is asked for it.
 */
#include "core_test.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/reconcile.h"

PG_FUNCTION_INFO_V1(core_test_check_reconcile);
PG_FUNCTION_INFO_V1(core_test_reconcile);

#define MAX_BATCH 8
#define MAX_KINDS 32

typedef enum Addressee
{
	ANY_EXECUTION,				/* no execution id */
	OWN_EXECUTION,
	FOREIGN_LOW,				/* differs in the first byte */
	FOREIGN_HIGH				/* differs in the last byte */
} Addressee;

typedef struct MessageKind
{
	const char *name;
	EventType	type;
	Addressee	addressee;
} MessageKind;

static const MessageKind all_kinds[] = {
	{"start", EVENT_EXECUTION_STARTED, OWN_EXECUTION},
	{"foreign start", EVENT_EXECUTION_STARTED, FOREIGN_HIGH},
	{"event", EVENT_EVENT_RAISED, ANY_EXECUTION},
	{"own event", EVENT_EVENT_RAISED, OWN_EXECUTION},
	{"foreign event", EVENT_EVENT_RAISED, FOREIGN_HIGH},
	{"completion", EVENT_TASK_COMPLETED, OWN_EXECUTION},
	{"foreign completion", EVENT_TASK_COMPLETED, FOREIGN_LOW},
	{"failure", EVENT_TASK_FAILED, OWN_EXECUTION},
	{"foreign failure", EVENT_TASK_FAILED, FOREIGN_HIGH},
	{"answer", EVENT_SUBORCHESTRATION_COMPLETED, OWN_EXECUTION},
	{"foreign answer", EVENT_SUBORCHESTRATION_FAILED, FOREIGN_LOW},
	{"timer", EVENT_TIMER_FIRED, OWN_EXECUTION},
	{"foreign timer", EVENT_TIMER_FIRED, FOREIGN_LOW},
	{"wake-up", EVENT_GENERIC, OWN_EXECUTION},
	{"terminate", EVENT_EXECUTION_TERMINATED, ANY_EXECUTION},
	{"suspend", EVENT_EXECUTION_SUSPENDED, ANY_EXECUTION},
	{"resume", EVENT_EXECUTION_RESUMED, ANY_EXECUTION}
};

/* What is in an instance before the batch comes. */
typedef struct InitialState
{
	const char *name;
	RuntimeStatus status;
	bool		past_start;		/* started in an earlier episode */
	bool		new_start;		/* started in this one */
} InitialState;

static const InitialState all_states[] = {
	{"not started", STATUS_PENDING, false, false},
	{"started", STATUS_RUNNING, true, false},
	{"just started", STATUS_RUNNING, false, true},
	{"suspended", STATUS_SUSPENDED, true, false},
	{"completed", STATUS_COMPLETED, true, false},
	{"failed", STATUS_FAILED, true, false},
	{"terminated", STATUS_TERMINATED, true, false},
	{"canceled", STATUS_CANCELED, true, false},
	{"terminated before its start", STATUS_TERMINATED, false, false}
};

/* The functions under test, or one that breaks a rule to see that it is found out. */
typedef struct Reconciler
{
	const char *name;
	List	   *(*start_first) (List *messages, const pg_uuid_t *execution_id);
	List	   *(*messages) (const RuntimeState *state, List *messages);
} Reconciler;

/* One batch on one state. */
typedef struct Trial
{
	const InitialState *initial;
	const Reconciler *reconciler;
	int			n;
	const MessageKind *kinds[MAX_BATCH];
	HistoryEvent messages[MAX_BATCH];
	bool		expected[MAX_BATCH];	/* must it be accepted? */
	int			start;			/* the message that starts the instance, or -1 */
	List	   *batch;			/* of HistoryEvent *: as given to the function under test */
	StringInfoData violation;	/* empty: none */
} Trial;

/* The sums of all trials. */
typedef struct Totals
{
	int64		batches;
	int64		messages;
	int64		accepted;
	int64		violations;
	char	   *first_violation;
} Totals;

/* ------------------------------------------------------------------------
 * Making a trial
 * ------------------------------------------------------------------------
 */

static const MessageKind *
kind_by_name(const char *name)
{
	for (int i = 0; i < lengthof(all_kinds); i++)
		if (strcmp(all_kinds[i].name, name) == 0)
			return &all_kinds[i];
	return unknown_word("kind of message", name);
}

static const InitialState *
state_by_name(const char *name)
{
	for (int i = 0; i < lengthof(all_states); i++)
		if (strcmp(all_states[i].name, name) == 0)
			return &all_states[i];
	return unknown_word("state", name);
}

/* A message without an execution id has one of no meaning in the field, as a careless caller might leave it. */
static void
make_message(HistoryEvent *message, const MessageKind *kind, int position)
{
	memset(message, 0, sizeof(HistoryEvent));
	message->type = kind->type;
	message->event_id = NO_EVENT_ID;
	message->task_id = 1;
	message->name = "name";
	message->message_id = position + 1;
	message->has_execution_id = kind->addressee != ANY_EXECUTION;
	message->execution_id = kind->addressee == OWN_EXECUTION ? own_execution :
		kind->addressee == FOREIGN_HIGH ? next_execution : parent_execution;
}

/* As the dispatcher would have it: a start first, and something after it. */
static RuntimeState *
make_initial_state(const InitialState *initial)
{
	RuntimeState *state = make_state(initial->status);
	HistoryEvent *start = history_event_make(EVENT_EXECUTION_STARTED, 1);
	HistoryEvent *more = history_event_make(EVENT_EVENT_RAISED, 1);

	if (initial->past_start)
		state->past_events = list_make2(start, more);
	if (initial->new_start)
		state->new_events = list_make2(start, more);
	return state;
}

/* The whole batch in a list. */
static List *
message_list(Trial *trial)
{
	List	   *list = NIL;

	for (int i = 0; i < trial->n; i++)
		list = lappend(list, &trial->messages[i]);
	return list;
}

static bool
equal_pointers(List *a, List *b)
{
	if (list_length(a) != list_length(b))
		return false;
	for (int i = 0; i < list_length(a); i++)
		if (list_nth(a, i) != list_nth(b, i))
			return false;
	return true;
}

/* ------------------------------------------------------------------------
 * The oracle
 * ------------------------------------------------------------------------
 */

/* Is it meant for this execution, or for whichever there is (3.3 rule 6)? */
static bool
is_ours(const MessageKind *kind)
{
	return kind->addressee == ANY_EXECUTION || kind->addressee == OWN_EXECUTION;
}

static bool
is_start(const MessageKind *kind)
{
	return kind->type == EVENT_EXECUTION_STARTED;
}

/*
 * What must be accepted: nothing by a finished instance (3.3, last paragraph)
 * and by one that has no start and gets none (rule 3); of starts the first of
 * this execution, and only by an instance that has none (rule 5); of others
 * what is ours (rules 6 and 7). That a start counts wherever it stands is the
 * DECIDE of 3.2.
 */
static void
expect(Trial *trial)
{
	bool		finished = trial->initial->status >= STATUS_COMPLETED;
	bool		had_start = trial->initial->past_start || trial->initial->new_start;

	trial->start = -1;
	for (int i = trial->n - 1; i >= 0; i--)
		if (!finished && !had_start && is_start(trial->kinds[i]) && is_ours(trial->kinds[i]))
			trial->start = i;
	for (int i = 0; i < trial->n; i++)
		trial->expected[i] = !finished && (had_start || trial->start >= 0) &&
			(is_start(trial->kinds[i]) ? i == trial->start : is_ours(trial->kinds[i]));
}

/* ------------------------------------------------------------------------
 * Violations, in words
 * ------------------------------------------------------------------------
 */

static int
position_of(const Trial *trial, const HistoryEvent *message)
{
	for (int i = 0; i < trial->n; i++)
		if (message == &trial->messages[i])
			return i;
	return -1;
}

static void
append_messages(StringInfo buffer, const Trial *trial, List *messages)
{
	ListCell   *lc;

	appendStringInfoChar(buffer, '[');
	foreach(lc, messages)
	{
		int			i = position_of(trial, lfirst(lc));

		if (foreach_current_index(lc) > 0)
			appendStringInfoString(buffer, ", ");
		if (i < 0)
			appendStringInfoString(buffer, "something else");
		else
			appendStringInfo(buffer, "%s (%d)", trial->kinds[i]->name, i + 1);
	}
	appendStringInfoChar(buffer, ']');
}

/* Notes the first violation of a trial; "position" is the message it is about, or -1. */
static void
violated(Trial *trial, const char *rule, int position, List *result)
{
	StringInfo	words = &trial->violation;

	if (words->len > 0)
		return;
	appendStringInfo(words, "%s: instance %s, batch ", rule, trial->initial->name);
	append_messages(words, trial, trial->batch);
	appendStringInfoString(words, " became ");
	append_messages(words, trial, result);
	if (position >= 0)
		appendStringInfo(words, ", see %s (%d)", trial->kinds[position]->name, position + 1);
}

/* ------------------------------------------------------------------------
 * The rules
 * ------------------------------------------------------------------------
 */

/* Why must this one not have been accepted? */
static const char *
reason_to_refuse(const Trial *trial, int i)
{
	if (trial->initial->status >= STATUS_COMPLETED)
		return "a finished instance accepted something";
	if (!is_ours(trial->kinds[i]))
		return "something foreign got in";
	if (is_start(trial->kinds[i]))
		return "a second start got in";
	return "an instance that was never started accepted something";
}

/* Counts how often each message is in the result; anything else in it is a violation. */
static void
count_messages(Trial *trial, List *result, int *times)
{
	ListCell   *lc;

	memset(times, 0, sizeof(int) * MAX_BATCH);
	foreach(lc, result)
	{
		int			i = position_of(trial, lfirst(lc));

		if (i < 0)
			violated(trial, "something came from nowhere", -1, result);
		else
			times[i]++;
	}
}

/* Nothing accepted is lost, nothing else gets in, nothing twice. */
static void
check_membership(Trial *trial, List *accepted)
{
	int			times[MAX_BATCH];

	count_messages(trial, accepted, times);
	for (int i = 0; i < trial->n; i++)
	{
		if (times[i] > 1)
			violated(trial, "a message was accepted twice", i, accepted);
		else if (times[i] == 1 && !trial->expected[i])
			violated(trial, reason_to_refuse(trial, i), i, accepted);
		else if (times[i] == 0 && trial->expected[i])
			violated(trial, "a message was lost", i, accepted);
	}
}

/* But for the start, which is first, the order is that of the batch. */
static void
check_order(Trial *trial, List *result, int start)
{
	int			last = -1;
	ListCell   *lc;

	if (start >= 0 && (result == NIL || linitial(result) != &trial->messages[start]))
		violated(trial, "the start is not first", start, result);
	foreach(lc, result)
	{
		int			i = position_of(trial, lfirst(lc));

		if (i == start)
			continue;
		if (i < last)
			violated(trial, "the order was not kept", i, result);
		last = i;
	}
}

/* All calls of the function under test: notes what it was given. */
static List *
reconcile(Trial *trial, const RuntimeState *state, List *batch)
{
	trial->batch = list_copy(batch);
	return trial->reconciler->messages(state, batch);
}

/* reconcile_start_first alone: the same messages, the first start of this execution in front. */
static void
check_start_first(Trial *trial)
{
	List	   *ordered;
	int			times[MAX_BATCH];
	int			start = -1;

	trial->batch = message_list(trial);
	ordered = trial->reconciler->start_first(message_list(trial), &own_execution);
	count_messages(trial, ordered, times);
	for (int i = trial->n - 1; i >= 0; i--)
	{
		if (times[i] != 1)
			violated(trial, "ordering lost or repeated a message", i, ordered);
		if (is_start(trial->kinds[i]) && is_ours(trial->kinds[i]))
			start = i;
	}
	check_order(trial, ordered, start);
}

/* Wherever the start stands in the batch, the same comes of it. */
static void
check_place_of_start(Trial *trial, const RuntimeState *state, List *accepted)
{
	List	   *others;

	if (trial->start < 0)
		return;
	others = list_delete_nth_cell(message_list(trial), trial->start);
	for (int i = 0; i <= list_length(others); i++)
	{
		List	   *moved = list_insert_nth(list_copy(others), i, &trial->messages[trial->start]);
		List	   *result = reconcile(trial, state, moved);

		/* when it is moved behind its duplicate, that one is taken; the rest is the same */
		if (!equal_pointers(list_copy_tail(result, 1), list_copy_tail(accepted, 1)) ||
			list_length(result) != list_length(accepted))
			violated(trial, "something else comes of it when the start stands elsewhere", trial->start, result);
	}
}

/*
 * A started instance makes the same of a batch that comes in two parts; so
 * does one that is started by the first part.
 */
static void
check_cut(Trial *trial, List *accepted)
{
	bool		had_start = trial->initial->past_start || trial->initial->new_start;

	for (int cut = had_start ? 0 : trial->start + 1; (had_start || trial->start >= 0) && cut <= trial->n; cut++)
	{
		RuntimeState *state = make_initial_state(trial->initial);
		List	   *both = reconcile(trial, state, list_truncate(message_list(trial), cut));
		ListCell   *lc;

		runtime_state_begin_turn(state, 2);
		foreach(lc, both)
			runtime_state_add_event(state, lfirst(lc));
		both = list_concat(both, reconcile(trial, state, list_copy_tail(message_list(trial), cut)));
		trial->batch = message_list(trial);
		if (!equal_pointers(both, accepted))
			violated(trial, "something else comes of it when the batch is cut in two", cut - 1, both);
	}
}

/* The core is pure: neither the state, nor a message, nor the list of them changes. */
static List *
reconcile_and_check_purity(Trial *trial, RuntimeState *state)
{
	List	   *batch = message_list(trial);
	RuntimeState state_before = *state;
	HistoryEvent before[MAX_BATCH];
	List	   *accepted;

	memcpy(before, trial->messages, sizeof(before));
	accepted = reconcile(trial, state, batch);
	if (memcmp(before, trial->messages, sizeof(HistoryEvent) * trial->n) != 0)
		violated(trial, "a message was changed", -1, accepted);
	if (memcmp(&state_before, state, sizeof(RuntimeState)) != 0)
		violated(trial, "the state was changed", -1, accepted);
	if (!equal_pointers(batch, message_list(trial)))
		violated(trial, "the batch was changed", -1, accepted);
	return accepted;
}

/* Runs a trial against all rules; returns how many messages were accepted. */
static int
run_trial(Trial *trial)
{
	RuntimeState *state = make_initial_state(trial->initial);
	List	   *accepted;

	resetStringInfo(&trial->violation);
	for (int i = 0; i < trial->n; i++)
		make_message(&trial->messages[i], trial->kinds[i], i);
	expect(trial);
	accepted = reconcile_and_check_purity(trial, state);
	check_membership(trial, accepted);
	check_order(trial, accepted, trial->start);
	check_start_first(trial);
	check_place_of_start(trial, state, accepted);
	check_cut(trial, accepted);
	return list_length(accepted);
}

/* ------------------------------------------------------------------------
 * Reconcilers that are wrong on purpose
 * ------------------------------------------------------------------------
 */

static List *
no_start_first(List *messages, const pg_uuid_t *execution_id)
{
	return list_copy(messages);
}

/* The last start instead of the first. */
static List *
wrong_start_first(List *messages, const pg_uuid_t *execution_id)
{
	for (int i = list_length(messages) - 1; i >= 0; i--)
	{
		HistoryEvent *message = list_nth(messages, i);

		if (message->type == EVENT_EXECUTION_STARTED)
			return lcons(message, list_delete_nth_cell(list_copy(messages), i));
	}
	return list_copy(messages);
}

static List *
accepts_all(const RuntimeState *state, List *messages)
{
	return reconcile_start_first(messages, &state->execution_id);
}

static List *
accepts_nothing(const RuntimeState *state, List *messages)
{
	return NIL;
}

static List *
loses_last(const RuntimeState *state, List *messages)
{
	List	   *accepted = reconcile_messages(state, messages);

	return list_truncate(accepted, Max(list_length(accepted) - 1, 0));
}

static List *
repeats_last(const RuntimeState *state, List *messages)
{
	List	   *accepted = reconcile_messages(state, messages);

	return accepted ? lappend(accepted, llast(accepted)) : NIL;
}

static List *
swaps_last(const RuntimeState *state, List *messages)
{
	List	   *accepted = reconcile_messages(state, messages);
	int			n = list_length(accepted);
	void	   *last;

	if (n < 2)
		return accepted;
	last = llast(accepted);
	llast(accepted) = list_nth(accepted, n - 2);
	lfirst(list_nth_cell(accepted, n - 2)) = last;
	return accepted;
}

/* What stands before the start is lost, as where it is not put first (semantics.md 3.2). */
static List *
loses_what_precedes_start(const RuntimeState *state, List *messages)
{
	if (runtime_state_is_started(state))
		return reconcile_messages(state, messages);
	for (int i = 0; i < list_length(messages); i++)
		if (((HistoryEvent *) list_nth(messages, i))->type == EVENT_EXECUTION_STARTED)
			return reconcile_messages(state, list_copy_tail(messages, i));
	return NIL;
}

static List *
marks_messages(const RuntimeState *state, List *messages)
{
	List	   *accepted = reconcile_messages(state, messages);
	ListCell   *lc;

	foreach(lc, accepted)
		((HistoryEvent *) lfirst(lc))->opens_turn = true;
	return accepted;
}

static const Reconciler reconcilers[] = {
	{"core", reconcile_start_first, reconcile_messages},
	{"does not order", no_start_first, reconcile_messages},
	{"puts the last start first", wrong_start_first, reconcile_messages},
	{"accepts all", reconcile_start_first, accepts_all},
	{"accepts nothing", reconcile_start_first, accepts_nothing},
	{"loses the last", reconcile_start_first, loses_last},
	{"repeats the last", reconcile_start_first, repeats_last},
	{"swaps the last two", reconcile_start_first, swaps_last},
	{"loses what precedes the start", reconcile_start_first, loses_what_precedes_start},
	{"marks messages", reconcile_start_first, marks_messages}
};

static const Reconciler *
reconciler_by_name(const char *name)
{
	for (int i = 0; i < lengthof(reconcilers); i++)
		if (strcmp(reconcilers[i].name, name) == 0)
			return &reconcilers[i];
	return unknown_word("reconciler", name);
}

/* ------------------------------------------------------------------------
 * All batches
 * ------------------------------------------------------------------------
 */

/* The next sequence of kinds of this length; false after the last. */
static bool
next_sequence(int *digits, int n, int base)
{
	for (int i = n - 1; i >= 0; i--)
	{
		if (++digits[i] < base)
			return true;
		digits[i] = 0;
	}
	return false;
}

/* One trial, added to the totals; its memory is given back. */
static void
count_trial(Trial *trial, Totals *totals, MemoryContext memory)
{
	MemoryContext old = MemoryContextSwitchTo(memory);

	totals->accepted += run_trial(trial);
	MemoryContextSwitchTo(old);
	MemoryContextReset(memory);
	totals->batches++;
	totals->messages += trial->n;
	if (trial->violation.len == 0)
		return;
	if (totals->violations++ == 0)
		totals->first_violation = pstrdup(trial->violation.data);
}

/* All batches of n messages of these kinds. */
static void
check_batches(Trial *trial, const MessageKind **kinds, int n_kinds, Totals *totals, MemoryContext memory)
{
	int			digits[MAX_BATCH] = {0};

	do
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < trial->n; i++)
			trial->kinds[i] = kinds[digits[i]];
		count_trial(trial, totals, memory);
	} while (next_sequence(digits, trial->n, n_kinds));
}

static Datum
totals_row(FunctionCallInfo fcinfo, const Totals *totals)
{
	Datum		values[5] = {Int64GetDatum(totals->batches), Int64GetDatum(totals->messages),
	Int64GetDatum(totals->accepted), Int64GetDatum(totals->violations)};
	bool		nulls[5] = {false, false, false, false, totals->first_violation == NULL};

	if (totals->first_violation)
		values[4] = CStringGetTextDatum(totals->first_violation);
	return make_row(fcinfo, values, nulls);
}

/* check_reconcile(state text, kinds text[], max_size int, reconciler text) */
Datum
core_test_check_reconcile(PG_FUNCTION_ARGS)
{
	Trial	   *trial = palloc0(sizeof(Trial));
	Totals		totals = {0};
	const MessageKind *kinds[MAX_KINDS];
	int			n_kinds;
	int			max_size = PG_GETARG_INT32(2);
	char	  **names = text_array(PG_GETARG_ARRAYTYPE_P(1), &n_kinds);
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "core_test trial", ALLOCSET_DEFAULT_SIZES);

	if (n_kinds > MAX_KINDS || max_size > MAX_BATCH)
		(void) unknown_word("batch so large:", psprintf("%d kinds, %d messages", n_kinds, max_size));
	for (int i = 0; i < n_kinds; i++)
		kinds[i] = kind_by_name(names[i]);
	trial->initial = state_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	trial->reconciler = reconciler_by_name(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	initStringInfo(&trial->violation);
	for (trial->n = 0; trial->n <= max_size; trial->n++)
		check_batches(trial, kinds, n_kinds, &totals, memory);
	PG_RETURN_DATUM(totals_row(fcinfo, &totals));
}

/* reconcile(state text, batch text[]): what is accepted of one batch, in order, "kind (position)" */
Datum
core_test_reconcile(PG_FUNCTION_ARGS)
{
	Trial	   *trial = palloc0(sizeof(Trial));
	char	  **names = text_array(PG_GETARG_ARRAYTYPE_P(1), &trial->n);
	StringInfoData words;

	if (trial->n > MAX_BATCH)
		(void) unknown_word("batch so large:", psprintf("%d messages", trial->n));
	trial->initial = state_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	for (int i = 0; i < trial->n; i++)
	{
		trial->kinds[i] = kind_by_name(names[i]);
		make_message(&trial->messages[i], trial->kinds[i], i);
	}
	initStringInfo(&words);
	append_messages(&words, trial, reconcile_messages(make_initial_state(trial->initial), message_list(trial)));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(words.data, words.len));
}
