/*
 * history_document.c
 *		Histories as JSON: pure, see history_document.h.
 *
 * {"format": 1,
 *  "instance": {"instance_id", "execution_id", "generation", "name", "function", "version", "status",
 *               "parent": {"instance_id", "execution_id", "task_id"},
 *               "settings", "tags", "input", "output", "failure", "custom_status"},
 *  "events": [{"seq", "turn", "turn_at", "timestamp", "type", "event_id", "task_id", "fire_at", "name",
 *              "version", "target_instance_id", "payload", "failure", "tags", "retry"}, ...]}
 *
 * Times are ISO 8601 in UTC to the microsecond.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "core/history_document.h"
#include "core/json.h"

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

static void
push_integer(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue	value;

	json_push_key(state, key);
	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_time(JsonbParseState **state, const char *key, TimestampTz time)
{
	int			utc = 0;

	if (!TIMESTAMP_IS_NOBEGIN(time))
		json_push_text(state, key, JsonEncodeDateTime(palloc(MAXDATELEN + 1), TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc));
}

static void
push_uuid(JsonbParseState **state, const char *key, const pg_uuid_t *uuid)
{
	json_push_text(state, key, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid))));
}

static void
push_parent(JsonbParseState **state, const RuntimeState *instance)
{
	if (instance->parent_instance_id == NULL)
		return;
	json_push_key(state, "parent");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	json_push_text(state, "instance_id", instance->parent_instance_id);
	push_uuid(state, "execution_id", &instance->parent_execution_id);
	push_integer(state, "task_id", instance->parent_task_id);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_instance(JsonbParseState **state, const RuntimeState *instance)
{
	json_push_key(state, "instance");
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	json_push_text(state, "instance_id", instance->instance_id);
	push_uuid(state, "execution_id", &instance->execution_id);
	push_integer(state, "generation", instance->generation);
	json_push_text(state, "name", instance->name);
	json_push_text(state, "function", instance->function);
	json_push_text(state, "version", instance->version);
	json_push_text(state, "status", runtime_status_name(instance->status));
	push_parent(state, instance);
	json_push_json(state, "settings", instance->settings_json);
	json_push_json(state, "tags", instance->tags);
	json_push_json(state, "input", instance->input);
	json_push_json(state, "output", instance->output);
	json_push_json(state, "failure", instance->failure);
	json_push_json(state, "custom_status", instance->custom_status);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
push_event(JsonbParseState **state, const HistoryEvent *event)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_integer(state, "seq", event->seq);
	push_integer(state, "turn", event->turn);
	push_time(state, "turn_at", event->turn_at);
	push_time(state, "timestamp", event->timestamp);
	json_push_text(state, "type", history_event_type_name(event->type));
	if (event->event_id != NO_EVENT_ID)
		push_integer(state, "event_id", event->event_id);
	if (event->task_id != NO_TASK_ID)
		push_integer(state, "task_id", event->task_id);
	push_time(state, "fire_at", event->fire_at);
	json_push_text(state, "name", event->name);
	json_push_text(state, "version", event->version);
	json_push_text(state, "target_instance_id", event->target_instance_id);
	json_push_json(state, "payload", event->payload);
	json_push_json(state, "failure", event->failure);
	json_push_json(state, "tags", event->tags);
	json_push_json(state, "retry", event->retry);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Jsonb *
history_document_write(const RuntimeState *instance)
{
	JsonbParseState *state = NULL;
	ListCell   *lc;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_integer(&state, "format", HISTORY_FORMAT);
	push_instance(&state, instance);
	json_push_key(&state, "events");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(lc, instance->past_events)
		push_event(&state, lfirst(lc));
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

/* An object of the document, and what to call it in errors. */
typedef struct Source
{
	JsonbContainer *object;
	const char *where;
} Source;

DURABLE_NORETURN static void malformed(const char *where, const char *format,...) pg_attribute_printf(2, 3);

static void
malformed(const char *where, const char *format,...)
{
	char		problem[512];
	va_list		args;

	va_start(args, format);
	vsnprintf(problem, sizeof(problem), format, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is not a history that durable.export_history() made"),
			 errdetail("In %s: %s.", where, problem)));
}

/* The field's value; false if there is none. */
static bool
find_field(const Source *source, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(source->object, key, strlen(key), value) != NULL;
}

static const char *
text_field(const Source *source, const char *key, bool required)
{
	JsonbValue	value;

	if (!find_field(source, key, &value))
	{
		if (required)
			malformed(source->where, "\"%s\" is missing", key);
		return NULL;
	}
	if (value.type != jbvString)
		malformed(source->where, "\"%s\" is not a string", key);
	if (required && value.val.string.len == 0)
		malformed(source->where, "\"%s\" is empty", key);
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* An id that has to fit into a column of its own. */
static const char *
id_field(const Source *source, const char *key, bool required)
{
	const char *id = text_field(source, key, required);

	if (id != NULL && strlen(id) > 255)
		malformed(source->where, "\"%s\" has more than 255 bytes", key);
	return id;
}

static int64
integer_field(const Source *source, const char *key, int64 min, int64 max)
{
	JsonbValue	value;
	char	   *text;
	char	   *end;
	int64		number;

	if (!find_field(source, key, &value))
		malformed(source->where, "\"%s\" is missing", key);
	if (value.type != jbvNumeric)
		malformed(source->where, "\"%s\" is not a number", key);
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < min || number > max)
		malformed(source->where, "\"%s\" is not an integer from " INT64_FORMAT " to " INT64_FORMAT, key, min, max);
	return number;
}

static int
optional_integer_field(const Source *source, const char *key, int64 min, int when_missing)
{
	JsonbValue	value;

	return find_field(source, key, &value) ? (int) integer_field(source, key, min, PG_INT32_MAX) : when_missing;
}

/* Any JSON; a JSON null is a value. */
static Jsonb *
json_field(const Source *source, const char *key)
{
	JsonbValue	value;

	return find_field(source, key, &value) ? JsonbValueToJsonb(&value) : NULL;
}

static Jsonb *
object_field(const Source *source, const char *key)
{
	Jsonb	   *json = json_field(source, key);

	if (json != NULL && !JB_ROOT_IS_OBJECT(json))
		malformed(source->where, "\"%s\" is not an object", key);
	return json;
}

/* The numbers of "2026-01-31T12:00:00.123456+00:00"; false if it does not look like that. */
static bool
scan_time(const char *text, struct pg_tm *tm, int *microseconds, int *zone)
{
	char		fraction[7] = "";
	char		sign;
	int			zone_hours;
	int			zone_minutes;
	int			read = 0;

	memset(tm, 0, sizeof(*tm));
	*microseconds = 0;
	if (sscanf(text, "%6d-%2d-%2dT%2d:%2d:%2d%n", &tm->tm_year, &tm->tm_mon, &tm->tm_mday,
			   &tm->tm_hour, &tm->tm_min, &tm->tm_sec, &read) != 6)
		return false;
	text += read;
	if (*text == '.')
	{
		if (sscanf(++text, "%6[0-9]", fraction) != 1)
			return false;
		text += strlen(fraction);
		for (int i = 0; i < 6; i++)
			*microseconds = *microseconds * 10 + (i < strlen(fraction) ? fraction[i] - '0' : 0);
	}
	*zone = 0;
	if (strcmp(text, "Z") == 0)
		return true;
	if (sscanf(text, "%c%2d:%2d%n", &sign, &zone_hours, &zone_minutes, &read) != 3 || text[read] != '\0' ||
		(sign != '+' && sign != '-') || zone_hours < 0 || zone_hours > MAX_TZDISP_HOUR || zone_minutes < 0 || zone_minutes > 59)
		return false;
	*zone = (zone_hours * MINS_PER_HOUR + zone_minutes) * SECS_PER_MINUTE * (sign == '+' ? -1 : 1);
	return true;
}

static bool
parse_time(const char *text, TimestampTz *time)
{
	struct pg_tm tm;
	int			microseconds;
	int			zone;

	if (!scan_time(text, &tm, &microseconds, &zone) ||
		tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > MONTHS_PER_YEAR ||
		tm.tm_mday < 1 || tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 59)
		return false;
	return tm2timestamp(&tm, microseconds, &zone, time) == 0;
}

static TimestampTz
time_field(const Source *source, const char *key)
{
	const char *text = text_field(source, key, true);
	TimestampTz time;

	if (!parse_time(text, &time))
		malformed(source->where, "\"%s\" is not a time such as 2026-01-31T12:00:00.123456+00:00", key);
	return time;
}

/* Timers may be due never. */
static TimestampTz
optional_time_field(const Source *source, const char *key)
{
	const char *text = text_field(source, key, false);

	if (text == NULL)
		return DT_NOBEGIN;
	return strcmp(text, "infinity") == 0 ? DT_NOEND : time_field(source, key);
}

static void
uuid_field(const Source *source, const char *key, pg_uuid_t *uuid)
{
	const char *text = text_field(source, key, true);
	int			digits = 0;

	memset(uuid, 0, sizeof(*uuid));
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '-')
			continue;
		if (!isxdigit((unsigned char) *p) || digits == 2 * UUID_LEN)
			malformed(source->where, "\"%s\" is not a UUID", key);
		uuid->data[digits / 2] = uuid->data[digits / 2] * 16 +
			(isdigit((unsigned char) *p) ? *p - '0' : (*p | 0x20) - 'a' + 10);
		digits++;
	}
	if (digits != 2 * UUID_LEN)
		malformed(source->where, "\"%s\" is not a UUID", key);
}

/* An object within an object. */
static bool
find_object(const Source *source, const char *key, JsonbValue *value, Source *found)
{
	if (!find_field(source, key, value))
		return false;
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		malformed(source->where, "\"%s\" is not an object", key);
	found->object = value->val.binary.data;
	return true;
}

static void
read_parent(const Source *source, RuntimeState *state)
{
	JsonbValue	value;
	Source		parent = {NULL, "the parent of the instance"};

	if (!find_object(source, "parent", &value, &parent))
		return;
	state->parent_instance_id = id_field(&parent, "instance_id", true);
	uuid_field(&parent, "execution_id", &state->parent_execution_id);
	state->parent_task_id = (int) integer_field(&parent, "task_id", 0, PG_INT32_MAX);
}

static RuntimeState *
read_instance(const Source *source)
{
	RuntimeState *state = palloc0(sizeof(RuntimeState));

	state->instance_id = id_field(source, "instance_id", true);
	uuid_field(source, "execution_id", &state->execution_id);
	state->generation = integer_field(source, "generation", 1, PG_INT64_MAX);
	state->name = text_field(source, "name", true);
	state->function = text_field(source, "function", true);
	state->version = text_field(source, "version", false);
	if (!runtime_status_from_name(text_field(source, "status", true), &state->status))
		malformed(source->where, "\"status\" is none that an instance has");
	read_parent(source, state);
	state->settings_json = object_field(source, "settings");
	instance_settings_read(state->settings_json, &state->settings);
	state->tags = object_field(source, "tags");
	state->input = json_field(source, "input");
	state->output = json_field(source, "output");
	state->failure = object_field(source, "failure");
	state->custom_status = json_field(source, "custom_status");
	return state;
}

static EventType
type_field(const Source *source)
{
	const char *name = text_field(source, "type", true);

	/* numbers between that no event has are all called "unknown" */
	for (int type = EVENT_EXECUTION_STARTED; type <= EVENT_EXECUTION_REWOUND && strcmp(name, "unknown") != 0; type++)
		if (strcmp(history_event_type_name((EventType) type), name) == 0)
			return (EventType) type;
	malformed(source->where, "there is no event type \"%s\"", name);
	return EVENT_GENERIC;
}

/* What the replay relies on in an event of this type. */
static void
require_fields(const Source *source, const HistoryEvent *event)
{
	switch (event->type)
	{
		case EVENT_TASK_SCHEDULED:
		case EVENT_SUBORCHESTRATION_CREATED:
		case EVENT_EVENT_SENT:
			(void) text_field(source, "name", true);
			(void) integer_field(source, "event_id", 0, PG_INT32_MAX);
			break;
		case EVENT_TIMER_CREATED:
			(void) integer_field(source, "event_id", PG_INT32_MIN, PG_INT32_MAX);
			break;
		case EVENT_TASK_COMPLETED:
		case EVENT_TASK_FAILED:
		case EVENT_SUBORCHESTRATION_COMPLETED:
		case EVENT_SUBORCHESTRATION_FAILED:
		case EVENT_TIMER_FIRED:
			(void) integer_field(source, "task_id", PG_INT32_MIN, PG_INT32_MAX);
			break;
		case EVENT_EVENT_RAISED:
			(void) text_field(source, "name", false);
			break;
		default:
			break;
	}
	if ((event->type == EVENT_TASK_FAILED || event->type == EVENT_SUBORCHESTRATION_FAILED) && event->failure == NULL)
		malformed(source->where, "\"failure\" is missing");
	if (event->type == EVENT_EVENT_RAISED && event->name == NULL)
		malformed(source->where, "\"name\" is missing");
}

static HistoryEvent *
read_event(const Source *source)
{
	HistoryEvent *event = history_event_make(type_field(source), time_field(source, "timestamp"));

	event->seq = (int) integer_field(source, "seq", 1, PG_INT32_MAX);
	event->turn = (int) integer_field(source, "turn", 1, PG_INT32_MAX);
	event->turn_at = time_field(source, "turn_at");
	event->event_id = optional_integer_field(source, "event_id", PG_INT32_MIN, NO_EVENT_ID);
	event->task_id = optional_integer_field(source, "task_id", PG_INT32_MIN, NO_TASK_ID);
	event->fire_at = optional_time_field(source, "fire_at");
	event->name = text_field(source, "name", false);
	event->version = text_field(source, "version", false);
	event->target_instance_id = text_field(source, "target_instance_id", false);
	event->payload = json_field(source, "payload");
	event->failure = object_field(source, "failure");
	event->tags = object_field(source, "tags");
	event->retry = object_field(source, "retry");
	event->recurse = event->type == EVENT_EXECUTION_TERMINATED && json_has_key(event->tags, RECURSE_TAG);
	require_fields(source, event);
	return event;
}

/* Events are in order, and those of a turn have one time. */
static void
add_event(RuntimeState *state, HistoryEvent *event, const char *where)
{
	const HistoryEvent *last = state->past_events ? llast(state->past_events) : NULL;

	if (last != NULL && event->seq <= last->seq)
		malformed(where, "\"seq\" is not greater than that of the event before");
	if (last != NULL && event->turn < last->turn)
		malformed(where, "\"turn\" is less than that of the event before");
	if (last != NULL && event->turn_at < last->turn_at)
		malformed(where, "\"turn_at\" is before that of the event before");
	if (last != NULL && last->type == EVENT_EXECUTION_COMPLETED)
		malformed(where, "it comes after ExecutionCompleted");
	state->past_events = lappend(state->past_events, event);
	state->turn = event->turn;
	state->turn_at = event->turn_at;
	state->last_seq = event->seq;
}

static void
read_events(const Source *source, RuntimeState *state)
{
	JsonbValue	events;
	JsonbValue	element;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	int			n = 0;

	if (!find_field(source, "events", &events) || events.type != jbvBinary || !JsonContainerIsArray(events.val.binary.data))
		malformed(source->where, "\"events\" is not an array");
	iterator = JsonbIteratorInit(events.val.binary.data);
	(void) JsonbIteratorNext(&iterator, &element, true);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) == WJB_ELEM)
	{
		Source		event = {NULL, psprintf("element %d of \"events\"", n++)};

		if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
			malformed(event.where, "it is not an object");
		event.object = element.val.binary.data;
		add_event(state, read_event(&event), event.where);
	}
}

/* A finished one has its end in the history, if it has begun. (So has one that is about to be rewound.) */
static void
require_sound_end(const RuntimeState *state)
{
	const HistoryEvent *last = state->past_events ? llast(state->past_events) : NULL;

	if (last != NULL && !runtime_state_is_started(state))
		malformed("\"events\"", "there is no ExecutionStarted");
	if (last != NULL && last->type != EVENT_EXECUTION_COMPLETED && runtime_status_is_finished(state->status))
		malformed("\"instance\"", "\"status\" is \"%s\", but \"events\" do not end with ExecutionCompleted",
				  runtime_status_name(state->status));
}

RuntimeState *
history_document_read(Jsonb *document)
{
	Source		whole = {&document->root, "the document"};
	Source		instance = {NULL, "\"instance\""};
	JsonbValue	value;
	RuntimeState *state;
	int64		format;

	if (!JB_ROOT_IS_OBJECT(document))
		malformed(whole.where, "it is not an object");
	format = integer_field(&whole, "format", 0, PG_INT32_MAX);
	if (format != HISTORY_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("histories of format " INT64_FORMAT " cannot be imported", format),
				 errdetail("This version of durable reads and writes format %d.", HISTORY_FORMAT)));
	if (!find_object(&whole, "instance", &value, &instance))
		malformed(whole.where, "\"instance\" is missing");
	state = read_instance(&instance);
	read_events(&whole, state);
	require_sound_end(state);
	return state;
}
