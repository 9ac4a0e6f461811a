/*
 * failure.c
 *		Failure details: pure, see failure.h.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "core/condition_names.h"
#include "core/failure.h"
#include "core/json.h"

const char *
condition_name(const char *sqlstate)
{
	int			low = 0;
	int			high = lengthof(condition_names) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(sqlstate, condition_names[middle].sqlstate);

		if (order == 0)
			return condition_names[middle].name;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return sqlstate;
}

static void
push_bool(JsonbParseState **state, const char *key, bool boolean)
{
	JsonbValue	value;

	json_push_key(state, key);
	value.type = jbvBool;
	value.val.boolean = boolean;
	pushJsonbValue(state, WJB_VALUE, &value);
}

Jsonb *
failure_make(const Failure *failure)
{
	JsonbParseState *state = NULL;
	const char *type = failure->error_type;

	if (type == NULL && failure->sqlstate != NULL)
		type = condition_name(failure->sqlstate);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_push_text(&state, "errorType", type);
	json_push_text(&state, "errorMessage", failure->message ? failure->message : "");
	json_push_text(&state, "sqlstate", failure->sqlstate);
	json_push_text(&state, "detail", failure->detail);
	json_push_text(&state, "hint", failure->hint);
	json_push_text(&state, "context", failure->context);
	push_bool(&state, "isNonRetriable", failure->non_retriable);
	json_push_json(&state, "innerFailure", failure->inner);
	json_push_json(&state, "properties", failure->properties);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
failure_of_damage(const char *task_hub, const char *instance_id, const char *damage)
{
	Failure		failure = {0};

	failure.sqlstate = "UD013";
	failure.error_type = "DamagedInstance";
	failure.message = psprintf("what is stored of instance \"%s\" in task hub \"%s\" is damaged", instance_id, task_hub);
	failure.detail = damage;
	failure.hint = "Somebody changed the tables of durable by hand, or restored some of them. Start it anew, or restore all of them.";
	failure.non_retriable = true;
	return failure_make(&failure);
}

Jsonb *
failure_from_error(const ErrorData *error, bool non_retriable)
{
	Failure		failure = {0};
	char		sqlstate[6];

	strlcpy(sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(sqlstate));
	failure.sqlstate = sqlstate;
	failure.message = error->message;
	failure.detail = error->detail;
	failure.hint = error->hint;
	failure.context = error->context;
	failure.non_retriable = non_retriable;
	failure.properties = json_object_from_text(error->detail);
	return failure_make(&failure);
}

const char *
failure_field(Jsonb *failure, const char *field)
{
	return json_text_field(failure, field);
}

bool
failure_is_non_retriable(Jsonb *failure)
{
	JsonbValue	value;

	if (failure == NULL || !JB_ROOT_IS_OBJECT(failure))
		return false;
	return getKeyJsonValueFromContainer(&failure->root, "isNonRetriable", 14, &value) != NULL &&
		value.type == jbvBool && value.val.boolean;
}
