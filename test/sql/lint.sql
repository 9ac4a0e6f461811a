--
-- House rules over the catalogs: each rule is a query for what breaks it. The
-- extension breaks none; then each is broken on purpose, to see that it finds it.
--
-- A superuser's test: it looks at what a superuser installs, and plants bad objects.
--
CREATE SCHEMA lint;
SET search_path = lint;

-- The objects of the extension.
CREATE VIEW members AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS what
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE e.extname = 'durable' AND d.deptype = 'e';
CREATE VIEW functions AS
SELECT p.*, l.lanname, p.pronamespace::regnamespace::text AS nspname
FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid JOIN pg_language l ON l.oid = p.prolang;
CREATE VIEW relations AS
SELECT c.*, c.relnamespace::regnamespace::text AS nspname
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;
CREATE VIEW columns AS
SELECT r.oid AS relation, r.relkind, r.nspname, a.attname, a.attnum, a.atttypid, a.attcollation, a.attacl
FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE r.relkind IN ('r', 'p', 'v', 'm', 'c');
-- Functions that a reader of a view calls without knowing: those the view names, and those these name.
CREATE VIEW called_by_views AS
WITH RECURSIVE called AS (
	SELECT d.refobjid AS oid FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid
	JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_proc'::regclass
	UNION
	SELECT d.refobjid FROM called c JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass)
SELECT oid FROM called;
-- A setting cannot be planted: the prefix is reserved.
CREATE TABLE planted_settings (name text, short_desc text, extra_desc text, unit text);
CREATE VIEW settings AS
SELECT name, short_desc, extra_desc, unit FROM pg_settings WHERE name LIKE 'durable.%' UNION ALL TABLE planted_settings;
-- What a type is made of, to the ground.
CREATE FUNCTION made_of(type oid) RETURNS SETOF oid LANGUAGE sql AS $$
WITH RECURSIVE parts AS (
	SELECT type AS oid
	UNION
	SELECT x.oid FROM parts p JOIN pg_type t ON t.oid = p.oid,
		LATERAL (SELECT t.typelem UNION ALL SELECT t.typbasetype UNION ALL
			SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid UNION ALL
			SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped) x (oid)
	WHERE x.oid <> 0)
SELECT oid FROM parts $$;

CREATE TABLE rules (rule text, finds text);
INSERT INTO rules VALUES
-- Interpreted code is led astray by the caller's search_path unless it is parsed already or pins it, pg_temp last.
('functions pin their search_path',
$$ SELECT oid::regprocedure::text FROM functions WHERE (prosecdef OR (lanname NOT IN ('c', 'internal') AND prosqlbody IS NULL))
	AND NOT coalesce(proconfig && ARRAY['search_path=pg_catalog, pg_temp'], false) $$),
('functions are C, SQL or PL/pgSQL',
$$ SELECT oid::regprocedure::text FROM functions WHERE lanname NOT IN ('c', 'internal', 'sql', 'plpgsql') $$),
-- C code raises itself for a statement at a time: see session.h.
('no function is SECURITY DEFINER',
$$ SELECT oid::regprocedure::text FROM functions WHERE prosecdef $$),
('only built-in code is leakproof',
$$ SELECT oid::regprocedure::text FROM functions WHERE proleakproof AND lanname <> 'internal' $$),
('C code is in the library of the extension',
$$ SELECT oid::regprocedure::text FROM functions WHERE lanname = 'c' AND probin <> '$libdir/durable' $$),
-- The right to use durable is the USAGE of the schema: nobody has it from the start, and in there nothing else is in the way.
('nobody but the owner has rights on the schemas',
$$ SELECT n.nspname FROM members m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid, aclexplode(n.nspacl) a
	WHERE a.grantee <> n.nspowner $$),
('PUBLIC may only read views of durable',
$$ SELECT format('%s: %s', oid::regclass, a.privilege_type) FROM relations, aclexplode(relacl) a
	WHERE a.grantee = 0 AND (nspname <> 'durable' OR relkind <> 'v' OR a.privilege_type <> 'SELECT' OR a.is_grantable)
	UNION ALL
	SELECT format('%s.%s: %s', relation::regclass, attname, a.privilege_type) FROM columns, aclexplode(attacl) a $$),
('nobody else has rights on relations and functions',
$$ SELECT oid::regclass::text FROM relations, aclexplode(relacl) a WHERE a.grantee NOT IN (0, relowner)
	UNION ALL SELECT oid::regprocedure::text FROM functions, aclexplode(proacl) a WHERE a.grantee NOT IN (0, proowner) $$),
('PUBLIC may call functions of durable_store only if views call them',
$$ SELECT oid::regprocedure::text FROM functions, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
	WHERE a.grantee = 0 AND nspname <> 'durable' AND oid NOT IN (SELECT oid FROM called_by_views) $$),
('who may use durable may read all its views',
$$ SELECT oid::regclass::text FROM relations WHERE nspname = 'durable' AND relkind = 'v'
	AND NOT EXISTS (SELECT FROM aclexplode(relacl) a WHERE a.grantee = 0 AND a.privilege_type = 'SELECT') $$),
('who may use durable may call all its functions, and those its views call',
$$ SELECT oid::regprocedure::text FROM functions WHERE (nspname = 'durable' OR oid IN (SELECT oid FROM called_by_views))
	AND oid <> 'durable.set_hub_limits'::regproc
	AND NOT EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0) $$),
('views are security barriers that run as their owner',
$$ SELECT oid::regclass::text FROM relations WHERE nspname = 'durable' AND relkind = 'v'
	AND NOT coalesce(reloptions @> '{security_barrier=true}' AND NOT reloptions && '{security_invoker=true,security_invoker=on}', false) $$),
('views ask may_use()',
$$ SELECT r.oid::regclass::text FROM relations r WHERE nspname = 'durable' AND relkind = 'v' AND pg_get_viewdef(r.oid) !~ '\m(may_use\(\)|durable_store\.visible_hubs)' $$),
('what readers call by views is not volatile',
$$ SELECT oid::regprocedure::text FROM functions WHERE provolatile = 'v' AND oid IN (SELECT oid FROM called_by_views) $$),
-- pg_dump leaves out what an extension does not register; all rows, for there are no rows of our own.
('tables and sequences are dumped, as a whole',
$$ SELECT r.oid::regclass::text FROM relations r WHERE relkind IN ('r', 'p', 'S', 'm', 'f')
	AND NOT EXISTS (SELECT FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS c (relid, condition)
		WHERE e.extname = 'durable' AND c.relid = r.oid AND c.condition = '') $$),
('tables are logged',
$$ SELECT oid::regclass::text FROM relations WHERE relkind IN ('r', 'p', 'S', 'm') AND relpersistence <> 'p' $$),
-- pg_upgrade refuses columns of these types, and what contains them: their OIDs change. It carries regclass, regtype and regrole over.
('no column of a reg* type that pg_upgrade refuses',
$$ SELECT format('%s.%s', relation::regclass, attname) FROM columns
	WHERE relkind IN ('r', 'p', 'm') AND EXISTS (SELECT FROM made_of(atttypid) x JOIN pg_type t ON t.oid = x AND t.typnamespace = 'pg_catalog'::regnamespace
		WHERE t.typname IN ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure')) $$),
('tables have a primary key that begins with the task hub',
$$ SELECT r.oid::regclass::text FROM relations r WHERE relkind IN ('r', 'p')
	AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = r.oid AND i.indisprimary AND a.attname = 'task_hub') $$),
('indexes begin with the task hub, or with the owner of hubs',
$$ SELECT i.indexrelid::regclass::text FROM relations r JOIN pg_index i ON i.indrelid = r.oid AND r.relkind IN ('r', 'p', 'm')
	LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE a.attname IS DISTINCT FROM 'task_hub' AND i.indexrelid <> 'durable_store.hubs_default_of_owner'::regclass
	-- for views; they must not seem as good as the primary key to the engine's plans
	AND i.indexrelid <> ALL ('{durable_store.instances_status,durable_store.instances_name,durable_store.instances_created}'::regclass[]) $$),
('every column named task_hub or ..._id of text is of collation C',
$$ SELECT format('%s.%s', relation::regclass, attname) FROM columns WHERE relkind IN ('r', 'p') AND atttypid = 'text'::regtype
	AND (attname = 'task_hub' OR attname LIKE '%\_id') AND attcollation <> 'pg_catalog."C"'::regcollation $$),
('no trigger, rule, policy or cast',
$$ SELECT what FROM members WHERE classid IN ('pg_cast'::regclass, 'pg_event_trigger'::regclass)
	UNION ALL SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM relations) AND NOT tgisinternal
	UNION ALL SELECT format('rule %s on %s', rulename, ev_class::regclass) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM relations) AND rulename <> '_RETURN'
	UNION ALL SELECT format('policy %s on %s', polname, polrelid::regclass) FROM pg_policy WHERE polrelid IN (SELECT oid FROM relations) $$),
('only operators of the type task are in other schemas',
$$ SELECT m.what FROM members m JOIN LATERAL (
		SELECT pronamespace AS ns FROM pg_proc WHERE m.classid = 'pg_proc'::regclass AND oid = m.objid
		UNION ALL SELECT relnamespace FROM pg_class WHERE m.classid = 'pg_class'::regclass AND oid = m.objid
		UNION ALL SELECT typnamespace FROM pg_type WHERE m.classid = 'pg_type'::regclass AND oid = m.objid
		UNION ALL SELECT oprnamespace FROM pg_operator WHERE m.classid = 'pg_operator'::regclass AND oid = m.objid AND oprleft <> 'durable.task'::regtype) n ON true
	WHERE n.ns NOT IN ('durable'::regnamespace, 'durable_store'::regnamespace) $$),
('functions, relations, types and schemas have a comment',
$$ SELECT m.what FROM members m WHERE m.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass, 'pg_type'::regclass)
	AND obj_description(m.objid, m.classid::regclass::name) IS NULL
	AND NOT (m.classid = 'pg_class'::regclass AND (SELECT relkind FROM pg_class WHERE oid = m.objid) IN ('i', 'c', 't'))
	AND NOT (m.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t WHERE t.oid = m.objid AND (t.typelem <> 0
		OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) IN ('r', 'p', 'v', 'm')))) $$),
('columns of views of durable have a comment',
$$ SELECT format('%s.%s', relation::regclass, attname) FROM columns WHERE relkind = 'v' AND nspname = 'durable' AND col_description(relation, attnum) IS NULL $$),
('a comment is a sentence',
$$ SELECT m.what FROM members m, obj_description(m.objid, m.classid::regclass::name) c WHERE m.classid <> 'pg_opclass'::regclass AND c !~ '^[A-Za-z].{10,}[.?]$' $$),
('settings have a description',
$$ SELECT name FROM settings WHERE coalesce(short_desc, '') !~ '^[A-Za-z].{10,}[.?]$' OR extra_desc !~ '[.?]$' $$);

-- What a rule finds.
CREATE FUNCTION check_rules() RETURNS TABLE (rule text, found text) LANGUAGE plpgsql AS $$
DECLARE
	r rules;
BEGIN
	FOR r IN SELECT * FROM rules LOOP
		RETURN QUERY EXECUTE format('SELECT %L::text, x::text FROM (%s) q (x) ORDER BY x::text COLLATE "C"', r.rule, r.finds);
	END LOOP;
END $$;

-- The extension keeps the rules.
SELECT * FROM check_rules();
SELECT count(*) > 80 AS there_is_something_to_check FROM members;

-- ---------------------------------------------------------------------------
-- Each rule, broken
-- ---------------------------------------------------------------------------

BEGIN;
CREATE FUNCTION durable_store.bad_path() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION durable_store.bad_path_order() RETURNS int LANGUAGE sql SET search_path = pg_temp, pg_catalog AS 'SELECT 1';
CREATE FUNCTION durable_store.bad_definer() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1;
CREATE FUNCTION durable_store.bad_leakproof() RETURNS boolean LEAKPROOF LANGUAGE sql RETURN true;
CREATE FUNCTION durable_store.bad_library() RETURNS trigger LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE bad_language HANDLER plpgsql_call_handler;
CREATE FUNCTION durable_store.bad_language() RETURNS int LANGUAGE bad_language AS '';
CREATE FUNCTION durable.bad_closed() RETURNS int LANGUAGE sql RETURN 1;
REVOKE ALL ON FUNCTION durable.bad_closed FROM PUBLIC;
CREATE FUNCTION durable_store.bad_volatile() RETURNS int LANGUAGE sql VOLATILE RETURN 1;
REVOKE ALL ON FUNCTION durable_store.bad_volatile FROM PUBLIC;
CREATE FUNCTION public.bad_schema() RETURNS int LANGUAGE sql IMMUTABLE RETURN 1;
CREATE FUNCTION durable_store.bad_comment() RETURNS int LANGUAGE sql RETURN 1;
COMMENT ON FUNCTION durable_store.bad_comment() IS 'todo';
CREATE TYPE durable_store.bad_composite AS (x int, f regproc[]);
CREATE DOMAIN durable_store.bad_domain AS regnamespace;
CREATE UNLOGGED TABLE durable_store.bad_table (task_hub text, instance_id text COLLATE "C", a regprocedure, b durable_store.bad_composite, c durable_store.bad_domain,
	fine_role regrole, fine_class regclass, fine_type regtype, PRIMARY KEY (instance_id, task_hub));
CREATE TABLE durable_store.bad_key (task_hub text COLLATE "C", x int);
CREATE INDEX bad_index ON durable_store.bad_key ((x + 1));
CREATE SEQUENCE durable_store.bad_sequence;
CREATE TABLE durable_store.bad_condition (task_hub text COLLATE "C" PRIMARY KEY);
CREATE VIEW durable.bad_view AS SELECT 1 AS x, durable_store.bad_volatile() AS y;
CREATE VIEW durable.bad_invoker WITH (security_barrier, security_invoker) AS SELECT task_hub FROM durable_store.instances;
CREATE FUNCTION durable_store.bad_trigger() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER bad_trigger BEFORE INSERT ON durable_store.hubs FOR EACH ROW EXECUTE FUNCTION durable_store.bad_trigger();
CREATE RULE bad_rule AS ON DELETE TO durable_store.hubs DO ALSO NOTHING;
CREATE POLICY bad_policy ON durable_store.hubs;
CREATE CAST (durable.task AS bigint) WITHOUT FUNCTION AS IMPLICIT;
INSERT INTO planted_settings VALUES ('durable.bad_nothing', NULL, NULL, NULL), ('durable.bad_stub', 'todo', NULL, NULL), ('durable.bad_extra', 'A good description.', 'no end', NULL);
DO $$
DECLARE
	what text;
BEGIN
	FOR what IN
		SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE proname LIKE 'bad\_%'
		UNION ALL SELECT CASE relkind WHEN 'v' THEN 'VIEW ' WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass FROM pg_class WHERE relname LIKE 'bad\_%' AND relkind IN ('r', 'v', 'S')
		UNION ALL SELECT 'TYPE ' || oid::regtype FROM pg_type WHERE typname IN ('bad_composite', 'bad_domain')
		UNION ALL SELECT 'CAST (durable.task AS bigint)'
	LOOP
		EXECUTE 'ALTER EXTENSION durable ADD ' || what;
	END LOOP;
END $$;
-- pg_extension_config_dump() is for scripts only.
UPDATE pg_extension SET extconfig = extconfig || 'durable_store.bad_condition'::regclass::oid, extcondition = extcondition || 'WHERE false'::text WHERE extname = 'durable';
CREATE ROLE durable_regress_lint;
GRANT USAGE ON SCHEMA durable_store TO durable_regress_lint;
GRANT SELECT ON durable_store.hubs TO PUBLIC;
GRANT UPDATE (paused) ON durable_store.hubs TO PUBLIC;
GRANT INSERT ON durable.queues TO PUBLIC;
GRANT SELECT ON durable_store.inbox TO durable_regress_lint;
GRANT EXECUTE ON FUNCTION durable_store.installed() TO PUBLIC, durable_regress_lint;
SELECT * FROM check_rules();
-- Rules that found nothing would be no rules.
SELECT rule AS "not broken" FROM rules EXCEPT SELECT rule FROM check_rules() ORDER BY 1;
ROLLBACK;

SELECT * FROM check_rules();
SET client_min_messages = warning;
DROP SCHEMA lint CASCADE;
