/*
 * json.c
 *		Small things done with jsonb: pure, see json.h.
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "core/json.h"

/* What json_object_from_text() takes. */
#define MAX_TEXT_LENGTH		(1024 * 1024)
#define MAX_DEPTH			64
#define MAX_NUMBER_LENGTH	1000
#define MAX_EXPONENT_DIGITS 3

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

void
json_push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value;

	pushJsonbValue(state, WJB_KEY, string_value(&value, key));
}

void
json_push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue	value;

	if (text == NULL)
		return;
	json_push_key(state, key);
	pushJsonbValue(state, WJB_VALUE, string_value(&value, text));
}

void
json_push_json(JsonbParseState **state, const char *key, Jsonb *json)
{
	JsonbValue	value;

	if (json == NULL)
		return;
	json_push_key(state, key);
	if (JB_ROOT_IS_SCALAR(json))
		(void) JsonbExtractScalar(&json->root, &value);
	else
	{
		value.type = jbvBinary;
		value.val.binary.data = &json->root;
		value.val.binary.len = VARSIZE(json) - VARHDRSZ;
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

Jsonb *
json_with_text(Jsonb *object, const char *key, const char *text)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	json_push_text(&state, key, text);
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

/* The end of a number, NULL if numeric might not hold it. */
static const char *
skip_number(const char *p)
{
	size_t		length = strspn(p, "+-.0123456789");
	size_t		digits = 0;

	if (p[length] == 'e' || p[length] == 'E')
	{
		length++;
		length += strspn(p + length, "+-");
		digits = strspn(p + length, "0123456789");
	}
	if (length + digits > MAX_NUMBER_LENGTH || digits > MAX_EXPONENT_DIGITS)
		return NULL;
	return p + length + digits;
}

/*
 * The closing quote of the string that begins here, or the end of the text;
 * NULL if it has \u escapes and they are not allowed.
 */
static const char *
skip_string(const char *p, bool allow_unicode)
{
	for (p++; *p != '\0' && *p != '"'; p++)
	{
		if (*p != '\\')
			continue;
		p++;
		if (*p == '\0')
			break;
		if (*p == 'u' && !allow_unicode)
			return NULL;
	}
	return p;
}

/*
 * The parser throws on deep nesting and, in other encodings than UTF-8, on
 * characters that do not exist there; jsonb throws on numbers beyond numeric.
 * Is there nothing of that in the text?
 */
static bool
is_harmless(const char *text)
{
	bool		allow_unicode = GetDatabaseEncoding() == PG_UTF8;
	int			depth = 0;
	const char *p = text;

	while (p != NULL && *p != '\0')
	{
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		if (depth > MAX_DEPTH)
			return false;
		if (*p == '-' || (*p >= '0' && *p <= '9'))
			p = skip_number(p);
		else if (*p == '"')
		{
			p = skip_string(p, allow_unicode);
			if (p != NULL && *p == '"')
				p++;
		}
		else
			p++;
	}
	return p != NULL;
}

Jsonb *
json_object_from_text(const char *text)
{
	size_t		length;

	if (text == NULL || text[strspn(text, " \t\n\r")] != '{')
		return NULL;
	length = strlen(text);
	if (length > MAX_TEXT_LENGTH || !is_harmless(text))
		return NULL;
	if (pg_parse_json(durable_json_lexer(text, length, GetDatabaseEncoding()), &nullSemAction) != JSON_SUCCESS)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}
