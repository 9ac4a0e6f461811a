--
-- The SQL surface is a contract (names, arguments, defaults, results): what
-- is listed here, users call. A change of this file's output is a change of
-- their programs.
--
\pset format unaligned
\pset tuples_only on

-- Functions and procedures, with defaults, as pg_dump would write them.
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.proname
	|| '(' || pg_get_function_arguments(p.oid) || ')'
	|| coalesce(' returns ' || pg_get_function_result(p.oid), '')
FROM pg_proc p
WHERE p.pronamespace = 'durable'::regnamespace
ORDER BY p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";

-- Those that do not act if an argument is NULL. Only what implements a type
-- may be silent about it.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'durable'::regnamespace AND p.proisstrict
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Whatever acts, or depends on the turn, is volatile and not for parallel plans.
SELECT p.provolatile, p.proparallel, string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname)
FROM pg_proc p
WHERE p.pronamespace = 'durable'::regnamespace AND p.prokind = 'f'
	AND (p.provolatile, p.proparallel) <> ('v', 'u')
GROUP BY 1, 2 ORDER BY 1, 2;

-- Functions of the contract with arguments of their own: task_hub is the last one.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = 'durable'::regnamespace
	AND 'task_hub' = ANY (p.proargnames)
	AND p.proargnames[p.pronargs] <> 'task_hub';

-- Types.
SELECT 'type ' || t.typname || ' (' || CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'c' THEN 'composite' ELSE 'base' END
	|| ', ' || t.typlen || ' bytes)'
FROM pg_type t
WHERE t.typnamespace = 'durable'::regnamespace AND t.typelem = 0
	AND (t.typtype <> 'c' OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
ORDER BY t.typname;
SELECT enum_range(NULL::durable.status);
SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a
WHERE a.attrelid = 'durable.retry_policy'::regclass AND a.attnum > 0
ORDER BY a.attnum;

-- Tasks compare, hash and fit in arrays.
SELECT oid::regoperator, oprcode, oprcanhash FROM pg_operator
WHERE oprleft = 'durable.task'::regtype ORDER BY oprname;
SELECT 'durable.task[]'::regtype;

-- Views.
SELECT 'view ' || c.relname || ': ' || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'durable'::regnamespace AND c.relkind = 'v'
GROUP BY c.relname ORDER BY c.relname;

-- They protect their rows: no function of the reader sees a row he may not see.
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'durable'::regnamespace AND c.relkind = 'v'
	AND NOT coalesce(c.reloptions @> '{security_barrier=true}', false)
ORDER BY 1;
-- Nobody has rights from the start: the schemas are closed, and in them only the views are readable, for who gets in.
SELECT nspname, nspacl IS NULL AS owner_only FROM pg_namespace WHERE nspname LIKE 'durable%' ORDER BY 1;
SELECT c.oid::regclass, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace IN ('durable'::regnamespace, 'durable_store'::regnamespace) AND a.grantee = 0
	AND NOT (c.relnamespace = 'durable'::regnamespace AND c.relkind = 'v' AND a.privilege_type = 'SELECT')
ORDER BY 1;

-- Settings.
SELECT s.name || ' = ' || coalesce(nullif(s.boot_val, ''), '''''') || coalesce(' ' || s.unit, '') || ' (' || s.vartype || ', ' || s.context
	|| coalesce(', ' || s.min_val || ' to ' || s.max_val, '') || coalesce(', ' || array_to_string(s.enumvals, '|'), '') || ')'
	|| E'\n    ' || s.short_desc || coalesce(' ' || s.extra_desc, '')
FROM pg_settings s
WHERE s.name LIKE 'durable.%'
ORDER BY s.name COLLATE "C";

-- The prefix is reserved: a mistyped setting is an error, not a placeholder.
SET durable.task_hubs = 'x';
-- What protects others from a user's code is not his to change.
CREATE ROLE durable_regress_surface;
SET SESSION AUTHORIZATION durable_regress_surface;
SET durable.orchestrator_timeout = 0;
SET durable.max_payload_size = '200MB';
SET durable.enabled = on;
SET durable.task_hub = 'any';
RESET SESSION AUTHORIZATION;
DROP ROLE durable_regress_surface;
