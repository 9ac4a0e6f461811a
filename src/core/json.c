/*
 * json.c
 *		Small things done with jsonb: pure, see json.h.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "core/json.h"

static JsonbValue *
string_value(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = (char *) text;
	value->val.string.len = strlen(text);
	return value;
}

Jsonb *
json_string(const char *text)
{
	JsonbValue	value;

	return JsonbValueToJsonb(string_value(&value, text));
}

Jsonb *
json_merge(Jsonb *base, Jsonb *overriding)
{
	if (base == NULL)
		return overriding;
	if (overriding == NULL)
		return base;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(base), JsonbPGetDatum(overriding)));
}

Jsonb *
json_with_text(Jsonb *object, const char *key, const char *text)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, string_value(&value, key));
	pushJsonbValue(&state, WJB_VALUE, string_value(&value, text));
	return json_merge(object, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static JsonbValue *
find_field(Jsonb *object, const char *key, JsonbValue *value)
{
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), value);
}

bool
json_has_key(Jsonb *object, const char *key)
{
	JsonbValue	value;

	return find_field(object, key, &value) != NULL;
}

const char *
json_text_field(Jsonb *object, const char *key)
{
	JsonbValue	value;

	if (find_field(object, key, &value) == NULL || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

const char *
json_scalar_text(Jsonb *json)
{
	JsonbValue	value;

	if (json == NULL || !JB_ROOT_IS_SCALAR(json) || !JsonbExtractScalar(&json->root, &value))
		return NULL;
	if (value.type == jbvString)
		return pnstrdup(value.val.string.val, value.val.string.len);
	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}
