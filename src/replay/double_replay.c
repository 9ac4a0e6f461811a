/*
 * double_replay.c
 *		Comparing two runs of the same turn: see double_replay.h.
 *
 * Everything is compared as the text that the message shows.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "replay/double_replay.h"

/* Of a long text so many bytes are shown, these many before the difference. */
#define SHOWN_LENGTH	200
#define SHOWN_BEFORE	40

/* Something both runs have, as text; NULL: it has it not. */
typedef struct Aspect
{
	const char *what;
	const char *first;
	const char *second;
} Aspect;

int
common_length(const char *first, const char *second)
{
	int			length = 0;

	while (first[length] != '\0' && first[length] == second[length])
		length++;
	return length;
}

char *
excerpt(const char *text, int position)
{
	int			length = strlen(text);
	int			start = length <= SHOWN_LENGTH || position <= SHOWN_BEFORE ? 0 :
	pg_mbcliplen(text, length, position - SHOWN_BEFORE);
	int			shown = pg_mbcliplen(text + start, length - start, SHOWN_LENGTH);

	return psprintf("%s%.*s%s", start > 0 ? "..." : "", shown, text + start, start + shown < length ? "..." : "");
}

/* The first of the aspects that differs, in words; NULL if none does. */
static char *
first_difference(const char *of, const Aspect *aspects, int n_aspects)
{
	for (int i = 0; i < n_aspects; i++)
	{
		const char *first = aspects[i].first ? aspects[i].first : "none";
		const char *second = aspects[i].second ? aspects[i].second : "none";
		int			position = common_length(first, second);

		if (first[position] != second[position] || (aspects[i].first == NULL) != (aspects[i].second == NULL))
			return psprintf("%s%s: %s in the first run, %s in the second.", of, aspects[i].what,
							excerpt(first, position), excerpt(second, position));
	}
	return NULL;
}

char *
json_text(Jsonb *json)
{
	return json ? JsonbToCString(NULL, &json->root, VARSIZE(json)) : NULL;
}

char *
failure_text(Jsonb *failure)
{
	if (failure == NULL)
		return NULL;
	return json_text(DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(failure), CStringGetTextDatum("context"))));
}

/* ------------------------------------------------------------------------
 * Actions
 * ------------------------------------------------------------------------
 */

static const char *
kind_text(const Action *action)
{
	switch (action->kind)
	{
		case ACTION_SCHEDULE_TASK:
			return "activity";
		case ACTION_CREATE_TIMER:
			return "timer";
		case ACTION_CREATE_SUBORCHESTRATION:
			return action->detached ? "detached orchestration" : "sub-orchestration";
		case ACTION_SEND_EVENT:
			return "event";
	}
	return "unknown";
}

char *
action_text(const Action *action)
{
	if (action == NULL)
		return NULL;
	if (action->name == NULL)
		return pstrdup(kind_text(action));
	return psprintf("%s \"%s\"", kind_text(action), action->name);
}

static char *
fire_at_text(const Action *action)
{
	return action->kind == ACTION_CREATE_TIMER ? pstrdup(timestamptz_to_str(action->fire_at)) : NULL;
}

static char *
action_difference(const Action *first, const Action *second)
{
	const Aspect aspects[] = {
		{"version", first->version, second->version},
		{"instance id", first->instance_id, second->instance_id},
		{"due", fire_at_text(first), fire_at_text(second)},
		{"input", json_text(first->input), json_text(second->input)},
		{"tags", json_text(first->tags), json_text(second->tags)}
	};

	return first_difference(psprintf("Action %d, %s, ", first->id, action_text(first)), aspects, lengthof(aspects));
}

/* The actions are sorted by their numbers; a number that is missing in one run was taken back there. */
static char *
actions_difference(List *first, List *second)
{
	int			n = Max(list_length(first), list_length(second));

	for (int i = 0; i < n; i++)
	{
		const Action *a = i < list_length(first) ? list_nth(first, i) : NULL;
		const Action *b = i < list_length(second) ? list_nth(second, i) : NULL;
		int			id = a == NULL ? b->id : b == NULL ? a->id : Min(a->id, b->id);
		Aspect		same_action = {"", action_text(a && a->id == id ? a : NULL), action_text(b && b->id == id ? b : NULL)};
		char	   *difference = first_difference(psprintf("Action %d", id), &same_action, 1);

		if (difference == NULL)
			difference = action_difference(a, b);
		if (difference != NULL)
			return difference;
	}
	return NULL;
}

/* ------------------------------------------------------------------------
 * The rest
 * ------------------------------------------------------------------------
 */

static const char *
completion_text(CompletionKind completion)
{
	switch (completion)
	{
		case NOT_COMPLETED:
			return "waits";
		case COMPLETED:
			return "completed";
		case COMPLETED_FAILED:
			return "failed";
		case COMPLETED_TERMINATED:
			return "terminated";
		case COMPLETED_CONTINUE_AS_NEW:
			return "continues as new";
	}
	return "unknown";
}

static const char *
custom_status_text(const TurnResult *result)
{
	if (!result->has_custom_status)
		return NULL;
	return result->custom_status ? json_text(result->custom_status) : "NULL";
}

/* Names of events, or numbers of timers, in order. */
static char *
names_text(List *names)
{
	StringInfoData text;
	ListCell   *lc;

	if (names == NIL)
		return NULL;
	initStringInfo(&text);
	foreach(lc, names)
		appendStringInfo(&text, "%s\"%s\"", text.len > 0 ? ", " : "", (const char *) lfirst(lc));
	return text.data;
}

static char *
numbers_text(List *numbers)
{
	StringInfoData text;
	ListCell   *lc;

	if (numbers == NIL)
		return NULL;
	initStringInfo(&text);
	foreach(lc, numbers)
		appendStringInfo(&text, "%s%d", text.len > 0 ? ", " : "", lfirst_int(lc));
	return text.data;
}

/* Both runs saw the same events, which have numbers in the history. */
static char *
events_text(List *events)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, events)
	{
		const HistoryEvent *event = lfirst(lc);

		names = lappend(names, psprintf("%s (event %d)", event->name ? event->name : "", event->seq));
	}
	return names_text(names);
}

char *
turn_results_difference(const TurnResult *first, const TurnResult *second)
{
	char	   *difference = actions_difference(first->actions, second->actions);
	const Aspect aspects[] = {
		{"Outcome of the turn", completion_text(first->completion), completion_text(second->completion)},
		{first->completion == COMPLETED_CONTINUE_AS_NEW ? "Input of the next generation" : "Output",
		json_text(first->output), json_text(second->output)},
		{"Failure", failure_text(first->failure), failure_text(second->failure)},
		{"Version of the next generation", first->new_version, second->new_version},
		{"Events for the next generation", events_text(first->carried_events), events_text(second->carried_events)},
		{"Custom status", custom_status_text(first), custom_status_text(second)},
		{"Events waited for", names_text(first->waiting_events), names_text(second->waiting_events)},
		{"Cancelled timers", numbers_text(first->cancelled_timers), numbers_text(second->cancelled_timers)}
	};

	return difference ? difference : first_difference("", aspects, lengthof(aspects));
}
