/*
 * divergence.c
 *		Recorded and requested actions side by side: see divergence.h.
 *
 *	    recorded              | requested now
 *	  0 TaskScheduled 'same'  | ScheduleTask 'same'
 *	> 1 TaskScheduled 'ship'  | CreateTimer 2026-01-02 03:04:05+00
 *	  2 TaskScheduled 'bill'  | -
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "ids.h"
#include "replay/divergence.h"

/* The lines before and after the first difference. */
#define LINES_BEFORE	2
#define LINES_AFTER		6
#define MAX_LINES		(LINES_BEFORE + 1 + LINES_AFTER)

/* Longer names and ids are cut, in bytes. */
#define SHOWN_NAME		48

/* The actions from one number on. */
typedef struct Window
{
	int			first_id;
	int			n;
	int			last_recorded;	/* -1: none is */
	const HistoryEvent *recorded[MAX_LINES];
} Window;

/* A name in quotes; one that is long is cut, and no character of it breaks the line. */
static char *
shown_name(const char *name)
{
	int			length = strlen(name);
	int			shown = length <= SHOWN_NAME ? length : pg_mbcliplen(name, length, SHOWN_NAME);
	char	   *text = psprintf("'%.*s%s'", shown, name, shown < length ? "..." : "");

	for (char *c = text; *c; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	return text;
}

/* A time in UTC, whatever the session's settings are. */
static char *
shown_time(TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[MAXDATELEN + 1];

	if (TIMESTAMP_NOT_FINITE(time) || timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		return pstrdup(TIMESTAMP_IS_NOBEGIN(time) ? "-infinity" : "infinity");
	tm.tm_isdst = 0;			/* or no zone is shown */
	EncodeDateTime(&tm, fsec, true, 0, "UTC", USE_ISO_DATES, text);
	return pstrdup(text);
}

/* An id the engine made up says nothing. */
static bool
is_default_child_id(OrchestrationContext *context, const char *instance_id, int id)
{
	return strcmp(instance_id, psprintf("%s:%d", execution_id_text(&context->state->execution_id), id)) == 0;
}

static char *
action_text(OrchestrationContext *context, const char *what, const Action *action)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, what);
	if (action->kind == ACTION_CREATE_TIMER)
		appendStringInfo(&text, " %s", shown_time(action->fire_at));
	else if (action->name)
		appendStringInfo(&text, " %s", shown_name(action->name));
	if (action->version && action->version[0])
		appendStringInfo(&text, " version %s", shown_name(action->version));
	if (action->kind == ACTION_SEND_EVENT && action->instance_id)
		appendStringInfo(&text, " to %s", shown_name(action->instance_id));
	if (action->kind == ACTION_CREATE_SUBORCHESTRATION && action->instance_id &&
		!is_default_child_id(context, action->instance_id, action->id))
		appendStringInfo(&text, " as %s", shown_name(action->instance_id));
	return text.data;
}

/* One recorded action: "TaskScheduled 'charge'". */
static char *
recorded_text(OrchestrationContext *context, const HistoryEvent *event)
{
	Action		action = {0};

	action.kind = orchestration_action_kind(event->type);
	action.id = event->event_id;
	action.name = event->name;
	action.version = event->version;
	action.instance_id = event->target_instance_id;
	action.fire_at = event->fire_at;
	return action_text(context, history_event_type_name(event->type), &action);
}

/* Why the code has asked for nothing more: it ended, or it waits. */
static char *
nothing_requested(OrchestrationContext *context)
{
	List	   *names = orchestration_waiting_events(context);

	if (context->completion_id < 0 && names != NIL)
		return psprintf("- (waits for event %s)", shown_name(linitial(names)));
	return pstrdup("-");
}

/* What the code asks for under a number, "-" if nothing. */
static char *
requested_text(OrchestrationContext *context, int id)
{
	const Action *action;

	if (id == context->completion_id)
		return pstrdup("OrchestrationComplete");
	if (id >= context->next_id)
		return id == context->next_id ? nothing_requested(context) : pstrdup("-");
	action = context->requested[id];
	return psprintf("%s%s", action_text(context, orchestration_action_name(action->kind), action),
					orchestration_was_taken_back(context, id) ? ", taken back" : "");
}

static bool
records_action(const HistoryEvent *event)
{
	return event->event_id >= 0 &&
		(event->type == EVENT_TASK_SCHEDULED || event->type == EVENT_TIMER_CREATED ||
		 event->type == EVENT_SUBORCHESTRATION_CREATED || event->type == EVENT_EVENT_SENT);
}

static void
fill_window(OrchestrationContext *context, Window *window, int first_different_id)
{
	memset(window, 0, sizeof(Window));
	window->first_id = Max(first_different_id - LINES_BEFORE, 0);
	window->last_recorded = -1;
	for (int i = 0; i < context->n_events; i++)
	{
		const HistoryEvent *event = context->events[i];
		int			line = event->event_id - window->first_id;

		if (!records_action(event))
			continue;
		window->last_recorded = Max(window->last_recorded, event->event_id);
		if (line >= 0 && line < MAX_LINES)
			window->recorded[line] = event;
	}
	window->n = Max(window->last_recorded, context->next_id - 1) - window->first_id + 1;
	window->n = Min(window->n, first_different_id - window->first_id + 1 + LINES_AFTER);
}

/* Text, and blanks up to a width in characters. */
static void
append_padded(StringInfo lines, const char *text, int width)
{
	appendStringInfoString(lines, text);
	appendStringInfoSpaces(lines, Max(width - pg_mbstrlen(text), 0));
}

/* What is left out below. */
static void
append_rest(StringInfo lines, const Window *window, int last_requested)
{
	int			last_shown = window->first_id + window->n - 1;
	int			more_recorded = Max(window->last_recorded - last_shown, 0);
	int			more_requested = Max(last_requested - last_shown, 0);

	if (more_recorded > 0 || more_requested > 0)
		appendStringInfo(lines, "\n... %d more recorded, %d more requested", more_recorded, more_requested);
}

static void
append_lines(OrchestrationContext *context, StringInfo lines, const Window *window, char **recorded, int different_id)
{
	int			digits = snprintf(NULL, 0, "%d", window->first_id + window->n - 1);
	int			width = strlen("recorded");

	for (int i = 0; i < window->n; i++)
		width = Max(width, pg_mbstrlen(recorded[i]));
	appendStringInfoSpaces(lines, digits + 3);
	append_padded(lines, "recorded", width);
	appendStringInfoString(lines, " | requested now");
	for (int i = 0; i < window->n; i++)
	{
		int			id = window->first_id + i;

		appendStringInfo(lines, "\n%s %*d ", id == different_id ? ">" : " ", digits, id);
		append_padded(lines, recorded[i], width);
		appendStringInfo(lines, " | %s", requested_text(context, id));
	}
}

char *
divergence_text(OrchestrationContext *context, int first_different_id)
{
	Window		window;
	StringInfoData lines;
	char	   *recorded[MAX_LINES];

	fill_window(context, &window, first_different_id);
	for (int i = 0; i < window.n; i++)
		recorded[i] = window.recorded[i] ? recorded_text(context, window.recorded[i]) : "-";
	initStringInfo(&lines);
	if (window.first_id > 0)
		appendStringInfo(&lines, "... %d before agree\n", window.first_id);
	append_lines(context, &lines, &window, recorded, first_different_id);
	append_rest(&lines, &window, context->next_id - 1);
	return lines.data;
}
