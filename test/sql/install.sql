--
-- The extension as a set of objects: documented, complete, removable, and not
-- to be led astray by what was there before.
--
-- The subject is what a superuser installs, so this test runs as one.
--

-- Every object a user meets says what it is: the queries below list those
-- without a comment, and must be empty.
SELECT n.nspname, c.relkind, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('durable', 'durable_store') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
	AND obj_description(c.oid, 'pg_class') IS NULL
ORDER BY 1, 2, 3;

SELECT p.oid::regprocedure AS function
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('durable', 'durable_store') AND obj_description(p.oid, 'pg_proc') IS NULL
ORDER BY p.oid::regprocedure::text COLLATE "C";

SELECT t.oid::regtype AS type
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname IN ('durable', 'durable_store') AND t.typelem = 0
	AND (t.typrelid = 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
	AND obj_description(t.oid, 'pg_type') IS NULL
ORDER BY t.oid::regtype::text COLLATE "C";

SELECT nspname FROM pg_namespace
WHERE nspname IN ('durable', 'durable_store') AND obj_description(oid, 'pg_namespace') IS NULL;

SELECT o.oid::regoperator AS operator
FROM pg_operator o JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'durable'
WHERE obj_description(o.oid, 'pg_operator') IS NULL AND obj_description(o.oprcode, 'pg_proc') IS NULL
ORDER BY 1;

-- So do the columns whose name does not say it all. These do without: whoever
-- adds a column explains it, or adds it here.
SELECT c.oid::regclass AS relation, string_agg(a.attname, ' ' ORDER BY a.attnum) AS "columns without a comment"
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace IN ('durable'::regnamespace, 'durable_store'::regnamespace) AND c.relkind IN ('r', 'v')
	AND col_description(c.oid, a.attnum) IS NULL
GROUP BY c.oid ORDER BY c.oid::regclass::text COLLATE "C";

-- What it consists of: \dx+ durable, but for the types that come with tables
-- and with types, which are members since PostgreSQL 17.
SELECT pg_describe_object(d.classid, d.objid, 0) AS "Object description"
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'durable' AND d.deptype = 'e' AND NOT EXISTS (
	SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
	WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typelem <> 0 AND t.typlen = -1 OR c.relkind <> 'c'))
ORDER BY pg_describe_object(d.classid, d.objid, 0) COLLATE "C";

-- Every function names its search_path or is C or inlined as parsed: nothing
-- of it can be led astray by the caller's search_path.
SELECT p.oid::regprocedure AS function, l.lanname, p.prosecdef
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname IN ('durable', 'durable_store')
	AND (p.prosecdef OR (l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL AND p.proconfig IS NULL))
ORDER BY 1;

-- What a dump must carry: the tables, with all their rows.
SELECT c.oid::regclass AS relation, e.condition
FROM pg_extension x, unnest(x.extconfig, x.extcondition) AS e(relid, condition)
JOIN pg_class c ON c.oid = e.relid
WHERE x.extname = 'durable'
ORDER BY c.oid::regclass::text COLLATE "C";

-- Superusers install it, and it stays where it is.
SELECT name, version, superuser, trusted, relocatable, schema, requires
FROM pg_available_extension_versions WHERE name = 'durable';
CREATE ROLE durable_regress_install;
SET SESSION AUTHORIZATION durable_regress_install;
DROP EXTENSION durable;
RESET SESSION AUTHORIZATION;
ALTER EXTENSION durable SET SCHEMA public;
CREATE EXTENSION durable;

-- It goes without a trace, and comes again, in a transaction too.
DROP EXTENSION durable;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'durable%';
SELECT oprname FROM pg_operator WHERE oprleft::regtype::text LIKE '%durable%';
BEGIN;
CREATE EXTENSION durable;
SELECT count(*) FROM durable.instances;
ROLLBACK;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'durable%';

SET SESSION AUTHORIZATION durable_regress_install;
CREATE EXTENSION durable;
RESET SESSION AUTHORIZATION;

-- Nothing that somebody has planted becomes part of it. (The context of an
-- error names the line of the script since PostgreSQL 18.)
\set SHOW_CONTEXT never
CREATE SCHEMA durable AUTHORIZATION durable_regress_install;
CREATE EXTENSION durable;
DROP SCHEMA durable;
CREATE SCHEMA durable_store AUTHORIZATION durable_regress_install;
CREATE EXTENSION durable;
DROP SCHEMA durable_store;
CREATE SCHEMA planted AUTHORIZATION durable_regress_install;
CREATE EXTENSION durable SCHEMA planted;
DROP SCHEMA planted;

-- No warning: the library is preloaded.
CREATE EXTENSION durable;
SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'durable';
SELECT count(*) FROM durable.instances;

-- What users made with it is not swept away by accident.
CREATE TABLE uses_task (t durable.task);
DROP EXTENSION durable;
DROP TABLE uses_task;

-- Without it, functions of it are simply not there.
DROP EXTENSION durable;
SELECT durable.start_instance('x');
CREATE EXTENSION durable;

DROP ROLE durable_regress_install;
