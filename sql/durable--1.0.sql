/* durable: durable orchestrations inside PostgreSQL, version 1.0 */

\echo Use "CREATE EXTENSION durable" to load this file. \quit

/*
 * The schemas are made here and not IF NOT EXISTS: one that somebody planted
 * before must make the installation fail.
 */
CREATE SCHEMA durable_store;
COMMENT ON SCHEMA durable_store IS
'The tables of durable. Nobody has rights here: look through the views of schema durable, act through its functions.';

CREATE SCHEMA durable;
COMMENT ON SCHEMA durable IS
'Durable orchestrations: functions, views and types. durable.grant_usage(role) lets a role use it.';

CREATE SCHEMA durable_code;
COMMENT ON SCHEMA durable_code IS
'Private copies of orchestrators that were replaced or dropped while instances run. Nobody has rights here; durable makes, calls and drops them.';

-- ---------------------------------------------------------------------------
-- Tables. Every key begins with task_hub, the unit of isolation and distribution.
-- ---------------------------------------------------------------------------

/* The order of its columns is known to hub_store.c. */
CREATE TABLE durable_store.hubs (
	task_hub			text COLLATE "C" PRIMARY KEY CHECK (pg_catalog.octet_length(task_hub) BETWEEN 1 AND 63),
	owner				regrole NOT NULL,
	is_default			boolean NOT NULL DEFAULT false,
	paused				boolean NOT NULL DEFAULT false,
	system_identifier	bigint NOT NULL,
	database_oid		oid NOT NULL,
	identity			text NOT NULL DEFAULT '',
	obstacle			text,
	obstacle_since		timestamptz,
	created_at			timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	match_strategy		text NOT NULL DEFAULT 'none' CHECK (match_strategy IN ('none', 'strict', 'current_or_older')),
	failure_strategy	text NOT NULL DEFAULT 'reject' CHECK (failure_strategy IN ('reject', 'fail')),
	version				text,
	default_version		text,
	max_workers			integer CHECK (max_workers > 0),
	max_pending_instances	bigint CHECK (max_pending_instances > 0),
	max_payload_size	integer CHECK (max_payload_size > 0),
	max_history_events	integer CHECK (max_history_events > 0),
	max_starts_per_second	integer CHECK (max_starts_per_second > 0)
);
CREATE UNIQUE INDEX hubs_default_of_owner ON durable_store.hubs (owner) WHERE is_default;
COMMENT ON TABLE durable_store.hubs IS 'A row is a task hub: a set of instances that belong to one role and run as it.';
COMMENT ON COLUMN durable_store.hubs.owner IS 'The authority over the hub; its orchestrators and activities run as this role.';
COMMENT ON COLUMN durable_store.hubs.is_default IS 'The hub its owner uses when no other is named; made at first use.';
COMMENT ON COLUMN durable_store.hubs.paused IS 'Clients may start and raise, but nothing runs (pause_hub, resume_hub).';
COMMENT ON COLUMN durable_store.hubs.obstacle IS 'Why no background worker serves it now; written by the coordinator, NULL: nothing is in the way.';
COMMENT ON COLUMN durable_store.hubs.obstacle_since IS 'When that was found.';
COMMENT ON COLUMN durable_store.hubs.system_identifier IS 'The cluster the hub is bound to: a copy elsewhere does not run until adopt_hub().';
COMMENT ON COLUMN durable_store.hubs.database_oid IS 'The database the hub is bound to, as system_identifier.';
COMMENT ON COLUMN durable_store.hubs.identity IS 'The durable.identity the hub is bound to, as system_identifier.';
COMMENT ON COLUMN durable_store.hubs.match_strategy IS 'Which versions of instances run: all, the hub''s own, or those that are not newer (set_hub_versioning).';
COMMENT ON COLUMN durable_store.hubs.failure_strategy IS 'What becomes of an instance whose version does not: it waits, or fails.';
COMMENT ON COLUMN durable_store.hubs.default_version IS 'The version of new instances and sub-orchestrations that name none.';

COMMENT ON COLUMN durable_store.hubs.max_workers IS 'Most background workers it has at a time; NULL, as for the other limits (set_hub_limits): only the server''s limit.';
COMMENT ON COLUMN durable_store.hubs.max_pending_instances IS 'Clients can start no more instances while so many have not finished.';
COMMENT ON COLUMN durable_store.hubs.max_payload_size IS 'In kB.';
COMMENT ON COLUMN durable_store.hubs.max_history_events IS 'Most events in the history of an execution.';
COMMENT ON COLUMN durable_store.hubs.max_starts_per_second IS 'Most waiting instances that its workers wake in a second, by a start or a timer.';

CREATE TABLE durable_store.orchestrators (
	task_hub			text COLLATE "C" NOT NULL,
	name				text COLLATE "C" NOT NULL,
	version				text COLLATE "C" NOT NULL,
	function			text NOT NULL,
	registered_at		timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (task_hub, name, version)
);
COMMENT ON TABLE durable_store.orchestrators IS 'A row is a registered version of an orchestrator.';
COMMENT ON COLUMN durable_store.orchestrators.version IS 'Empty: for every version of the name, unless it has others.';
COMMENT ON COLUMN durable_store.orchestrators.function IS 'Schema-qualified, with argument types.';

CREATE TABLE durable_store.activities (
	task_hub			text COLLATE "C" NOT NULL,
	name				text COLLATE "C" NOT NULL,
	version				text COLLATE "C" NOT NULL,
	function			text,
	registered_at		timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	timeout_ms			integer CHECK (timeout_ms > 0),
	max_concurrency		integer CHECK (max_concurrency > 0),
	external			boolean NOT NULL DEFAULT false,
	retry				jsonb,
	PRIMARY KEY (task_hub, name, version)
);
COMMENT ON TABLE durable_store.activities IS 'A row is a registered version of an activity, with its defaults and limits.';
COMMENT ON COLUMN durable_store.activities.version IS 'Empty: for every version of the name, unless it has others.';
COMMENT ON COLUMN durable_store.activities.function IS 'Schema-qualified, with argument types; NULL: found by name at each call.';
COMMENT ON COLUMN durable_store.activities.retry IS 'A retry policy as jsonb, intervals in seconds; NULL: none.';

CREATE TABLE durable_store.code (
	task_hub			text COLLATE "C" NOT NULL,
	fingerprint			uuid NOT NULL,
	kept_by				xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
	kept_at				timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	trusted				boolean NOT NULL,
	function			text NOT NULL,
	definition			text NOT NULL,
	PRIMARY KEY (task_hub, fingerprint, kept_by)
);
COMMENT ON TABLE durable_store.code IS 'A row is the definition of an orchestrator that instances of a hub began with.';
COMMENT ON COLUMN durable_store.code.fingerprint IS 'Of the function''s name, arguments and definition.';
COMMENT ON COLUMN durable_store.code.kept_by IS 'The transaction that wrote it: two that begin with the same code do not wait for each other, and then write two rows; a sweep deletes the later one.';
COMMENT ON COLUMN durable_store.code.trusted IS 'The function belonged to a superuser: it may run in a superuser''s hub.';
COMMENT ON COLUMN durable_store.code.definition IS 'As pg_get_functiondef() shows it, with all names qualified.';

/* No CHECK: the server would read and compile it anew for each start. The engine alone writes here. */
CREATE TABLE durable_store.instances (
	task_hub			text COLLATE "C" NOT NULL,
	instance_id			text COLLATE "C" NOT NULL,
	execution_id		uuid NOT NULL,
	code				uuid,
	generation			bigint NOT NULL DEFAULT 1,
	created_at			timestamptz NOT NULL,
	updated_at			timestamptz NOT NULL,
	scheduled_start_at	timestamptz,
	completed_at		timestamptz,
	turn				integer NOT NULL DEFAULT 0,
	last_seq			integer NOT NULL DEFAULT 0,
	parent_task_id		integer,
	parent_execution_id	uuid,
	notify				boolean NOT NULL DEFAULT false,
	status				text COLLATE "C" NOT NULL DEFAULT 'pending',
	name				text NOT NULL,
	function			text NOT NULL,
	version				text,
	parent_instance_id	text COLLATE "C",
	trace_parent		text,
	waiting_events		text[],
	settings			jsonb,
	tags				jsonb,
	input				jsonb,
	output				jsonb,
	failure				jsonb,
	custom_status		jsonb,
	PRIMARY KEY (task_hub, instance_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX instances_parent ON durable_store.instances (task_hub, parent_instance_id)
	WHERE parent_instance_id IS NOT NULL;
CREATE INDEX instances_completed ON durable_store.instances (task_hub, completed_at)
	WHERE completed_at IS NOT NULL;
COMMENT ON TABLE durable_store.instances IS 'A row is an orchestration instance; its row lock is the instance lock: who holds it runs its turn.';
COMMENT ON COLUMN durable_store.instances.execution_id IS 'Names one generation over all time: late answers to another one are dropped.';
COMMENT ON COLUMN durable_store.instances.generation IS 'Counts executions of this id: replaced by a new start and by continue-as-new.';
COMMENT ON COLUMN durable_store.instances.turn IS 'Number of the last turn (episode) of this execution.';
COMMENT ON COLUMN durable_store.instances.last_seq IS 'Number of the last history event of this execution.';
COMMENT ON COLUMN durable_store.instances.function IS 'The orchestrator function, schema-qualified with argument types, as found at the start.';
COMMENT ON COLUMN durable_store.instances.code IS 'Fingerprint of the definition it runs, in durable_store.code; NULL: the function as it is found.';
COMMENT ON COLUMN durable_store.instances.settings IS 'search_path, TimeZone, DateStyle and the other settings of the session that started it that change what an expression gives: its code runs with them. What is PostgreSQL''s own default may be missing.';
COMMENT ON COLUMN durable_store.instances.waiting_events IS 'Names of the external events it awaits after its last turn.';

CREATE TABLE durable_store.history (
	task_hub			text COLLATE "C" NOT NULL,
	instance_id			text COLLATE "C" NOT NULL,
	generation			bigint NOT NULL,
	seq					integer NOT NULL,
	turn				integer NOT NULL,
	turn_at				timestamptz NOT NULL,
	"timestamp"			timestamptz NOT NULL,
	fire_at				timestamptz,
	event_id			integer NOT NULL,
	task_id				integer,
	event_type			smallint NOT NULL,
	opens_turn			boolean NOT NULL DEFAULT false,
	closes_turn			boolean NOT NULL DEFAULT false,
	name				text,
	version				text,
	target_instance_id	text COLLATE "C",
	payload				jsonb,
	failure				jsonb,
	tags				jsonb,
	retry				jsonb,
	more				bytea,
	PRIMARY KEY (task_hub, instance_id, generation, seq)
);
COMMENT ON TABLE durable_store.history IS
'A row is a history event. OrchestratorStarted and OrchestratorCompleted are no rows of their own but the flags opens_turn and closes_turn of the first and last event of a turn; durable.history shows them as events.';
COMMENT ON COLUMN durable_store.history.turn_at IS 'The time the orchestrator saw in this turn (timestamp of OrchestratorStarted).';
COMMENT ON COLUMN durable_store.history.event_id IS 'Sequence number of the action that made the event; -1 for everything else (DTFx).';
COMMENT ON COLUMN durable_store.history.task_id IS 'TaskScheduledId or TimerId: the event_id this event answers.';
COMMENT ON COLUMN durable_store.history.tags IS 'Tags as they were asked for; of ExecutionTerminated, whether it goes for the sub-orchestrations too.';
COMMENT ON COLUMN durable_store.history.retry IS 'TaskScheduled: the registered retry policy that applies, as it was then.';
COMMENT ON COLUMN durable_store.history.more IS 'The events that follow this one, packed (durable_store.unpack_events): what is written together is one row. An event that a row of activity_queue refers to (seq) is never among them.';
COMMENT ON COLUMN durable_store.history.event_type IS 'Number of the event type in DTFx (durable_store.event_type_name).';

CREATE SEQUENCE durable_store.message_id;
COMMENT ON SEQUENCE durable_store.message_id IS 'Orders the messages of an inbox.';

CREATE TABLE durable_store.inbox (
	task_hub			text COLLATE "C" NOT NULL,
	instance_id			text COLLATE "C" NOT NULL,
	message_id			bigint NOT NULL DEFAULT pg_catalog.nextval('durable_store.message_id'),
	visible_at			timestamptz NOT NULL,
	"timestamp"			timestamptz NOT NULL,
	fire_at				timestamptz,
	execution_id		uuid,
	task_id				integer,
	event_type			smallint NOT NULL,
	recurse				boolean NOT NULL DEFAULT false,
	name				text,
	payload				jsonb,
	failure				jsonb,
	more				bytea,
	PRIMARY KEY (task_hub, instance_id, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX inbox_visible ON durable_store.inbox (task_hub, visible_at);
COMMENT ON TABLE durable_store.inbox IS 'A row is a message to an orchestration: a history event on its way. Timers are messages that become visible later.';
COMMENT ON COLUMN durable_store.inbox.execution_id IS 'The execution it is for; NULL: whichever is current (messages of clients).';
COMMENT ON COLUMN durable_store.inbox.visible_at IS 'From then on it makes a turn. infinity: its instance waits for a hub of another version (set_hub_versioning).';
COMMENT ON COLUMN durable_store.inbox.more IS 'The answers of activities that follow this one, packed (durable_store.unpack_events): activities that share a transaction answer together.';
COMMENT ON COLUMN durable_store.inbox.recurse IS 'ExecutionTerminated: terminate the sub-orchestrations too.';

CREATE TABLE durable_store.activity_queue (
	task_hub			text COLLATE "C" NOT NULL,
	instance_id			text COLLATE "C" NOT NULL,
	execution_id		uuid NOT NULL,
	generation			bigint NOT NULL,
	task_id				integer NOT NULL,
	seq					integer,
	attempt				integer NOT NULL DEFAULT 1,
	visible_at			timestamptz NOT NULL,
	parked				boolean NOT NULL DEFAULT false,
	name				text NOT NULL,
	version				text,
	input				jsonb,
	tags				jsonb,
	more				bytea,
	PRIMARY KEY (task_hub, instance_id, execution_id, task_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX activity_queue_visible ON durable_store.activity_queue (task_hub, visible_at) WHERE NOT parked;
CREATE INDEX activity_queue_parked ON durable_store.activity_queue (task_hub, name, (coalesce(version, '')), visible_at) WHERE parked;
COMMENT ON TABLE durable_store.activity_queue IS 'A row is an activity to run, or several (more). It is deleted in the transaction that runs them.';
COMMENT ON COLUMN durable_store.activity_queue.more IS 'The activities of the same name that follow this one, packed (durable_store.unpack_events): those of a wide fan-out that are known to be brief. What has to run alone gets a row of its own first.';
COMMENT ON COLUMN durable_store.activity_queue.parked IS 'A worker found as many running as max_concurrency allows: it is looked for by its name, not in the order of all.';
COMMENT ON COLUMN durable_store.activity_queue.seq IS 'The history row (of generation) that holds input and tags; NULL: they are here, because the input is small or the execution continued as new in the turn that scheduled it.';
COMMENT ON COLUMN durable_store.activity_queue.input IS 'The input when seq is NULL.';
COMMENT ON COLUMN durable_store.activity_queue.tags IS 'Its own tags when seq is NULL.';
COMMENT ON COLUMN durable_store.activity_queue.attempt IS 'Counts runs that the engine itself repeats (deadlock, serialization failure); retry policies schedule a new activity instead.';

CREATE TABLE durable_store.imported_histories (
	task_hub			text COLLATE "C" NOT NULL,
	instance_id			text COLLATE "C" NOT NULL CHECK (pg_catalog.octet_length(instance_id) BETWEEN 1 AND 255),
	imported_at			timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	name				text NOT NULL,
	version				text,
	history				jsonb NOT NULL,
	PRIMARY KEY (task_hub, instance_id)
);
COMMENT ON TABLE durable_store.imported_histories IS 'A row is a history that import_history() brought, for check_replay(). It is no instance: nothing looks here for work.';
COMMENT ON COLUMN durable_store.imported_histories.instance_id IS 'What it is called here; in the document it has the id its code saw.';
COMMENT ON COLUMN durable_store.imported_histories.history IS 'The document of export_history(), as it came.';

SELECT pg_catalog.pg_extension_config_dump('durable_store.hubs', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.orchestrators', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.activities', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.code', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.instances', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.history', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.imported_histories', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.inbox', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.activity_queue', '');
SELECT pg_catalog.pg_extension_config_dump('durable_store.message_id', '');

-- ---------------------------------------------------------------------------
-- Types
-- ---------------------------------------------------------------------------

CREATE TYPE durable.status AS ENUM
	('pending', 'running', 'suspended', 'completed', 'failed', 'terminated', 'canceled');
COMMENT ON TYPE durable.status IS 'Runtime status of an instance, for arguments; views show it as text.';

CREATE TYPE durable.task;
CREATE FUNCTION durable.task_in(cstring) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_task_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable.task_in(cstring) IS 'Always an error (0A000): a task is made by schedule_activity() and the like, not from text.';
CREATE FUNCTION durable.task_out(durable.task) RETURNS cstring
	AS 'MODULE_PATHNAME', 'durable_task_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable.task_out(durable.task) IS 'Shows a task as kind:number, for debugging.';
CREATE TYPE durable.task (
	INPUT = durable.task_in, OUTPUT = durable.task_out,
	INTERNALLENGTH = 8, PASSEDBYVALUE, ALIGNMENT = double
);
COMMENT ON TYPE durable.task IS
'Something an orchestrator can await: an activity, a timer, an event, a sub-orchestration. Good within the turn that made it.';

CREATE FUNCTION durable.task_eq(durable.task, durable.task) RETURNS boolean
	AS 'int8eq' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION durable.task_eq(durable.task, durable.task) IS 'Implements task = task: the same task.';
CREATE FUNCTION durable.task_ne(durable.task, durable.task) RETURNS boolean
	AS 'int8ne' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION durable.task_ne(durable.task, durable.task) IS 'Implements task <> task: different tasks.';
CREATE FUNCTION durable.task_hash(durable.task) RETURNS integer
	AS 'hashint8' LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION durable.task_hash(durable.task) IS 'Hash of a task, for arrays, DISTINCT and IN.';
/* The operators are in pg_catalog because an operator is found by search_path only. */
CREATE OPERATOR pg_catalog.= (
	LEFTARG = durable.task, RIGHTARG = durable.task, FUNCTION = durable.task_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = durable.task, RIGHTARG = durable.task, FUNCTION = durable.task_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE OPERATOR CLASS durable.task_ops DEFAULT FOR TYPE durable.task USING hash AS
	OPERATOR 1 pg_catalog.= (durable.task, durable.task),
	FUNCTION 1 durable.task_hash(durable.task);

CREATE TYPE durable.retry_policy AS (
	max_attempts	integer,
	first_interval	interval,
	backoff			numeric,
	max_interval	interval,
	timeout			interval,
	retry_on		text[],
	never_retry_on	text[]
);
COMMENT ON TYPE durable.retry_policy IS 'When and how often a failed activity or sub-orchestration is tried again; made by durable.retry_policy().';

CREATE FUNCTION durable.retry_policy(
	max_attempts integer,
	first_interval interval DEFAULT '1 s',
	backoff numeric DEFAULT 1,
	max_interval interval DEFAULT NULL,
	timeout interval DEFAULT NULL,
	retry_on text[] DEFAULT NULL,
	never_retry_on text[] DEFAULT NULL)
RETURNS durable.retry_policy
	AS 'MODULE_PATHNAME', 'durable_retry_policy' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable.retry_policy(integer, interval, numeric, interval, interval, text[], text[]) IS
'Makes a retry policy (DTFx RetryOptions). max_attempts counts all attempts, the first included. The wait before attempt n+1 is first_interval * backoff^(n-1), at most max_interval; no more attempts once timeout has passed since the first. retry_on and never_retry_on hold SQLSTATEs (''40001''), classes (''23'') or error types. Error 22023 for values that make no sense.';

/*
 * The views can be asked for equality and ranges of these, and sorted by time
 * of creation. Nothing that every turn changes is indexed, so that turns stay
 * HOT; status changes twice or so in a life. None begins with task_hub: in an
 * empty table they would seem as good as the primary key to the plans of the
 * engine, which are made then, and find a row by all rows of its hub.
 */
CREATE INDEX instances_status ON durable_store.instances (status, task_hub, created_at);
CREATE INDEX instances_name ON durable_store.instances (name, task_hub, created_at);
CREATE INDEX instances_created ON durable_store.instances (created_at, task_hub);

-- ---------------------------------------------------------------------------
-- Views: what a reader may see is what belongs to roles it is a member of
--
-- They are readable by PUBLIC in a schema that is not: the right to use durable
-- is the USAGE of schema durable and nothing else, so what an update adds is
-- covered, and so is a restore into a newer version. may_use() asks for it
-- again at run time, for what was parsed before it was revoked.
--
-- Members of pg_monitor see the hubs of all roles, but NULL for what is theirs
-- to know: visible_hubs.readable is the difference. Conditions on columns that
-- are shown to all are plain columns of the tables, and use their indexes.
-- ---------------------------------------------------------------------------

CREATE FUNCTION durable_store.may_use() RETURNS boolean
	AS 'MODULE_PATHNAME', 'durable_may_use' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_store.may_use() IS 'True if the current user may use schema durable, else error 42501.';

CREATE VIEW durable_store.visible_hubs AS
SELECT h.task_hub, h.owner, h.paused, h.system_identifier, h.database_oid, h.identity, h.obstacle, h.obstacle_since,
	h.version, h.match_strategy, h.failure_strategy, h.default_version,
	h.max_workers, h.max_pending_instances, h.max_payload_size, h.max_history_events, h.max_starts_per_second, h.is_default, h.created_at,
	pg_catalog.pg_has_role(h.owner, 'USAGE') AS readable
FROM durable_store.hubs h
WHERE (SELECT durable_store.may_use())
	AND (pg_catalog.pg_has_role(h.owner, 'USAGE') OR (SELECT pg_catalog.pg_has_role('pg_monitor'::name, 'USAGE')));
COMMENT ON VIEW durable_store.visible_hubs IS 'The task hubs the current user sees; readable: payloads too, because it is a member of the owner, not only of pg_monitor.';
COMMENT ON COLUMN durable_store.visible_hubs.readable IS 'May the current user read payloads?';

CREATE FUNCTION durable_store.unpack_events(
	more bytea, OUT seq integer, OUT turn integer, OUT turn_at timestamptz, OUT "timestamp" timestamptz,
	OUT fire_at timestamptz, OUT event_id integer, OUT task_id integer, OUT event_type smallint,
	OUT opens_turn boolean, OUT closes_turn boolean, OUT name text, OUT version text, OUT target_instance_id text,
	OUT payload jsonb, OUT failure jsonb, OUT tags jsonb, OUT retry jsonb)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'durable_unpack_events' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION durable_store.unpack_events(bytea) IS 'The events packed in a row of the history, the inbox or the queue of activities (column more). Error XX001: they cannot be read.';

CREATE VIEW durable_store.queued_activities AS
SELECT q.task_hub, q.instance_id, q.execution_id, q.generation, m.task_id, q.seq, q.attempt, q.visible_at, q.name, m.input
FROM durable_store.activity_queue q
CROSS JOIN LATERAL (SELECT q.task_id, q.input UNION ALL SELECT e.event_id, e.payload FROM durable_store.unpack_events(q.more) e) m;
COMMENT ON VIEW durable_store.queued_activities IS 'The activities of activity_queue, one by one.';

CREATE FUNCTION durable_store.event_type_name(event_type smallint) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN (ARRAY['ExecutionStarted', 'ExecutionCompleted', 'ExecutionFailed', 'ExecutionTerminated',
		'TaskScheduled', 'TaskCompleted', 'TaskFailed',
		'SubOrchestrationInstanceCreated', 'SubOrchestrationInstanceCompleted', 'SubOrchestrationInstanceFailed',
		'TimerCreated', 'TimerFired', 'OrchestratorStarted', 'OrchestratorCompleted',
		'EventSent', 'EventRaised', 'ContinueAsNew', 'GenericEvent', 'HistoryState',
		'ExecutionSuspended', 'ExecutionResumed', 'ExecutionRewound'])[event_type + 1];
COMMENT ON FUNCTION durable_store.event_type_name(smallint) IS 'Name of an event type by its number in DTFx (History/EventType).';

CREATE FUNCTION durable_store.workers(
	OUT pid integer, OUT kind text, OUT datid oid, OUT task_hub text, OUT state text,
	OUT item text, OUT since timestamptz, OUT items_done bigint)
RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'durable_workers' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION durable_store.workers() IS 'The background processes of durable in this server, from shared memory; none when the library is not preloaded.';

CREATE FUNCTION durable_store.preloaded() RETURNS boolean
	AS 'MODULE_PATHNAME', 'durable_preloaded' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION durable_store.preloaded() IS 'Is the library in shared_preload_libraries of the running server, so that workers run?';

/* Stable, as what it calls: a volatile one would be run for each row of durable.instances, even if nobody asks for waiting_for. */
CREATE FUNCTION durable_store.activity_state(task_hub text, instance_id text, task_id integer, name text, visible_at timestamptz)
RETURNS text LANGUAGE sql STABLE PARALLEL RESTRICTED
	RETURN CASE WHEN EXISTS (SELECT FROM durable_store.workers() w WHERE w.task_hub = activity_state.task_hub
			AND w.item = 'activity ' || activity_state.name || '#' || activity_state.task_id::text || ' (' || activity_state.instance_id || ')')
			THEN 'running'
		WHEN activity_state.visible_at > pg_catalog.statement_timestamp() THEN 'delayed' ELSE 'queued' END;
COMMENT ON FUNCTION durable_store.activity_state(text, text, integer, text, timestamptz) IS
'State of a row of activity_queue: running, if a background worker has it in hand, delayed until visible_at, else queued.';

CREATE FUNCTION durable_store.is_here(system_identifier bigint, database_oid oid, identity text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'durable_is_here' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_store.is_here(bigint, oid, text) IS 'Are these this cluster, this database and durable.identity?';

CREATE VIEW durable.instances WITH (security_barrier) AS
SELECT i.task_hub, i.instance_id,
	pg_catalog.replace(i.execution_id::text, '-', '') AS execution_id,
	i.generation, i.name, i.version, i.status,
	CASE WHEN h.readable THEN i.input END AS input,
	CASE WHEN h.readable THEN i.output END AS output,
	CASE WHEN h.readable THEN i.failure END AS failure,
	CASE WHEN h.readable THEN i.custom_status END AS custom_status,
	CASE WHEN h.readable THEN i.tags END AS tags,
	i.parent_instance_id,
	pg_catalog.replace(i.code::text, '-', '') AS code,
	CASE WHEN i.completed_at IS NULL THEN
		pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
			'activities', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
					'id', a.task_id, 'name', a.name, 'attempt', a.attempt, 'state',
					durable_store.activity_state(a.task_hub, a.instance_id, a.task_id, a.name, a.visible_at)) ORDER BY a.task_id)
				FROM durable_store.queued_activities a
				WHERE a.task_hub = i.task_hub AND a.instance_id = i.instance_id AND a.execution_id = i.execution_id),
			'timers', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
					'id', m.task_id, 'due', m.fire_at) ORDER BY m.fire_at)
				FROM durable_store.inbox m
				WHERE m.task_hub = i.task_hub AND m.instance_id = i.instance_id AND m.event_type = 11
				AND m.execution_id = i.execution_id AND m.task_id >= 0),
			'events', CASE WHEN h.readable THEN pg_catalog.to_jsonb(i.waiting_events) END,
			'start', CASE WHEN i.status = 'pending' THEN i.scheduled_start_at END,
			'version', CASE WHEN h.match_strategy <> 'none' AND (SELECT true FROM durable_store.inbox m
				WHERE m.task_hub = i.task_hub AND m.instance_id = i.instance_id AND m.visible_at = 'infinity' LIMIT 1)
				THEN pg_catalog.jsonb_build_object('hub', coalesce(h.version, ''), 'match', h.match_strategy) END,
			'children', (SELECT pg_catalog.jsonb_agg(c.instance_id ORDER BY c.parent_task_id)
				FROM durable_store.instances c
				WHERE c.task_hub = i.task_hub AND c.parent_instance_id = i.instance_id
				AND c.parent_execution_id = i.execution_id AND c.completed_at IS NULL)))
	END AS waiting_for,
	i.created_at, i.scheduled_start_at, i.updated_at, i.completed_at
FROM durable_store.instances i
JOIN durable_store.visible_hubs h ON h.task_hub = i.task_hub;
COMMENT ON VIEW durable.instances IS 'The orchestration instances of the task hubs you may read.';
COMMENT ON COLUMN durable.instances.task_hub IS 'The hub it belongs to; ids are unique in a hub.';
COMMENT ON COLUMN durable.instances.instance_id IS 'Its name in the hub, given at the start or made from the time (UUID v7).';
COMMENT ON COLUMN durable.instances.name IS 'The orchestrator as it was named at the start.';
COMMENT ON COLUMN durable.instances.version IS 'version of the start; NULL without one.';
COMMENT ON COLUMN durable.instances.input IS 'Input of the current execution; NULL also if you may not read it.';
COMMENT ON COLUMN durable.instances.output IS 'What the orchestrator returned, or the reason of terminate(); NULL also if you may not read it.';
COMMENT ON COLUMN durable.instances.custom_status IS 'The last value of set_custom_status(); NULL also if you may not read it.';
COMMENT ON COLUMN durable.instances.tags IS 'tags of the start; NULL also if you may not read them.';
COMMENT ON COLUMN durable.instances.parent_instance_id IS 'The instance that called it as a sub-orchestration; NULL without one.';
COMMENT ON COLUMN durable.instances.code IS 'Fingerprint of the code it runs (32 hex digits), in durable.code; NULL: the function as it is found.';
COMMENT ON COLUMN durable.instances.created_at IS 'When it was started; indexed, as are status, name and completed_at.';
COMMENT ON COLUMN durable.instances.updated_at IS 'When its last turn was written, or a client changed it; not indexed.';
COMMENT ON COLUMN durable.instances.completed_at IS 'When it finished, in whatever way; NULL until then.';
COMMENT ON COLUMN durable.instances.execution_id IS 'The current execution (32 hex digits); another one after continue-as-new and after a new start of the id.';
COMMENT ON COLUMN durable.instances.generation IS 'Counts the executions of this id, from 1.';
COMMENT ON COLUMN durable.instances.status IS 'pending, running, suspended, completed, failed, terminated or canceled.';
COMMENT ON COLUMN durable.instances.failure IS 'Why it failed; NULL also if you may not read it: {"errorType", "errorMessage", "sqlstate", "detail", "hint", "context", "isNonRetriable", "innerFailure", "properties"}';
COMMENT ON COLUMN durable.instances.waiting_for IS 'What an unfinished instance awaits now: activities, timers with their due time, events by name, children by id, a delayed start; version: the hub''s versioning, which rejects its own.';
COMMENT ON COLUMN durable.instances.scheduled_start_at IS 'start_at of a delayed start.';

CREATE VIEW durable.code WITH (security_barrier) AS
SELECT c.task_hub, pg_catalog.replace(c.fingerprint::text, '-', '') AS fingerprint, c.function,
	CASE WHEN h.readable THEN c.definition END AS definition, c.kept_at
FROM durable_store.code c
JOIN durable_store.visible_hubs h ON h.task_hub = c.task_hub
WHERE NOT EXISTS (SELECT FROM durable_store.code d
	WHERE d.task_hub = c.task_hub AND d.fingerprint = c.fingerprint AND d.kept_by < c.kept_by);
COMMENT ON VIEW durable.code IS 'The definitions of orchestrators that instances began with. One that is not its function''s any more goes when no unfinished and no failed instance has it.';
COMMENT ON COLUMN durable.code.task_hub IS 'The hub whose instances have it.';
COMMENT ON COLUMN durable.code.fingerprint IS 'Of name, arguments and definition (32 hex digits); durable.instances.code refers to it.';
COMMENT ON COLUMN durable.code.function IS 'The orchestrator function, schema-qualified with argument types.';
COMMENT ON COLUMN durable.code.definition IS 'The statement that makes the function; NULL if you may not read it.';
COMMENT ON COLUMN durable.code.kept_at IS 'When the first instance took it.';

CREATE VIEW durable.history WITH (security_barrier) AS
SELECT i.task_hub, i.instance_id,
	pg_catalog.replace(i.execution_id::text, '-', '') AS execution_id,
	r.generation, e.seq, h.turn, e.event_type, e.event_id, e."timestamp", e.name, e.version,
	e.task_scheduled_id, e.timer_id, e.fire_at,
	CASE WHEN hub.readable THEN e.input END AS input,
	CASE WHEN hub.readable THEN e.result END AS result,
	CASE WHEN hub.readable THEN e.failure END AS failure,
	e.target_instance_id
FROM durable_store.visible_hubs hub
JOIN durable_store.instances i ON i.task_hub = hub.task_hub
JOIN durable_store.history r ON r.task_hub = i.task_hub AND r.instance_id = i.instance_id AND r.generation = i.generation
CROSS JOIN LATERAL (
	SELECT r.seq, r.turn, r.turn_at, r."timestamp", r.fire_at, r.event_id, r.task_id, r.event_type, r.opens_turn, r.closes_turn,
		r.name, r.version, r.target_instance_id, r.payload, r.failure
	UNION ALL
	SELECT m.seq, m.turn, m.turn_at, m."timestamp", m.fire_at, m.event_id, m.task_id, m.event_type, m.opens_turn, m.closes_turn,
		m.name, m.version, m.target_instance_id, m.payload, m.failure
	FROM durable_store.unpack_events(r.more) m
) h
CROSS JOIN LATERAL (
	SELECT h.seq - 1 AS seq, 'OrchestratorStarted'::text AS event_type, -1 AS event_id, h.turn_at AS "timestamp",
		NULL::text AS name, NULL::text AS version, NULL::integer AS task_scheduled_id, NULL::integer AS timer_id,
		NULL::timestamptz AS fire_at, NULL::jsonb AS input, NULL::jsonb AS result, NULL::jsonb AS failure,
		NULL::text AS target_instance_id
	WHERE h.opens_turn
	UNION ALL
	SELECT h.seq, durable_store.event_type_name(h.event_type), h.event_id, h."timestamp",
		CASE WHEN h.event_type NOT IN (14, 15) OR hub.readable THEN h.name END, h.version,
		CASE WHEN h.event_type IN (5, 6, 8, 9) THEN h.task_id END,
		CASE WHEN h.event_type = 11 THEN h.task_id END,
		h.fire_at,
		CASE WHEN h.event_type = 0 THEN i.input WHEN h.event_type NOT IN (1, 5, 6, 8, 9) THEN h.payload END,
		CASE WHEN h.event_type = 1 THEN i.output WHEN h.event_type IN (5, 6, 8, 9) THEN h.payload END,
		CASE WHEN h.event_type = 1 THEN i.failure ELSE h.failure END,
		h.target_instance_id
	UNION ALL
	SELECT h.seq + 1, 'OrchestratorCompleted', -1, greatest(h."timestamp", h.turn_at), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
	WHERE h.closes_turn
) e;
COMMENT ON VIEW durable.history IS 'The history events of the current execution of each instance you may read; ORDER BY seq. Event types, ids (-1 for what no action made, -100 for the timer of a turn split by durable.max_messages_per_turn) and references are those of the Durable Task Framework.';
COMMENT ON COLUMN durable.history.task_hub IS 'The hub of the instance.';
COMMENT ON COLUMN durable.history.instance_id IS 'The instance; conditions on it use an index.';
COMMENT ON COLUMN durable.history.execution_id IS 'The current execution (32 hex digits): the history of earlier ones is gone.';
COMMENT ON COLUMN durable.history.generation IS 'Counts the executions of this id, from 1.';
COMMENT ON COLUMN durable.history.seq IS 'Orders the events of the execution.';
COMMENT ON COLUMN durable.history.turn IS 'Number of the turn in which the event came into the history.';
COMMENT ON COLUMN durable.history.event_type IS 'Name of the event type in the Durable Task Framework, as TaskScheduled.';
COMMENT ON COLUMN durable.history.event_id IS 'Number of the action that made the event; negative if none did.';
COMMENT ON COLUMN durable.history."timestamp" IS 'When it happened.';
COMMENT ON COLUMN durable.history.name IS 'Of the orchestrator, activity or event; NULL for events of others, if you may not read payloads.';
COMMENT ON COLUMN durable.history.version IS 'Of the orchestrator or activity, if it was given.';
COMMENT ON COLUMN durable.history.task_scheduled_id IS 'event_id of the activity or sub-orchestration that this event answers.';
COMMENT ON COLUMN durable.history.timer_id IS 'event_id of the timer that has fired.';
COMMENT ON COLUMN durable.history.fire_at IS 'When the timer is due.';
COMMENT ON COLUMN durable.history.input IS 'What was given to it: input, event data, reason; NULL also if you may not read it.';
COMMENT ON COLUMN durable.history.result IS 'What came of it; NULL also if you may not read it.';
COMMENT ON COLUMN durable.history.failure IS 'Why it failed, as durable.instances.failure; NULL also if you may not read it.';
COMMENT ON COLUMN durable.history.target_instance_id IS 'The instance that was started or sent to.';

CREATE VIEW durable.activities WITH (security_barrier) AS
SELECT a.task_hub, a.instance_id, a.task_id, a.name,
	CASE WHEN hub.readable THEN coalesce(a.input, h.payload) END AS input, a.attempt, a.visible_at,
	durable_store.activity_state(a.task_hub, a.instance_id, a.task_id, a.name, a.visible_at) AS state
FROM durable_store.queued_activities a
JOIN durable_store.visible_hubs hub ON hub.task_hub = a.task_hub
LEFT JOIN durable_store.history h ON h.task_hub = a.task_hub AND h.instance_id = a.instance_id
	AND h.generation = a.generation AND h.seq = a.seq;
COMMENT ON VIEW durable.activities IS 'Activities that wait or run; state is queued, delayed (the engine repeats it after a deadlock) or running.';
COMMENT ON COLUMN durable.activities.task_hub IS 'The hub of the instance.';
COMMENT ON COLUMN durable.activities.instance_id IS 'The instance that waits for it.';
COMMENT ON COLUMN durable.activities.task_id IS 'event_id of its TaskScheduled event.';
COMMENT ON COLUMN durable.activities.name IS 'The activity as it was named in the call.';
COMMENT ON COLUMN durable.activities.input IS 'Its input; NULL also if you may not read it.';
COMMENT ON COLUMN durable.activities.attempt IS '1, and more when the engine repeats it after a deadlock or serialization failure.';
COMMENT ON COLUMN durable.activities.visible_at IS 'When it is to run, or to be run again.';
COMMENT ON COLUMN durable.activities.state IS 'Either queued, delayed (until visible_at) or running.';

CREATE VIEW durable.messages WITH (security_barrier) AS
SELECT r.task_hub, r.instance_id, r.message_id, durable_store.event_type_name(m.event_type) AS event_type,
	CASE WHEN m.event_type NOT IN (14, 15) OR hub.readable THEN m.name END AS name, m.task_id,
	CASE WHEN hub.readable THEN m.payload END AS payload,
	CASE WHEN hub.readable THEN m.failure END AS failure,
	m."timestamp", r.visible_at
FROM durable_store.inbox r
JOIN durable_store.visible_hubs hub ON hub.task_hub = r.task_hub
CROSS JOIN LATERAL (
	SELECT r.event_type, r.name, r.task_id, r.payload, r.failure, r."timestamp"
	UNION ALL
	SELECT e.event_type, e.name, e.task_id, e.payload, e.failure, e."timestamp" FROM durable_store.unpack_events(r.more) e
) m;
COMMENT ON VIEW durable.messages IS 'Messages not yet delivered to their orchestration; timers are TimerFired messages that become visible when due.';
COMMENT ON COLUMN durable.messages.task_hub IS 'The hub of the instance.';
COMMENT ON COLUMN durable.messages.instance_id IS 'The instance it is for.';
COMMENT ON COLUMN durable.messages.message_id IS 'Orders the messages of the hub. Answers that were sent together have the same.';
COMMENT ON COLUMN durable.messages.event_type IS 'Name of the event type in the Durable Task Framework that it becomes in the history.';
COMMENT ON COLUMN durable.messages.name IS 'Of an external event; NULL also if you may not read payloads.';
COMMENT ON COLUMN durable.messages.task_id IS 'event_id of the task or timer that it answers.';
COMMENT ON COLUMN durable.messages.payload IS 'Input, result or data; NULL also if you may not read it.';
COMMENT ON COLUMN durable.messages.failure IS 'Of a task that failed, as durable.instances.failure; NULL also if you may not read it.';
COMMENT ON COLUMN durable.messages."timestamp" IS 'When it was sent.';
COMMENT ON COLUMN durable.messages.visible_at IS 'When it is delivered: a timer when it is due, a delayed start at its time.';

CREATE VIEW durable.queues WITH (security_barrier) AS
SELECT hub.task_hub, hub.owner,
	CASE WHEN NOT durable_store.is_here(hub.system_identifier, hub.database_oid, hub.identity) THEN 'elsewhere'
		WHEN hub.paused THEN 'paused' WHEN hub.obstacle IS NOT NULL THEN 'not served' ELSE 'open' END AS state,
	m.ready_turns, a.ready_activities,
	greatest(pg_catalog.clock_timestamp() - least(m.oldest, a.oldest), interval '0') AS oldest_age,
	m.timers, m.next_due,
	(SELECT pg_catalog.count(*) FROM durable_store.workers() w
		WHERE w.task_hub = hub.task_hub AND w.state = 'busy') AS running,
	(SELECT pg_catalog.count(*) FROM durable_store.instances i
		WHERE i.task_hub = hub.task_hub AND i.completed_at > pg_catalog.clock_timestamp() - interval '1 min') AS finished_per_minute,
	m.rejected,
	CASE WHEN hub.match_strategy <> 'none' OR pg_catalog.num_nonnulls(hub.version, hub.default_version) > 0 THEN
		pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('version', hub.version, 'match_strategy', hub.match_strategy,
			'failure_strategy', hub.failure_strategy, 'default_version', hub.default_version))
	END AS versioning,
	CASE WHEN NOT durable_store.is_here(hub.system_identifier, hub.database_oid, hub.identity)
		THEN pg_catalog.format('It is bound to system %s, database %s, identity "%s".', hub.system_identifier, hub.database_oid, hub.identity)
		ELSE hub.obstacle
	END AS obstacle
FROM durable_store.visible_hubs hub
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(DISTINCT i.instance_id) FILTER (WHERE i.visible_at <= pg_catalog.clock_timestamp()) AS ready_turns,
		pg_catalog.min(i.visible_at) FILTER (WHERE i.visible_at <= pg_catalog.clock_timestamp()) AS oldest,
		pg_catalog.count(DISTINCT i.instance_id) FILTER (WHERE i.visible_at = 'infinity'
			AND (SELECT e.completed_at IS NULL FROM durable_store.instances e
				WHERE e.task_hub = hub.task_hub AND e.instance_id = i.instance_id)) AS rejected,
		pg_catalog.count(*) FILTER (WHERE i.event_type = 11) AS timers,
		pg_catalog.min(i.visible_at) FILTER (WHERE i.visible_at > pg_catalog.clock_timestamp()
			AND pg_catalog.isfinite(i.visible_at)) AS next_due
	FROM durable_store.inbox i WHERE i.task_hub = hub.task_hub) m
CROSS JOIN LATERAL (
	SELECT pg_catalog.count(*) FILTER (WHERE q.visible_at <= pg_catalog.clock_timestamp()) AS ready_activities,
		pg_catalog.min(q.visible_at) FILTER (WHERE q.visible_at <= pg_catalog.clock_timestamp()) AS oldest
	FROM durable_store.queued_activities q WHERE q.task_hub = hub.task_hub) a;
COMMENT ON COLUMN durable.queues.state IS 'open; paused (pause_hub); elsewhere: bound to another place, this is a copy (adopt_hub, discard_hub), see obstacle; not served: background workers cannot, see obstacle.';
COMMENT ON COLUMN durable.queues.obstacle IS 'What keeps background workers from serving it, as the server log said, or what it is bound to; NULL: nothing that is known of.';
COMMENT ON COLUMN durable.queues.rejected IS 'Instances that wait because the hub does not run their version.';
COMMENT ON COLUMN durable.queues.versioning IS 'What set_hub_versioning() has set; NULL: nothing.';
COMMENT ON VIEW durable.queues IS 'Per task hub: what is ready, how old the oldest of it is, timers set, the next one due, work items running now, instances finished in the last minute.';
COMMENT ON COLUMN durable.queues.task_hub IS 'The name of the hub.';
COMMENT ON COLUMN durable.queues.owner IS 'The role that its code runs as.';
COMMENT ON COLUMN durable.queues.ready_turns IS 'Instances with messages that are due.';
COMMENT ON COLUMN durable.queues.ready_activities IS 'Activities that are due, those that run now included.';
COMMENT ON COLUMN durable.queues.oldest_age IS 'How long the oldest of these has been due.';
COMMENT ON COLUMN durable.queues.timers IS 'Timers set, those that are due included.';
COMMENT ON COLUMN durable.queues.next_due IS 'When the next message becomes due.';
COMMENT ON COLUMN durable.queues.running IS 'Work items that background workers have in hand.';
COMMENT ON COLUMN durable.queues.finished_per_minute IS 'Instances that finished in the last minute.';

CREATE VIEW durable.hubs WITH (security_barrier) AS
SELECT hub.task_hub, hub.owner, hub.is_default,
	CASE WHEN NOT durable_store.is_here(hub.system_identifier, hub.database_oid, hub.identity) THEN 'elsewhere'
		WHEN hub.paused THEN 'paused' WHEN hub.obstacle IS NOT NULL THEN 'not served' ELSE 'open' END AS state,
	hub.max_workers, hub.max_pending_instances, hub.max_payload_size, hub.max_history_events, hub.max_starts_per_second,
	hub.version, hub.match_strategy, hub.failure_strategy, hub.default_version, hub.created_at
FROM durable_store.visible_hubs hub;
COMMENT ON VIEW durable.hubs IS 'The task hubs of the roles you are a member of, with their limits and versioning; cheap, durable.queues counts.';
COMMENT ON COLUMN durable.hubs.task_hub IS 'The name of the hub.';
COMMENT ON COLUMN durable.hubs.owner IS 'The role that its code runs as.';
COMMENT ON COLUMN durable.hubs.is_default IS 'Is it the hub its owner uses when no other is named?';
COMMENT ON COLUMN durable.hubs.state IS 'As durable.queues.state.';
COMMENT ON COLUMN durable.hubs.max_workers IS 'Most background workers it has at a time; NULL, as for the other limits: none of its own (set_hub_limits).';
COMMENT ON COLUMN durable.hubs.max_pending_instances IS 'Clients can start no more instances while so many have not finished.';
COMMENT ON COLUMN durable.hubs.max_payload_size IS 'Largest input, result, event or status, in kB.';
COMMENT ON COLUMN durable.hubs.max_history_events IS 'Most events in the history of an execution.';
COMMENT ON COLUMN durable.hubs.max_starts_per_second IS 'Most waiting instances that its workers wake in a second, by a start or a timer.';
COMMENT ON COLUMN durable.hubs.version IS 'The version it runs; this and what follows is set by set_hub_versioning().';
COMMENT ON COLUMN durable.hubs.match_strategy IS 'Which versions of instances run: none (all), strict or current_or_older.';
COMMENT ON COLUMN durable.hubs.failure_strategy IS 'What becomes of an instance whose version does not: reject (it waits) or fail.';
COMMENT ON COLUMN durable.hubs.default_version IS 'The version of new instances and sub-orchestrations that name none.';
COMMENT ON COLUMN durable.hubs.created_at IS 'When it was made.';

CREATE VIEW durable.orchestrators WITH (security_barrier) AS
SELECT o.task_hub, o.name, o.version, o.function, o.registered_at
FROM durable_store.orchestrators o
JOIN durable_store.visible_hubs hub ON hub.task_hub = o.task_hub;
COMMENT ON VIEW durable.orchestrators IS 'The orchestrators that are registered (register_orchestrator); others are found by the name of their function.';
COMMENT ON COLUMN durable.orchestrators.task_hub IS 'The hub it is registered in.';
COMMENT ON COLUMN durable.orchestrators.name IS 'What starts name it by.';
COMMENT ON COLUMN durable.orchestrators.function IS 'The function, with its schema and argument types.';
COMMENT ON COLUMN durable.orchestrators.registered_at IS 'When it was.';
COMMENT ON COLUMN durable.orchestrators.version IS 'Empty: for every version of the name, unless it has others.';

CREATE VIEW durable.registered_activities WITH (security_barrier) AS
SELECT a.task_hub, a.name, a.version, a.function, a.retry,
	a.timeout_ms * interval '1 ms' AS timeout, a.max_concurrency, a.external, a.registered_at
FROM durable_store.activities a
JOIN durable_store.visible_hubs hub ON hub.task_hub = a.task_hub;
COMMENT ON VIEW durable.registered_activities IS 'The activities that are registered (register_activity); others are found by the name of their function.';
COMMENT ON COLUMN durable.registered_activities.task_hub IS 'The hub it is registered in.';
COMMENT ON COLUMN durable.registered_activities.name IS 'What calls name it by.';
COMMENT ON COLUMN durable.registered_activities.timeout IS 'Its time limit instead of durable.activity_timeout; NULL: that one.';
COMMENT ON COLUMN durable.registered_activities.max_concurrency IS 'How many may run at once in the hub; NULL: any number.';
COMMENT ON COLUMN durable.registered_activities.external IS 'Does its effect leave the database?';
COMMENT ON COLUMN durable.registered_activities.registered_at IS 'When it was, last.';
COMMENT ON COLUMN durable.registered_activities.version IS 'Empty: for every version of the name, unless it has others.';
COMMENT ON COLUMN durable.registered_activities.function IS 'NULL: found by name at each call.';
COMMENT ON COLUMN durable.registered_activities.retry IS 'The retry policy of calls that give none; intervals in seconds.';

CREATE VIEW durable.imported_histories WITH (security_barrier) AS
SELECT m.task_hub, m.instance_id, m.name, m.version,
	m.history -> 'instance' ->> 'instance_id' AS original_instance_id,
	m.history -> 'instance' ->> 'status' AS status,
	pg_catalog.jsonb_array_length(m.history -> 'events') AS events, m.imported_at
FROM durable_store.imported_histories m
JOIN durable_store.visible_hubs hub ON hub.task_hub = m.task_hub;
COMMENT ON VIEW durable.imported_histories IS 'The histories that import_history() brought, for check_replay(). They are no instances and never run.';
COMMENT ON COLUMN durable.imported_histories.task_hub IS 'The hub it was imported into.';
COMMENT ON COLUMN durable.imported_histories.instance_id IS 'What it is called here.';
COMMENT ON COLUMN durable.imported_histories.name IS 'The orchestrator as it was named at the start.';
COMMENT ON COLUMN durable.imported_histories.version IS 'Its version, NULL without one.';
COMMENT ON COLUMN durable.imported_histories.original_instance_id IS 'The id it had where it was recorded, which its code sees in a replay.';
COMMENT ON COLUMN durable.imported_histories.status IS 'Its status when it was exported.';
COMMENT ON COLUMN durable.imported_histories.events IS 'How many events its history has, but for OrchestratorStarted and OrchestratorCompleted.';
COMMENT ON COLUMN durable.imported_histories.imported_at IS 'When it was imported.';

CREATE VIEW durable.workers WITH (security_barrier) AS
SELECT w.pid, w.kind, d.datname AS database, w.task_hub, w.state, w.item, w.since, w.items_done
FROM durable_store.workers() w
LEFT JOIN pg_catalog.pg_database d ON d.oid = w.datid
WHERE (SELECT durable_store.may_use())
	AND (w.kind <> 'worker'
		OR (SELECT pg_catalog.pg_has_role('pg_monitor'::name, 'USAGE'))
		OR EXISTS (SELECT FROM durable_store.visible_hubs hub WHERE hub.task_hub = w.task_hub))
UNION ALL
SELECT NULL, 'worker', pg_catalog.current_database(), hub.task_hub, 'not served', hub.obstacle, hub.obstacle_since, NULL
FROM durable_store.visible_hubs hub WHERE hub.obstacle IS NOT NULL;
COMMENT ON VIEW durable.workers IS 'The background processes of durable: launcher, coordinators, workers of your hubs, with what each has in hand and since when. Members of pg_monitor see the workers of all hubs, and those of other databases without hub and item.';
COMMENT ON COLUMN durable.workers.pid IS 'Its process id, as in pg_stat_activity.';
COMMENT ON COLUMN durable.workers.kind IS 'Either launcher, coordinator or worker.';
COMMENT ON COLUMN durable.workers.database IS 'The database it works in; NULL for the launcher.';
COMMENT ON COLUMN durable.workers.task_hub IS 'The hub a worker serves; NULL in another database.';
COMMENT ON COLUMN durable.workers.state IS 'Either starting, idle, busy or leaving; not served: a hub that has none, because of what item says.';
COMMENT ON COLUMN durable.workers.item IS 'What a busy one has in hand.';
COMMENT ON COLUMN durable.workers.since IS 'When it came into this state.';
COMMENT ON COLUMN durable.workers.items_done IS 'Turns and activities since it began in this task hub.';

GRANT SELECT ON durable.instances, durable.code, durable.history, durable.activities, durable.messages, durable.queues, durable.hubs,
	durable.orchestrators, durable.registered_activities, durable.imported_histories, durable.workers TO PUBLIC;

-- ---------------------------------------------------------------------------
-- For clients: any session, transactional
-- ---------------------------------------------------------------------------

CREATE FUNCTION durable.start_instance(
	orchestrator text,
	input jsonb DEFAULT NULL,
	instance_id text DEFAULT NULL,
	version text DEFAULT NULL,
	start_at timestamptz DEFAULT NULL,
	tags jsonb DEFAULT NULL,
	replace_statuses durable.status[] DEFAULT NULL,
	if_exists text DEFAULT 'error',
	event_name text DEFAULT NULL,
	event_data jsonb DEFAULT NULL,
	notify boolean DEFAULT false,
	trace_parent text DEFAULT NULL,
	task_hub text DEFAULT NULL)
RETURNS text AS 'MODULE_PATHNAME', 'durable_start_instance' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.start_instance(text, jsonb, text, text, timestamptz, jsonb, durable.status[], text, text, jsonb, boolean, text, text) IS
'Starts an orchestration when the transaction commits and returns its instance id (32 hex digits, time-ordered as UUID v7 of RFC 9562, when none is given). orchestrator is a registered name, or the name of a function of one jsonb argument returning jsonb. version: default the default_version of the hub. An existing instance whose status is in replace_statuses is replaced; by default the finished ones, with if_exists => ''skip'' none (the existing id is returned and nothing happens). Replacing a live one terminates it first and needs ''terminated'' in the list. event_name raises an event with the start. notify sends NOTIFY durable with the id at the end. Errors: 42883 no such function, 42P13 not an orchestrator, UD003 instance exists, 22023 bad arguments.';

CREATE FUNCTION durable.raise_event(instance_id text, event_name text, event_data jsonb DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_raise_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.raise_event(text, text, jsonb, text) IS
'Sends an external event to an instance when the transaction commits. Buffered until awaited, case-insensitive, first in first out. A finished instance drops it. Error UD004: no such instance.';

CREATE FUNCTION durable.terminate(instance_id text, reason text DEFAULT NULL, recursive boolean DEFAULT true, cancel_running boolean DEFAULT false, task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_terminate' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.terminate(text, text, boolean, boolean, text) IS
'Ends an instance with status terminated and the reason as output, at its next turn, or at once if it has not started. recursive: its sub-orchestrations too. Does nothing to a finished one. Activities already scheduled run nevertheless, their results are dropped; with cancel_running they are taken out of the queue, and the statements of those that workers run now are cancelled when this transaction commits (57014), also for an instance that has finished before them. Error UD004: no such instance.';

CREATE FUNCTION durable.suspend(instance_id text, reason text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_suspend' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.suspend(text, text, text) IS
'Suspends an instance: from its next turn its code stands still, events and results are kept for resume(). Running activities and timers go on. Suspending twice or a finished instance does nothing. Error UD004: no such instance.';

CREATE FUNCTION durable.resume(instance_id text, reason text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_resume' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.resume(text, text, text) IS
'Lets a suspended instance go on with everything that arrived meanwhile. Resuming one that is not suspended does nothing. Error UD004: no such instance.';

CREATE FUNCTION durable.purge(instance_id text, recursive boolean DEFAULT true, task_hub text DEFAULT NULL)
RETURNS bigint AS 'MODULE_PATHNAME', 'durable_purge' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.purge(text, boolean, text) IS
'Deletes a finished instance with its history and returns how many instances are gone: 0 when there is none or it is not finished. recursive: its finished sub-orchestrations too.';

CREATE FUNCTION durable.purge_finished(
	finished_before timestamptz DEFAULT NULL,
	created_before timestamptz DEFAULT NULL,
	statuses durable.status[] DEFAULT NULL,
	max_count bigint DEFAULT NULL,
	task_hub text DEFAULT NULL)
RETURNS bigint AS 'MODULE_PATHNAME', 'durable_purge_finished' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.purge_finished(timestamptz, timestamptz, durable.status[], bigint, text) IS
'Deletes finished instances with their history, those that finished first before others, and returns how many. All conditions that are not NULL must hold: finished before, created before, in one of the statuses; max_count: so many at most, for purging in portions. Never deletes one that has not finished. Not recursive: finished sub-orchestrations go by the same conditions.';

CREATE FUNCTION durable.restart(instance_id text, new_instance_id text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text AS 'MODULE_PATHNAME', 'durable_restart' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.restart(text, text, text) IS
'Starts the orchestrator of an instance anew with the same input, version, tags and settings, and returns the instance id: its own, then it must have finished and is replaced, or new_instance_id, whatever state it is in. The new one has no parent and is not delayed. Errors: UD004 no such instance, UD010 not finished, UD003 new_instance_id belongs to an unfinished one.';

CREATE FUNCTION durable.rewind(instance_id text, reason text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_rewind' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.rewind(text, text, text) IS
'Lets a failed instance go on from where it failed: what succeeded stays and does not run again, the activities and sub-orchestrations whose failure was its end run again (failed sub-orchestrations are rewound, missing ones started anew, retries are counted from the beginning), and what its code did after it saw that failure is forgotten. Failures it had handled before stay. One that failed by an error of its own runs its code again, which helps once that is mended. Errors: UD004 no such instance, UD010 it has not failed, or it failed before it began.';

CREATE FUNCTION durable.wait_for_completion(instance_id text, timeout interval DEFAULT '30 s', task_hub text DEFAULT NULL)
RETURNS durable.instances AS 'MODULE_PATHNAME', 'durable_wait_for_completion' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.wait_for_completion(text, interval, text) IS
'Waits until an instance is completed, failed or terminated and returns its row of durable.instances; after the timeout (NULL: none) the row as it is. What it returns as finished is on disk, and on synchronous standbys as synchronous_commit of this session demands. It looks with the latest snapshot in any isolation level. Errors: UD004 no such instance, UD010 started in this very transaction: commit first.';

CREATE FUNCTION durable.wait_for_start(instance_id text, timeout interval DEFAULT '30 s', task_hub text DEFAULT NULL)
RETURNS durable.instances AS 'MODULE_PATHNAME', 'durable_wait_for_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.wait_for_start(text, interval, text) IS
'Waits until an instance is not pending any more; else as wait_for_completion().';

CREATE FUNCTION durable.run_until_idle(timeout interval DEFAULT '60 s', advance_time boolean DEFAULT false, task_hub text DEFAULT NULL)
RETURNS bigint AS 'MODULE_PATHNAME', 'durable_run_until_idle' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.run_until_idle(interval, boolean, text) IS
'Does the workers'' job for a task hub in this session and this transaction until nothing is ready or the timeout has passed; returns the work items (turns and activities) done. advance_time: when only timers are left, skips this session''s clock to the next one instead of returning, for tests; the clock stays ahead until the transaction is rolled back or the session ends. Refused (42501) unless session_user = current_user = the owner of the hub, and (55000) inside a function or trigger, above READ COMMITTED, or with advance_time where background workers may run the hub.';

CREATE PROCEDURE durable.run(timeout interval DEFAULT NULL, until_idle boolean DEFAULT true, task_hub text DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'durable_run' LANGUAGE C;
COMMENT ON PROCEDURE durable.run(interval, boolean, text) IS
'As run_until_idle(), but commits after each batch of turns and each activity; for use without background workers, also from pg_cron. until_idle => false waits for more work until the timeout (NULL: until cancelled). Refused inside a transaction block.';

CREATE FUNCTION durable.check_replay(
	instance_id text,
	function regprocedure DEFAULT NULL,
	strict boolean DEFAULT false,
	task_hub text DEFAULT NULL,
	OUT fits boolean,
	OUT event_seq integer,
	OUT event text,
	OUT recorded text,
	OUT requested text,
	OUT message text)
	AS 'MODULE_PATHNAME', 'durable_check_replay' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.check_replay(text, regprocedure, boolean, text) IS
'Replays the recorded history of an instance, or one that was imported, against the code of today, or against another function, and says whether it fits; if not, the first event that differs (its seq in durable.history and its type), what was recorded there and what the code asks for now. A finished one must come to the same end (output, failure, continue-as-new; of a failure all but its context) and ask for nothing more; one that runs may ask for anything new after its last event, but not fail. As in every replay, kinds, order and names are compared; with strict also the inputs of activities, statements and sub-orchestrations and the data of events sent. A NOTICE names functions that the body calls and that were created or altered after the instance began. Changes nothing; works in read-only transactions and on standbys. Errors: 42501 unless session_user = current_user = the owner of the hub, UD004 no such instance, 42P13 function is no orchestrator, UD008 in an orchestrator or activity.';

CREATE FUNCTION durable.check_replays(
	orchestrator text DEFAULT NULL,
	function regprocedure DEFAULT NULL,
	max_count bigint DEFAULT NULL,
	strict boolean DEFAULT false,
	task_hub text DEFAULT NULL)
RETURNS TABLE (instance_id text, fits boolean, event_seq integer, event text, recorded text, requested text, message text)
	AS 'MODULE_PATHNAME', 'durable_check_replays' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION durable.check_replays(text, regprocedure, bigint, boolean, text) IS
'check_replay() of all instances of an orchestrator, named as at their start (NULL: of all orchestrators), the newest first, and then of imported histories; max_count: so many at most (NULL: all); strict: as there. Gives no NOTICEs. Errors as check_replay(), and 22023 for a function without an orchestrator or a negative max_count.';

CREATE FUNCTION durable.export_history(instance_id text, task_hub text DEFAULT NULL)
RETURNS jsonb AS 'MODULE_PATHNAME', 'durable_export_history' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.export_history(text, text) IS
'The history of an instance, finished or not, as one JSON document with all that a replay needs, payloads included: its "format" is 1. For import_history() on another server. Error UD004: no such instance.';

CREATE FUNCTION durable.import_history(history jsonb, instance_id text DEFAULT NULL, task_hub text DEFAULT NULL)
RETURNS text AS 'MODULE_PATHNAME', 'durable_import_history' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.import_history(jsonb, text, text) IS
'Keeps a document of export_history() for check_replay() and check_replays(), and returns the id it has here: its own, or instance_id. It is no instance and never runs; durable.imported_histories shows it. Its code sees the original id. Errors: 22023 the document is malformed or of another format, UD003 the id is taken.';

CREATE FUNCTION durable.discard_imported_history(instance_id text, task_hub text DEFAULT NULL)
RETURNS boolean AS 'MODULE_PATHNAME', 'durable_discard_imported_history' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.discard_imported_history(text, text) IS
'Deletes an imported history; false if there is none of this id.';

CREATE FUNCTION durable.create_hub(name text, owner regrole DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_create_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.create_hub(text, regrole) IS
'Makes a task hub of 1 to 63 bytes in name that belongs to owner (default: you), who must be you or a role you are a member of. Its orchestrators and activities run as the owner, who needs LOGIN for background workers. Errors: 42710 name taken, 42939 it is the name of a role you are not a member of, whose default hub it is kept for, 42501 not a member.';

CREATE FUNCTION durable.pause_hub(name text)
RETURNS void AS 'MODULE_PATHNAME', 'durable_pause_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.pause_hub(text) IS
'From the commit on nothing of this hub is started; what is running ends. Clients may go on to start and raise. Error 42704: no such hub.';

CREATE FUNCTION durable.resume_hub(name text)
RETURNS void AS 'MODULE_PATHNAME', 'durable_resume_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.resume_hub(text) IS 'Ends pause_hub(). Error 42704: no such hub.';

CREATE FUNCTION durable.reassign_hub(name text, owner regrole)
RETURNS void AS 'MODULE_PATHNAME', 'durable_reassign_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.reassign_hub(text, regrole) IS
'Gives a hub with all that is in it to another role: from the commit on its code runs as that role. You must be able to act for the old owner and the new one; a hub whose owner was dropped can be given away by a superuser only. It is no default hub any more if the new owner has one. Errors: 42704 no such hub, 42501 not a member.';

CREATE FUNCTION durable.discard_hub(name text)
RETURNS bigint AS 'MODULE_PATHNAME', 'durable_discard_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.discard_hub(text) IS
'Deletes a hub with all its instances, finished or not, and returns how many there were. For a copy that is not to run (see adopt_hub); one that may run here has to be paused first. Waits for turns and activities in flight. Errors: 42704 no such hub, UD010 not paused.';

CREATE FUNCTION durable.adopt_hub(name text)
RETURNS void AS 'MODULE_PATHNAME', 'durable_adopt_hub' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.adopt_hub(text) IS
'Binds a hub to this server, database and durable.identity, so that a copy (dump and restore, CREATE DATABASE ... TEMPLATE, pg_upgrade) goes on here. Be sure the original does not run it any more. Error 42704: no such hub.';

CREATE FUNCTION durable.set_hub_versioning(
	name text,
	version text DEFAULT NULL,
	match_strategy text DEFAULT 'none',
	failure_strategy text DEFAULT 'reject',
	default_version text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_set_hub_versioning' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.set_hub_versioning(text, text, text, text, text) IS
'Says which versions of instances a hub runs, from its next turns on. match_strategy: none (all), strict (only its own version), current_or_older. failure_strategy: an instance whose version does not match waits until the next set_hub_versioning() lets it run (reject) or fails with UD009 (fail). Versions such as 1.2 are compared as numbers, others as text without case; no version is the oldest. default_version is that of new instances and sub-orchestrations that name none. What is not given is reset. Errors: 42704 no such hub, 22023 no such strategy, 55000 above READ COMMITTED.';

CREATE FUNCTION durable.set_hub_limits(
	name text,
	max_workers integer DEFAULT NULL,
	max_pending_instances bigint DEFAULT NULL,
	max_payload_size integer DEFAULT NULL,
	max_history_events integer DEFAULT NULL,
	max_starts_per_second integer DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_set_hub_limits' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION durable.set_hub_limits(text, integer, bigint, integer, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable.set_hub_limits(text, integer, bigint, integer, integer, integer) IS
'Limits what a hub takes of the server, beside the limits that all have: background workers at a time; unfinished instances, beyond which start_instance() and restart() fail (UD007); size of a payload in kB; events in a history; how many instances its background workers wake in a second because they wait to be started or because a timer is due, the oldest first, while answers and events are delivered as ever. NULL and what is not given is no limit of its own; the smaller of the hub''s and the server''s counts. Sub-orchestrations, start_detached() and continue-as-new are counted, but not refused: what runs would fail by what else there is. Transactions do not see each other''s starts before they commit, so those that run at the same time can go beyond max_pending_instances together. For superusers, and whom they GRANT EXECUTE: the owner of a hub cannot raise its limits. Errors: 42704 no such hub, 22023 limits that make no sense, 42501.';

CREATE FUNCTION durable.register_orchestrator(name text, function regprocedure, version text DEFAULT '', task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_register_orchestrator' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.register_orchestrator(text, regprocedure, text, text) IS
'Registers a function as a version of an orchestrator. Starts look for exactly their name and version; a registration without a version serves every version of a name that has no others; what is not registered is found by the name of its function. Registering the same again does nothing. Instances that run keep their function. Errors: 42710 registered with another function, 42P13 not an orchestrator, 42622 name or version of more than 255 bytes.';

CREATE FUNCTION durable.check_orchestrator(function regprocedure, task_hub text DEFAULT NULL)
RETURNS TABLE (line integer, severity text, sqlstate text, message text, hint text)
AS 'MODULE_PATHNAME', 'durable_check_orchestrator' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.check_orchestrator(regprocedure, text) IS
'Reports, without running it, what can be seen to be wrong in the body of an orchestrator in SQL or PL/pgSQL and in the SQL and PL/pgSQL functions it calls, one row each in the order of lines; no row: nothing was found. line: of the body, as in error contexts (NULL: of the whole, or of a body that was parsed when it was created); for a called function that of the call, and the message begins with its name and line. severity: error (it will fail, or go wrong) or warning (cannot be seen, or goes wrong at times). Found are errors of syntax and unknown names, activities and orchestrators with constant names that a call in the current search_path and the hub would not find, forbidden functions, reading and writing tables, commands, waits in blocks whose handlers catch their suspension, literals such as ''now'', a missing RETURN. Not seen are dynamic statements (a warning), computed names, domains and aggregates. Errors: 42704 no such hub, 22004 function is NULL.';

CREATE FUNCTION durable.register_activity(
	name text,
	function regprocedure DEFAULT NULL,
	version text DEFAULT '',
	retry durable.retry_policy DEFAULT NULL,
	timeout interval DEFAULT NULL,
	max_concurrency integer DEFAULT NULL,
	external boolean DEFAULT false,
	task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_register_activity' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.register_activity(text, regprocedure, text, durable.retry_policy, interval, integer, boolean, text) IS
'Registers a version of an activity: its function (NULL: found by name as without), the retry policy of calls that give none (decided when a call is first made), its time limit instead of durable.activity_timeout, how many of it may run at once in the hub, and whether its effect leaves the database (external: what it depends on is flushed to disk before it starts). Calls look for their name and version as starts do. Registering the same function again changes the rest. Errors: 42710 registered with another function, 42P13 not an activity, 22023 limits that make no sense, 42939 the name is durable''s own.';

CREATE FUNCTION durable.unregister_orchestrator(name text, version text DEFAULT '', task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_unregister_orchestrator' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.unregister_orchestrator(text, text, text) IS
'Takes back register_orchestrator(). Instances that run keep their function. Error 42704: not registered.';

CREATE FUNCTION durable.unregister_activity(name text, version text DEFAULT '', task_hub text DEFAULT NULL)
RETURNS void AS 'MODULE_PATHNAME', 'durable_unregister_activity' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.unregister_activity(text, text, text) IS
'Takes back register_activity(). Calls made before keep their retry policy. Error 42704: not registered.';

/* Plain GRANT and REVOKE, so that they are dumped, restored and shown as such; only with better messages. */
CREATE FUNCTION durable.grant_usage(role regrole, with_grant_option boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL OR with_grant_option IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'role and with_grant_option must not be null';
	END IF;
	IF NOT pg_catalog.has_schema_privilege('durable', 'USAGE WITH GRANT OPTION') THEN
		RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('permission denied for role %I to grant the use of durable', current_user),
			HINT = 'Ask a superuser, or one who has USAGE on schema durable WITH GRANT OPTION.';
	END IF;
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA durable TO %s', role)
		|| CASE WHEN with_grant_option THEN ' WITH GRANT OPTION' ELSE '' END;
END $$;
COMMENT ON FUNCTION durable.grant_usage(regrole, boolean) IS
'Lets a role use schema durable: call its functions and read its views (which show only hubs of roles it is a member of). It is GRANT USAGE ON SCHEMA durable. with_grant_option: the role may let others use it. Error 42501 unless you may grant it.';

CREATE FUNCTION durable.revoke_usage(role regrole, cascade boolean DEFAULT false) RETURNS void
	LANGUAGE plpgsql PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	i_am text := pg_catalog.current_setting('role');
	grantor oid;
BEGIN
	IF role IS NULL OR cascade IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'role and cascade must not be null';
	END IF;
	IF NOT pg_catalog.has_schema_privilege('durable', 'USAGE WITH GRANT OPTION') THEN
		RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('permission denied for role %I to revoke the use of durable', current_user),
			HINT = 'Ask a superuser, or one who has USAGE on schema durable WITH GRANT OPTION.';
	END IF;
	EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA durable FROM %s', role) || CASE WHEN cascade THEN ' CASCADE' ELSE '' END;
	/* What others granted, REVOKE leaves; who may act for them takes it back as they would. */
	FOR grantor IN
		SELECT DISTINCT a.grantor FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
		WHERE n.nspname = 'durable' AND a.grantee = role AND a.privilege_type = 'USAGE' AND pg_catalog.pg_has_role(a.grantor, 'MEMBER')
	LOOP
		PERFORM pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(grantor), true);
		EXECUTE pg_catalog.format('REVOKE USAGE ON SCHEMA durable FROM %s', role) || CASE WHEN cascade THEN ' CASCADE' ELSE '' END;
		PERFORM pg_catalog.set_config('role', i_am, true);
	END LOOP;
	IF pg_catalog.has_schema_privilege(role, 'durable', 'USAGE') THEN
		RAISE WARNING USING MESSAGE = pg_catalog.format('role %s may still use durable', role),
			HINT = 'It is a superuser, or a member of a role that may, or somebody else has granted it: \dn+ durable in psql shows who.';
	END IF;
END $$;
COMMENT ON FUNCTION durable.revoke_usage(regrole, boolean) IS
'Takes back grant_usage(), at once: nothing of durable can be called or read by the role, and its hubs stand still until it is granted again. cascade: also from those the role has granted it to, else that is an error (2BP01). A superuser takes back the grants of all, others only their own; a warning says when the role may still use it. Error 42501 unless you may revoke it.';

-- ---------------------------------------------------------------------------
-- For orchestrators: error UD005 outside a turn
-- ---------------------------------------------------------------------------

CREATE FUNCTION durable.schedule_activity(name text, input jsonb DEFAULT NULL, retry durable.retry_policy DEFAULT NULL, version text DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_schedule_activity' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.schedule_activity(text, jsonb, durable.retry_policy, text, jsonb) IS
'Schedules an activity and returns its task without waiting. An activity is any function, or a registered name: of one jsonb argument, or of named arguments taken from a JSON object. Its version is the instance''s unless given; its retry policy the registered one. It runs as the owner of the hub in a transaction of its own, together with the record that it ran. An unknown function or arguments that do not fit fail the task, not retriably.';

CREATE FUNCTION durable.call_activity(name text, input jsonb DEFAULT NULL, retry durable.retry_policy DEFAULT NULL, version text DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_call_activity' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.call_activity(text, jsonb, durable.retry_policy, text, jsonb) IS
'schedule_activity() and await(): returns the activity''s result (to_jsonb of what the function returns) or raises its failure with its own SQLSTATE, message, detail and hint.';

CREATE FUNCTION durable.schedule_sql(query text) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_schedule_sql' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.schedule_sql(text) IS
'Schedules an SQL statement as an activity, with $1, $2 ... bound to the arguments.';

CREATE FUNCTION durable.schedule_sql(query text, VARIADIC args "any") RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_schedule_sql' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.schedule_sql(text, VARIADIC "any") IS
'Schedules an SQL statement as an activity, with $1, $2 ... bound to the arguments.';

CREATE FUNCTION durable.schedule_sql(retry durable.retry_policy, VARIADIC query_and_args "any") RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_schedule_sql_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.schedule_sql(durable.retry_policy, VARIADIC "any") IS
'Schedules an SQL statement as an activity, with $1, $2 ... bound to the arguments. The statement is the first argument after the retry policy, which says when it is tried again.';

CREATE FUNCTION durable.call_sql(query text) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_call_sql' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.call_sql(text) IS
'Runs an SQL statement as an activity, with $1, $2 ... bound to the arguments. Returns null if it returns no row, the row as an object if it returns one, an array of objects if it returns more.';

CREATE FUNCTION durable.call_sql(query text, VARIADIC args "any") RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_call_sql' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.call_sql(text, VARIADIC "any") IS
'Runs an SQL statement as an activity, with $1, $2 ... bound to the arguments. Returns null if it returns no row, the row as an object if it returns one, an array of objects if it returns more.';

CREATE FUNCTION durable.call_sql(retry durable.retry_policy, VARIADIC query_and_args "any") RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_call_sql_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.call_sql(durable.retry_policy, VARIADIC "any") IS
'Runs an SQL statement as an activity, with $1, $2 ... bound to the arguments. Returns null if it returns no row, the row as an object if it returns one, an array of objects if it returns more. The statement is the first argument after the retry policy, which says when it is tried again.';

CREATE FUNCTION durable.schedule_suborchestrator(name text, input jsonb DEFAULT NULL, instance_id text DEFAULT NULL, version text DEFAULT NULL, retry durable.retry_policy DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_schedule_suborchestrator' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.schedule_suborchestrator(text, jsonb, text, text, durable.retry_policy, jsonb) IS
'Starts another orchestration as a child and returns its task without waiting. The default id is <execution id>:<number>, the default version the default_version of the hub. A finished instance of the same id is replaced, an unfinished one fails the task (UD003).';

CREATE FUNCTION durable.call_suborchestrator(name text, input jsonb DEFAULT NULL, instance_id text DEFAULT NULL, version text DEFAULT NULL, retry durable.retry_policy DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_call_suborchestrator' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.call_suborchestrator(text, jsonb, text, text, durable.retry_policy, jsonb) IS
'schedule_suborchestrator() and await(): returns the child''s output or raises its failure.';

CREATE FUNCTION durable.start_detached(name text, input jsonb DEFAULT NULL, instance_id text DEFAULT NULL, version text DEFAULT NULL, tags jsonb DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'durable_start_detached' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.start_detached(text, jsonb, text, text, jsonb) IS
'Starts another orchestration and forgets it: no parent, no answer. Returns its instance id.';

CREATE FUNCTION durable.create_timer(delay interval) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_create_timer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.create_timer(interval) IS
'A task that completes when the delay has passed since orchestration_time(). Error 22023 for a negative delay.';

CREATE FUNCTION durable.create_timer_at(fire_at timestamptz) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_create_timer_at' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.create_timer_at(timestamptz) IS
'A task that completes at a time; at once if it is past.';

CREATE FUNCTION durable.cancel_timer(task durable.task) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_cancel_timer' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.cancel_timer(durable.task) IS
'Cancels a timer that has not fired and returns it; awaiting it raises UD001. A timer that fired stays as it is.';

CREATE FUNCTION durable.sleep(delay interval) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_sleep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.sleep(interval) IS
'create_timer() and await().';

CREATE FUNCTION durable.sleep_until(fire_at timestamptz) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_sleep_until' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.sleep_until(timestamptz) IS
'create_timer_at() and await().';

CREATE FUNCTION durable.expect_event(name text) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_expect_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.expect_event(text) IS
'A task that completes with the data of the next external event of this name (case-insensitive); at once if one is buffered. Several waiters of a name are served first come, first served; one that lost an await_any() stands back until it is awaited again.';

CREATE FUNCTION durable.wait_for_event(name text, timeout interval DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_wait_for_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.wait_for_event(text, interval) IS
'expect_event() and await(). Raises UD006 when no event came within the timeout; a timeout of 0 only looks at what is buffered.';

CREATE FUNCTION durable.await(task durable.task) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_await' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.await(durable.task) IS
'Waits for a task and returns its result, or raises its failure with its own SQLSTATE (UD001 if it has none that EXCEPTION WHEN OTHERS would catch).';

CREATE FUNCTION durable.await_all(VARIADIC tasks durable.task[]) RETURNS jsonb[]
	AS 'MODULE_PATHNAME', 'durable_await_all' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.await_all(VARIADIC durable.task[]) IS
'Waits for all tasks and returns their results in the order of the arguments; if some failed, raises the failure of the first of them in that order.';

CREATE FUNCTION durable.await_all(tasks anyarray) RETURNS jsonb[]
	AS 'MODULE_PATHNAME', 'durable_await_all' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.await_all(anyarray) IS
'await_all() for tasks in an array, without VARIADIC.';

CREATE FUNCTION durable.await_any(VARIADIC tasks durable.task[]) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_await_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.await_any(VARIADIC durable.task[]) IS
'Waits until one of the tasks has finished, failed ones included, and returns it: await() it for its result.';

CREATE FUNCTION durable.await_any(tasks anyarray) RETURNS durable.task
	AS 'MODULE_PATHNAME', 'durable_await_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.await_any(anyarray) IS
'await_any() for tasks in an array, without VARIADIC.';

CREATE FUNCTION durable.send_event(instance_id text, name text, data jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_send_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.send_event(text, text, jsonb) IS
'Sends an event to another instance of this hub; dropped silently if there is none or it has finished.';

CREATE FUNCTION durable.continue_as_new(input jsonb DEFAULT NULL, keep_events boolean DEFAULT true, version text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_continue_as_new' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.continue_as_new(jsonb, boolean, text) IS
'When the function returns, the instance begins anew with this input and an empty history, under the same id. keep_events: buffered events go with it. The last call wins; if the function raises after it, the instance fails. version: another one from then on, with the function that is registered for it.';

CREATE FUNCTION durable.set_custom_status(status jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_set_custom_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.set_custom_status(jsonb) IS
'Shows a value in durable.instances.custom_status from this turn on.';

CREATE FUNCTION durable.orchestration_time() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'durable_orchestration_time' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.orchestration_time() IS
'The time of the current turn, the same in every replay. now() and CURRENT_TIMESTAMP are the same in an orchestrator.';

CREATE FUNCTION durable.new_guid() RETURNS uuid
	AS 'MODULE_PATHNAME', 'durable_new_guid' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.new_guid() IS
'A UUID that is the same in every replay: version 5 (RFC 9562) of instance id, time and a counter, as in the Durable Task Framework.';

CREATE FUNCTION durable.is_replaying() RETURNS boolean
	AS 'MODULE_PATHNAME', 'durable_is_replaying' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.is_replaying() IS
'Is the code being run again over what is already in the history?';

CREATE FUNCTION durable.instance_id() RETURNS text
	AS 'MODULE_PATHNAME', 'durable_instance_id' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.instance_id() IS
'The instance id, in an orchestrator or an activity.';

CREATE FUNCTION durable.execution_id() RETURNS text
	AS 'MODULE_PATHNAME', 'durable_execution_id' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.execution_id() IS
'The execution id (32 hex digits), in an orchestrator or an activity.';

CREATE FUNCTION durable.parent_instance_id() RETURNS text
	AS 'MODULE_PATHNAME', 'durable_parent_instance_id' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.parent_instance_id() IS
'The instance id of the parent, NULL without one; in an orchestrator or an activity.';

CREATE FUNCTION durable.instance_version() RETURNS text
	AS 'MODULE_PATHNAME', 'durable_instance_version' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.instance_version() IS
'The version the instance was started with, NULL without one; in an orchestrator or an activity.';

CREATE FUNCTION durable.instance_tags() RETURNS jsonb
	AS 'MODULE_PATHNAME', 'durable_instance_tags' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.instance_tags() IS
'The tags of the instance; in an orchestrator or an activity.';

CREATE FUNCTION durable.task_id() RETURNS integer
	AS 'MODULE_PATHNAME', 'durable_task_id' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.task_id() IS
'In an activity: the id of its TaskScheduled event. With execution_id() an idempotency key for effects outside the database.';

CREATE FUNCTION durable.attempt() RETURNS integer
	AS 'MODULE_PATHNAME', 'durable_attempt' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.attempt() IS
'In an activity: 1, and more when the engine repeats it after a deadlock or serialization failure.';

CREATE FUNCTION durable.log_message(message text, level text DEFAULT 'info') RETURNS void
	AS 'MODULE_PATHNAME', 'durable_log_message' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable.log_message(text, text) IS
'Writes to the server log (debug, info, notice, warning or log), silent while replaying.';

-- ---------------------------------------------------------------------------
-- Begin
-- ---------------------------------------------------------------------------

CREATE FUNCTION durable_store.installed() RETURNS void
	AS 'MODULE_PATHNAME', 'durable_installed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_store.installed() IS
'Called by the install script: wakes the launcher at commit, or warns that no workers will run because the library is not preloaded.';

CREATE FUNCTION durable_store.updating(library text) RETURNS void
	AS 'MODULE_PATHNAME', 'durable_updating' LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION durable_store.updating(text) IS
'Begins each update script: an error if the loaded library is older than the version that has what the script declares. Waits for the work items that run, and holds others up to the end of the update.';

/*
 * Functions that views call are checked against the reader; nobody can name
 * them but through the views, having no USAGE on the schema.
 */
REVOKE ALL ON FUNCTION durable_store.installed(), durable_store.updating(text), durable_store.preloaded() FROM PUBLIC;

SELECT durable_store.installed();
