/*
 * forbidden_statements.c
 *		See forbidden_statements.h.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "replay/forbidden_statements.h"

const Refusal refusal_of_reads = {
	"may hold something else at the next replay",
	"Read it in an activity, for example with durable.call_sql('SELECT ...'): the result is recorded, and replays see it again."
};
const Refusal refusal_of_writes = {
	"would be rolled back with the turn, and be done again at each replay",
	"An orchestrator only coordinates: write in an activity, for example with durable.call_sql()."
};
const Refusal refusal_of_frozen_words = {
	"becomes a fixed time when the statement is first read, and another one in the next session",
	"Use now(), CURRENT_DATE, CURRENT_DATE + 1 or CURRENT_DATE - 1, which follow the orchestration's time."
};
static const Refusal commands = {
	"would be rolled back with the turn, and be done again at each replay",
	"An orchestrator only coordinates: run it in an activity, for example with durable.call_sql()."
};
static const Refusal set_commands = {
	"sets what is not there in the next turn",
	"Give the function a SET clause: ALTER FUNCTION ... SET name = value."
};
static const Refusal show_commands = {
	"depends on the session",
	"Pass the value in the input of the orchestrator, or read it in an activity, for example with durable.call_sql()."
};
static const Refusal notify_commands = {
	"would be done again at each replay, and a worker listens for nobody",
	"Notify in an activity, or with durable.call_sql('SELECT pg_notify(...)'); wait with durable.wait_for_event()."
};
static const Refusal cursor_commands = {
	"is about a cursor of the session, which does not outlive a turn",
	"Loop with FOR ... IN SELECT, or use a cursor variable of PL/pgSQL within one turn."
};

const Refusal *
command_refusal(const Node *command)
{
	switch (nodeTag(command))
	{
		case T_CallStmt:
			return NULL;
		case T_VariableSetStmt:
			return &set_commands;
		case T_VariableShowStmt:
			return &show_commands;
		case T_NotifyStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
			return &notify_commands;
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return &cursor_commands;
		default:
			return &commands;
	}
}

static const char *
value_function_name(SQLValueFunctionOp op)
{
	switch (op)
	{
		case SVFOP_CURRENT_ROLE:
			return "current_role";
		case SVFOP_CURRENT_USER:
			return "current_user";
		case SVFOP_USER:
			return "user";
		case SVFOP_SESSION_USER:
			return "session_user";
		case SVFOP_CURRENT_CATALOG:
			return "current_catalog";
		case SVFOP_CURRENT_SCHEMA:
			return "current_schema";
		default:
			return NULL;		/* the date and the time are the orchestration's */
	}
}

const char *
refused_value(const SQLValueFunction *value, const Refusal **refusal)
{
	const char *name = value_function_name(value->op);

	if (name == NULL)
		return NULL;
	*refusal = function_refusal_of_name(name);
	return asc_toupper(name, strlen(name));
}

/* Does a value of the type have a date or a time in it that input makes of words? */
static bool
type_takes_dates(Oid type)
{
	Oid			part;

	type = getBaseType(type);
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
	}
	part = get_element_type(type);
	if (!OidIsValid(part))
		part = get_range_subtype(type);
	if (!OidIsValid(part))
		part = get_multirange_range(type);
	return OidIsValid(part) && type_takes_dates(part);
}

/* The length of a quoted literal at the beginning of the text, which may have a prefix as E. */
static int
literal_length(const char *text)
{
	const char *quote = strpbrk(text, "'$");
	const char *end;

	if (quote == NULL || quote - text > 2)
		return 0;
	end = strchr(quote + 1, *quote);
	if (end != NULL && *quote == '$')
	{
		char	   *tag = pnstrdup(quote, end - quote + 1);

		end = strstr(end + 1, tag);
		pfree(tag);
	}
	return end ? end - text : 0;
}

static const char *
find_word(const char *literal, int length)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < length; i++)
	{
		if (i > 0 && isalpha((unsigned char) literal[i - 1]))
			continue;
		for (int w = 0; w < lengthof(words); w++)
		{
			int			size = strlen(words[w]);

			if (i + size <= length && pg_strncasecmp(literal + i, words[w], size) == 0 &&
				!isalpha((unsigned char) literal[i + size]))
				return words[w];
		}
	}
	return NULL;
}

const char *
frozen_word(const Const *constant, const char *source)
{
	const char *literal;

	if (constant->location < 0 || source == NULL || constant->constisnull ||
		constant->location >= strlen(source) || !type_takes_dates(constant->consttype))
		return NULL;
	literal = source + constant->location;
	return find_word(literal, literal_length(literal));
}

const char *
relation_word(char relkind)
{
	switch (relkind)
	{
		case RELKIND_VIEW:
			return "view";
		case RELKIND_MATVIEW:
			return "materialized view";
		case RELKIND_FOREIGN_TABLE:
			return "foreign table";
		case RELKIND_SEQUENCE:
			return "sequence";
		default:
			return "table";
	}
}
