/*
 * client_api.c
 *		Starting instances and sending to them: transactional, from any session.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/xml.h"

#include "arguments.h"
#include "client/hub_access.h"
#include "clock.h"
#include "core/json.h"
#include "dispatch/pinned_code.h"
#include "dispatch/registry.h"
#include "dispatch/sharing.h"
#include "early_commit.h"
#include "errors.h"
#include "ids.h"
#include "points.h"
#include "replay/orchestration_context.h"
#include "replay/sandbox.h"
#include "store/activity_store.h"
#include "store/code_store.h"
#include "store/inbox_store.h"
#include "store/instance_start.h"
#include "store/rewind_store.h"
#include "wake.h"

/* Of utils/pg_locale.h, which needs ICU's headers from PostgreSQL 16 on. */
extern PGDLLIMPORT char *locale_messages;
extern PGDLLIMPORT char *locale_monetary;
extern PGDLLIMPORT char *locale_numeric;
extern PGDLLIMPORT char *locale_time;

PG_FUNCTION_INFO_V1(durable_start_instance);
PG_FUNCTION_INFO_V1(durable_raise_event);
PG_FUNCTION_INFO_V1(durable_terminate);
PG_FUNCTION_INFO_V1(durable_suspend);
PG_FUNCTION_INFO_V1(durable_resume);
PG_FUNCTION_INFO_V1(durable_restart);
PG_FUNCTION_INFO_V1(durable_rewind);

/* The arguments of start_instance(). */
enum
{
	S_ORCHESTRATOR, S_INPUT, S_INSTANCE_ID, S_VERSION, S_START_AT, S_TAGS, S_REPLACE_STATUSES, S_IF_EXISTS,
	S_EVENT_NAME, S_EVENT_DATA, S_NOTIFY, S_TRACE_PARENT, S_TASK_HUB
};

/* What to do about an existing instance. */
typedef struct ReusePolicy
{
	bool		replace[STATUS_CANCELED + 1];
	bool		skip;
	const char *taken_hint;		/* the way out when the id is taken */
} ReusePolicy;

static char *
text_or_null(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

static Jsonb *
jsonb_or_null(FunctionCallInfo fcinfo, int arg, const char *what)
{
	Jsonb	   *json = PG_ARGISNULL(arg) ? NULL : PG_GETARG_JSONB_P(arg);

	check_payload_size(json, what);
	return json;
}

/* ------------------------------------------------------------------------
 * Start
 * ------------------------------------------------------------------------
 */

/* Replacing a live instance terminates it, so whoever allows that must allow replacing terminated ones. */
static void
check_reuse_policy(const ReusePolicy *policy)
{
	if ((policy->replace[STATUS_PENDING] || policy->replace[STATUS_RUNNING] || policy->replace[STATUS_SUSPENDED]) &&
		!policy->replace[STATUS_TERMINATED])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"),
				 errhint("Add 'terminated' to replace_statuses.")));
}

static void
replace_finished(ReusePolicy *policy)
{
	policy->replace[STATUS_COMPLETED] = policy->replace[STATUS_FAILED] =
		policy->replace[STATUS_TERMINATED] = policy->replace[STATUS_CANCELED] = true;
}

static void
read_reuse_policy(FunctionCallInfo fcinfo, ReusePolicy *policy)
{
	const char *if_exists;

	require_argument(fcinfo, S_IF_EXISTS, "if_exists");
	if_exists = text_to_cstring(PG_GETARG_TEXT_PP(S_IF_EXISTS));
	memset(policy, 0, sizeof(ReusePolicy));
	policy->taken_hint = "Choose another instance_id, or use if_exists => 'skip' to leave it, or for example replace_statuses => '{running,terminated}' to replace it.";
	policy->skip = strcmp(if_exists, "skip") == 0;
	if (!policy->skip && strcmp(if_exists, "error") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("if_exists must be 'error' or 'skip', not '%s'", if_exists)));
	if (!PG_ARGISNULL(S_REPLACE_STATUSES))
		statuses_argument(PG_GETARG_ARRAYTYPE_P(S_REPLACE_STATUSES), "replace_statuses", policy->replace);
	else if (!policy->skip)
		replace_finished(policy);
	check_reuse_policy(policy);
}

/* The name that "$user" stands for in the search_path; NULL if it is not there. */
static const char *
user_in_search_path(void)
{
	return strstr(namespace_search_path, "$user") ? GetUserNameFromId(GetUserId(), false) : NULL;
}

/* The search_path with "$user" replaced: what it means is settled at the start, whatever the role is called later. */
static char *
settled_search_path(const char *user)
{
	List	   *names;
	StringInfoData path;
	ListCell   *lc;

	if (!SplitIdentifierString(pstrdup(namespace_search_path), ',', &names))
		return namespace_search_path;
	initStringInfo(&path);
	foreach(lc, names)
	{
		const char *name = lfirst(lc);

		if (user != NULL && strcmp(name, "$user") == 0)
			name = user;
		appendStringInfo(&path, "%s%s", path.len > 0 ? ", " : "", quote_identifier(name));
	}
	return path.data;
}

static Jsonb *
settings_json(const char *user)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < N_RECORDED_SETTINGS; i++)
	{
		const RecordedSetting *setting = &recorded_settings[i];
		const char *value = GetConfigOption(setting->name, false, false);

		if (strcmp(setting->name, "search_path") == 0)
			value = settled_search_path(user);
		if (setting->omitted == NULL || strcmp(value, setting->omitted) != 0)
			json_push_text(&state, setting->name, pstrdup(value));
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

#define N_SETTING_TEXTS 7
#define N_SETTING_NUMBERS 11

/* The recorded settings as the server has them: to ask for all by name takes as long as a row takes to write. */
typedef struct SettingsState
{
	const pg_tz *zone;			/* each has one address in a process */
	int			numbers[N_SETTING_NUMBERS];
	const char *texts[N_SETTING_TEXTS];
} SettingsState;

static void
read_settings_state(const char *user, SettingsState *state)
{
	const SettingsState now = {
		session_timezone,
		{DateStyle, DateOrder, IntervalStyle, extra_float_digits, bytea_output, quote_all_identifiers,
		standard_conforming_strings, Transform_null_equals, Array_nulls, xmlbinary, xmloption},
		{namespace_search_path, user, locale_monetary, locale_numeric, locale_time, locale_messages,
		GetConfigOption("timezone_abbreviations", false, false)}
	};

	StaticAssertStmt(N_RECORDED_SETTINGS == 17, "a recorded setting is not in SettingsState");
	*state = now;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_state(const SettingsState *a, const SettingsState *b)
{
	if (a->zone != b->zone || memcmp(a->numbers, b->numbers, sizeof(a->numbers)) != 0)
		return false;
	for (int i = 0; i < N_SETTING_TEXTS; i++)
		if (!same_text(a->texts[i], b->texts[i]))
			return false;
	return true;
}

/* What was recorded last, mostly it is the same again; NULL: nothing yet. */
static Jsonb *last_settings = NULL;
static SettingsState last_state;

static void
keep_settings(const SettingsState *state, Jsonb *json)
{
	static MemoryContext context = NULL;
	MemoryContext old;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "durable recorded settings", ALLOCSET_SMALL_SIZES);
	last_settings = NULL;
	MemoryContextReset(context);
	old = MemoryContextSwitchTo(context);
	last_state = *state;
	for (int i = 0; i < N_SETTING_TEXTS; i++)
		last_state.texts[i] = state->texts[i] ? pstrdup(state->texts[i]) : NULL;
	last_settings = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(json));
	MemoryContextSwitchTo(old);
}

/* The settings its code is to run with, as this session has them now; to be read only. */
static Jsonb *
current_settings(void)
{
	const char *user = user_in_search_path();
	SettingsState state;

	read_settings_state(user, &state);
	if (last_settings == NULL || !same_state(&state, &last_state))
		keep_settings(&state, settings_json(user));
	return last_settings;
}

static void
read_start_time(FunctionCallInfo fcinfo, NewInstance *instance)
{
	instance->start_at = DT_NOBEGIN;
	if (PG_ARGISNULL(S_START_AT))
		return;
	require_finite(PG_GETARG_TIMESTAMPTZ(S_START_AT), "start_at");
	if (PG_GETARG_TIMESTAMPTZ(S_START_AT) > instance->created_at)
		instance->start_at = PG_GETARG_TIMESTAMPTZ(S_START_AT);
}

static void
read_instance_id(FunctionCallInfo fcinfo, NewInstance *instance)
{
	if (PG_ARGISNULL(S_INSTANCE_ID))
	{
		pg_uuid_t	id;

		make_time_ordered_uuid(instance->created_at, &id);
		instance->instance_id = execution_id_text(&id);
		instance->has_new_id = true;
		return;
	}
	require_instance_id(PG_GETARG_TEXT_PP(S_INSTANCE_ID));
	instance->instance_id = text_to_cstring(PG_GETARG_TEXT_PP(S_INSTANCE_ID));
}

static void
read_new_instance(FunctionCallInfo fcinfo, NewInstance *instance)
{
	require_argument(fcinfo, S_ORCHESTRATOR, "orchestrator");
	require_not_empty(PG_GETARG_TEXT_PP(S_ORCHESTRATOR), "orchestrator");
	require_argument(fcinfo, S_NOTIFY, "notify");
	memset(instance, 0, sizeof(NewInstance));
	instance->created_at = clock_now();
	make_time_ordered_uuid(instance->created_at, &instance->execution_id);
	instance->name = text_to_cstring(PG_GETARG_TEXT_PP(S_ORCHESTRATOR));
	instance->version = text_or_null(fcinfo, S_VERSION);
	instance->input = jsonb_or_null(fcinfo, S_INPUT, "input of the instance");
	instance->tags = jsonb_or_null(fcinfo, S_TAGS, "tags of the instance");
	require_tags(instance->tags);
	instance->settings = current_settings();
	instance->notify = PG_GETARG_BOOL(S_NOTIFY);
	instance->trace_parent = text_or_null(fcinfo, S_TRACE_PARENT);
	read_instance_id(fcinfo, instance);
	read_start_time(fcinfo, instance);
}

static void
check_for_hub(const Hub *hub, Jsonb *payload, const char *what)
{
	check_payload_size_of_hub(payload, what, hub->name, hub->limits.max_payload_size);
}

/*
 * Has the hub room for one more? It has been inserted, so it counts itself.
 * Within a transaction they are not counted again before as many were started
 * as there was room for. What others have not committed does not count.
 */
static void
check_pending_instances(const Hub *hub)
{
	static char counted_hub[NAMEDATALEN];
	static FullTransactionId counted_by;
	static int64 room;
	int64		limit = hub->limits.max_pending_instances;
	FullTransactionId transaction = GetTopFullTransactionId();

	if (limit == 0)
		return;
	if (FullTransactionIdEquals(counted_by, transaction) && strcmp(counted_hub, hub->name) == 0 && room > 0)
	{
		room--;
		return;
	}
	room = limit - store_count_unfinished(hub->name, limit + 1);
	counted_by = transaction;
	strlcpy(counted_hub, hub->name, NAMEDATALEN);
	if (room < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_LIMIT_EXCEEDED),
				 errmsg("task hub \"%s\" has as many unfinished instances as it may have", hub->name),
				 errdetail("Its max_pending_instances is %lld.", (long long) limit),
				 errhint("Start more when some have finished or were terminated; durable.set_hub_limits() sets the limit.")));
}

/* Before the work is made, for it may take a statement. */
static void
find_pinned_code(const Hub *hub, NewInstance *instance)
{
	instance->code = code_of_signature(instance->function, hub->owner);
	store_keep_code(hub->name, instance->code);
}

/* What depends on the hub. */
static void
find_code(const Hub *hub, NewInstance *instance)
{
	if (instance->version == NULL)
		instance->version = hub->default_version;
	instance->function = orchestrator_function(hub->name, instance->name, instance->version);
	find_pinned_code(hub, instance);
}

static void
instance_exists(const char *instance_id, RuntimeStatus status, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_INSTANCE_EXISTS),
			 errmsg("an instance with id \"%s\" already exists", instance_id),
			 errdetail("Its status is %s.", runtime_status_name(status)),
			 errhint("%s", hint)));
}

/* Inserts or replaces; false if the existing instance stays. */
static bool
start_or_replace(const Hub *hub, NewInstance *instance, const ReusePolicy *policy)
{
	for (;;)
	{
		ExistingInstance existing;

		store_insert_instances(hub->name, list_make1(instance));
		DURABLE_POINT("client.inserted");
		if (instance->created)
		{
			check_pending_instances(hub);
			return true;
		}
		if (!store_lock_existing(hub->name, instance->instance_id, &existing))
			continue;			/* it was purged in between */
		if (policy->replace[existing.status])
		{
			store_replace_instance(hub->name, instance, &existing);
			if (runtime_status_is_finished(existing.status))
				check_pending_instances(hub);
			return true;
		}
		if (!policy->skip)
		{
			XLogFlush(XactLastRecEnd);	/* the lock of the row is behind the commit of who started it */
			instance_exists(instance->instance_id, existing.status, policy->taken_hint);
		}
		return false;
	}
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------
 */

/* What an activity sends to the instance that called it must be there for its next turn. */
static void
note_message(const char *instance_id)
{
	if (current_execution != NULL && strcmp(current_execution->instance_id, instance_id) == 0)
		sharing_note("a message to its own instance");
}

static void
send_message(const Hub *hub, const char *instance_id, HistoryEvent *event)
{
	MessageBuffer *messages = message_buffer_make();

	note_message(instance_id);
	event->visible_at = event->timestamp;
	message_buffer_add(messages, instance_id, event);
	store_send_messages(hub->name, messages);
}

static void
send_event(const Hub *hub, const char *instance_id, const char *name, Jsonb *data)
{
	HistoryEvent *event = history_event_make(EVENT_EVENT_RAISED, clock_now());

	event->name = name;
	event->payload = data;
	send_message(hub, instance_id, event);
}

Datum
durable_start_instance(PG_FUNCTION_ARGS)
{
	Hub			hub;
	NewInstance instance;
	ReusePolicy policy;
	char	   *event_name = text_or_null(fcinfo, S_EVENT_NAME);
	Jsonb	   *event_data = jsonb_or_null(fcinfo, S_EVENT_DATA, "data of the event");

	client_call_begin(fcinfo);
	read_new_instance(fcinfo, &instance);
	read_reuse_policy(fcinfo, &policy);
	if (event_name)
		require_not_empty(PG_GETARG_TEXT_PP(S_EVENT_NAME), "event_name");
	else if (event_data)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event_data is given without event_name")));
	hub_for_call(fcinfo, S_TASK_HUB, &hub);
	check_for_hub(&hub, instance.input, "input of the instance");
	check_for_hub(&hub, instance.tags, "tags of the instance");
	check_for_hub(&hub, event_data, "data of the event");
	require_hub_may_run(&hub);
	find_code(&hub, &instance);
	wake_work_begins(hub.name, instance.instance_id);
	if (start_or_replace(&hub, &instance, &policy) && event_name)
		send_event(&hub, instance.instance_id, event_name, event_data);
	wake_work_ends();
	DURABLE_POINT("client.start");
	PG_RETURN_TEXT_P(cstring_to_text(instance.instance_id));
}

/* Reads the arguments that say to which instance a client sends. */
static char *
addressee(FunctionCallInfo fcinfo, int hub_arg, Hub *hub)
{
	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	hub_to_look_in(fcinfo, hub_arg, hub);
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* The instance a client sends to, with its status; an error if there is none. */
static char *
recipient(FunctionCallInfo fcinfo, int hub_arg, Hub *hub, RuntimeStatus *status)
{
	char	   *instance_id = addressee(fcinfo, hub_arg, hub);

	if (!store_find_recipient(hub->name, instance_id, status))
		no_such_instance(hub, instance_id);
	return instance_id;
}

/* Sends to an instance, unless it has finished; an error if there is none. */
static void
deliver(const Hub *hub, const char *instance_id, HistoryEvent *event)
{
	RuntimeStatus status;

	note_message(instance_id);
	event->visible_at = event->timestamp;
	if (!store_deliver(hub->name, instance_id, event) && !store_find_recipient(hub->name, instance_id, &status))
		no_such_instance(hub, instance_id);
}

Datum
durable_raise_event(PG_FUNCTION_ARGS)
{
	Hub			hub;
	char	   *instance_id;
	HistoryEvent *event = history_event_make(EVENT_EVENT_RAISED, clock_now());

	event->payload = jsonb_or_null(fcinfo, 2, "data of the event");
	require_argument(fcinfo, 1, "event_name");
	require_not_empty(PG_GETARG_TEXT_PP(1), "event_name");
	instance_id = addressee(fcinfo, 3, &hub);
	check_for_hub(&hub, event->payload, "data of the event");
	event->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	wake_work_begins(hub.name, instance_id);
	deliver(&hub, instance_id, event);
	wake_work_ends();
	DURABLE_POINT("client.raise_event");
	PG_RETURN_VOID();
}

static Jsonb *
reason_argument(FunctionCallInfo fcinfo, int arg, const Hub *hub)
{
	Jsonb	   *reason = PG_ARGISNULL(arg) ? NULL : json_string(text_to_cstring(PG_GETARG_TEXT_PP(arg)));

	check_for_hub(hub, reason, "reason");
	return reason;
}

static void
cancel_at_commit(const Hub *hub, const char *instance_id)
{
	if (!cancel_activities_at_commit(hub->name, instance_id))
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_LIMIT_EXCEEDED),
				 errmsg("too many instances to cancel running activities of in one transaction"),
				 errhint("Terminate them in several transactions, or without cancel_running.")));
}

static HistoryEvent *
terminated_event(Jsonb *reason, bool recursive)
{
	HistoryEvent *event = history_event_make(EVENT_EXECUTION_TERMINATED, clock_now());

	event->payload = reason;
	event->recurse = recursive;
	return event;
}

/*
 * Queued activities of the instances go; those that run are cancelled at
 * commit. Descendants are told now, not by their parents: the failure of what
 * is cancelled must not reach them first, and what has lost its activities
 * must end even if its parent continues as new before it is told.
 */
static void
cancel_activities(const Hub *hub, const char *instance_id, bool recursive, Jsonb *reason)
{
	List	   *dropped;
	List	   *running;
	ListCell   *lc;

	sharing_note("activities it takes out of the queue");	/* they may be about to share its transaction */
	store_drop_queued_activities(hub->name, instance_id, recursive, &dropped, &running);
	foreach(lc, list_concat_copy(dropped, running))
		if (strcmp(lfirst(lc), instance_id) != 0)
			send_message(hub, lfirst(lc), terminated_event(reason, true));
	foreach(lc, running)
		cancel_at_commit(hub, lfirst(lc));
}

Datum
durable_terminate(PG_FUNCTION_ARGS)
{
	Hub			hub;
	RuntimeStatus status;
	char	   *instance_id;
	Jsonb	   *reason;

	require_argument(fcinfo, 2, "recursive");
	require_argument(fcinfo, 3, "cancel_running");
	instance_id = recipient(fcinfo, 4, &hub, &status);
	reason = reason_argument(fcinfo, 1, &hub);
	if (PG_GETARG_BOOL(3))
		cancel_activities(&hub, instance_id, PG_GETARG_BOOL(2) && !runtime_status_is_finished(status), reason);
	if (runtime_status_is_finished(status))
		PG_RETURN_VOID();
	note_message(instance_id);
	if (status == STATUS_PENDING &&
		store_terminate_pending(hub.name, instance_id, reason, clock_now()))
		PG_RETURN_VOID();
	send_message(&hub, instance_id, terminated_event(reason, PG_GETARG_BOOL(2)));
	DURABLE_POINT("client.terminate");
	PG_RETURN_VOID();
}

static Datum
send_control(FunctionCallInfo fcinfo, EventType type)
{
	Hub			hub;
	RuntimeStatus status;
	char	   *instance_id = recipient(fcinfo, 2, &hub, &status);
	HistoryEvent *event = history_event_make(type, clock_now());

	event->payload = reason_argument(fcinfo, 1, &hub);
	if (!runtime_status_is_finished(status))
		send_message(&hub, instance_id, event);
	DURABLE_POINT(type == EVENT_EXECUTION_SUSPENDED ? "client.suspend" : "client.resume");
	PG_RETURN_VOID();
}

Datum
durable_suspend(PG_FUNCTION_ARGS)
{
	return send_control(fcinfo, EVENT_EXECUTION_SUSPENDED);
}

Datum
durable_resume(PG_FUNCTION_ARGS)
{
	return send_control(fcinfo, EVENT_EXECUTION_RESUMED);
}

/* ------------------------------------------------------------------------
 * Again
 * ------------------------------------------------------------------------
 */

/*
 * What is registered for its name and version now, else the function it had;
 * one that failed to start has only the name it was asked for by.
 */
static void
find_code_again(const Hub *hub, NewInstance *instance)
{
	char	   *function = registered_orchestrator_function(hub->name, instance->name, instance->version);

	if (function != NULL)
		instance->function = function;
	else if (strchr(instance->function, '(') == NULL)
		instance->function = orchestrator_function(hub->name, instance->name, instance->version);
	find_pinned_code(hub, instance);
}

/* What the start of an instance said, for another one like it; its status. */
static RuntimeStatus
read_start_of(const Hub *hub, const char *instance_id, NewInstance *instance)
{
	RuntimeStatus status;

	memset(instance, 0, sizeof(NewInstance));
	if (!store_read_start(hub->name, instance_id, instance, &status))
		no_such_instance(hub, instance_id);
	find_code_again(hub, instance);
	instance->created_at = clock_now();
	instance->start_at = DT_NOBEGIN;
	make_time_ordered_uuid(instance->created_at, &instance->execution_id);
	return status;
}

static void
require_finished(const char *instance_id, RuntimeStatus status)
{
	if (!runtime_status_is_finished(status))
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_WRONG_STATE),
				 errmsg("instance \"%s\" cannot be restarted under its own id before it has finished", instance_id),
				 errdetail("Its status is %s.", runtime_status_name(status)),
				 errhint("Give new_instance_id to start another one like it, or terminate it first.")));
}

/* The same orchestrator with the same input, version and tags: under the same id, or another one. */
Datum
durable_restart(PG_FUNCTION_ARGS)
{
	ReusePolicy policy = {.taken_hint = "Choose another new_instance_id, or terminate that one first."};
	NewInstance instance;
	Hub			hub;
	RuntimeStatus status;
	char	   *instance_id;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	instance_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
		require_instance_id(PG_GETARG_TEXT_PP(1));
	hub_to_look_in(fcinfo, 2, &hub);
	status = read_start_of(&hub, instance_id, &instance);
	require_hub_may_run(&hub);
	instance.instance_id = PG_ARGISNULL(1) ? instance_id : text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(instance.instance_id, instance_id) == 0)
		require_finished(instance_id, status);
	replace_finished(&policy);
	(void) start_or_replace(&hub, &instance, &policy);
	DURABLE_POINT("client.restart");
	PG_RETURN_TEXT_P(cstring_to_text(instance.instance_id));
}

static void
refuse_rewind(const Hub *hub, const char *instance_id, const RewindRefusal *refusal)
{
	if (!refusal->exists)
		no_such_instance(hub, instance_id);
	if (refusal->status == STATUS_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_DURABLE_WRONG_STATE),
				 errmsg("instance \"%s\" failed before it began: there is nothing to rewind", instance_id),
				 errhint("Use durable.restart().")));
	ereport(ERROR,
			(errcode(ERRCODE_DURABLE_WRONG_STATE),
			 errmsg("only a failed instance can be rewound, \"%s\" is %s", instance_id, runtime_status_name(refusal->status)),
			 runtime_status_is_finished(refusal->status) ? errhint("durable.restart() starts it anew.") :
			 errhint("It has not finished: durable.instances.waiting_for shows what it waits for.")));
}

Datum
durable_rewind(PG_FUNCTION_ARGS)
{
	Hub			hub;
	RewindRefusal refusal;
	char	   *instance_id;

	client_call_begin(fcinfo);
	require_argument(fcinfo, 0, "instance_id");
	require_instance_id(PG_GETARG_TEXT_PP(0));
	instance_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hub_to_look_in(fcinfo, 2, &hub);
	if (!store_begin_rewind(hub.name, instance_id, reason_argument(fcinfo, 1, &hub), clock_now(), &refusal))
		refuse_rewind(&hub, instance_id, &refusal);
	DURABLE_POINT("client.rewind");
	PG_RETURN_VOID();
}
