--
-- Attacks that wait for CREATE EXTENSION: by a role that may create objects in
-- the database, before the superuser installs durable. Gain: objects of its
-- own among those of the extension, or code that runs as the superuser.
--
SELECT current_user AS superuser, current_database() AS home \gset
CREATE ROLE durable_regress_planter LOGIN;
CREATE DATABASE durable_regress_planted;
GRANT ALL ON DATABASE durable_regress_planted TO durable_regress_planter;
\c durable_regress_planted durable_regress_planter

-- attack: installing it oneself. Gain: the owner of the extension.
CREATE EXTENSION durable;

-- (The context of an error names the line of the script since PostgreSQL 18.)
\set SHOW_CONTEXT never

-- attack: a schema of the extension's name. Gain: the owner of the schema may drop and replace what is in it.
CREATE SCHEMA durable;
CREATE FUNCTION durable.start_instance(text) RETURNS text LANGUAGE sql AS $$ SELECT 'planted' $$;
\c - :superuser
CREATE EXTENSION durable;
SELECT count(*) FROM pg_namespace WHERE nspname = 'durable_store';
CREATE EXTENSION durable SCHEMA durable;
CREATE EXTENSION IF NOT EXISTS durable;
\c - durable_regress_planter
DROP SCHEMA durable CASCADE;

-- attack: the same with the tables.
CREATE SCHEMA durable_store;
CREATE TABLE durable_store.hubs (task_hub text, owner regrole);
\c - :superuser
CREATE EXTENSION durable;
SELECT count(*) FROM pg_namespace WHERE nspname = 'durable';
\c - durable_regress_planter
DROP SCHEMA durable_store CASCADE;

-- attack: operators, functions, types, casts and collations that fit the
-- installation script better than PostgreSQL's. Gain: they run as superuser, or stay in views and functions.
CREATE SCHEMA planted;
CREATE FUNCTION planted.spring(text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RAISE WARNING 'code of the planter runs as %', current_user; RETURN $1; END $$;
CREATE FUNCTION planted.text_concat(text, text) RETURNS text LANGUAGE sql AS 'SELECT planted.spring($1)';
CREATE OPERATOR planted.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.text_concat);
CREATE FUNCTION planted.text_is(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT planted.spring($1) IS NULL';
CREATE OPERATOR planted.= (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.text_is);
CREATE FUNCTION planted.small_is(smallint, integer) RETURNS boolean LANGUAGE sql AS 'SELECT planted.spring(''x'') IS NULL';
CREATE OPERATOR planted.= (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = planted.small_is);
CREATE FUNCTION planted.plus(smallint, integer) RETURNS integer LANGUAGE sql AS 'SELECT planted.spring(''x'')::int';
CREATE OPERATOR planted.+ (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = planted.plus);
CREATE FUNCTION planted.format(text, regrole) RETURNS text LANGUAGE sql AS 'SELECT planted.spring($1)';
CREATE FUNCTION planted.pg_has_role(regrole, text) RETURNS boolean LANGUAGE sql AS 'SELECT planted.spring($2) IS NULL';
CREATE FUNCTION planted.replace(text, text, text) RETURNS text LANGUAGE sql AS 'SELECT planted.spring($1)';
CREATE FUNCTION planted.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE sql AS 'SELECT planted.spring($2)';
CREATE DOMAIN planted.jsonb AS text;
CREATE DOMAIN planted.regrole AS text;
CREATE DOMAIN planted.text AS pg_catalog.text CHECK (planted.spring(VALUE) IS NOT NULL);
CREATE COLLATION planted."C" (LC_COLLATE = 'C', LC_CTYPE = 'C');
CREATE TYPE planted.status AS ENUM ('planted');
GRANT ALL ON SCHEMA planted TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC;
\set VERBOSITY sqlstate
ALTER DEFAULT PRIVILEGES FOR ROLE :superuser GRANT ALL ON TABLES TO durable_regress_planter;
\set VERBOSITY default
CREATE EVENT TRIGGER planted ON ddl_command_end EXECUTE FUNCTION planted.spring();
ALTER DATABASE durable_regress_planted SET search_path = planted, pg_catalog;
\c - :superuser
SET search_path = planted, pg_catalog, pg_temp;
CREATE TEMPORARY TABLE hubs (task_hub text);
CREATE EXTENSION durable;
-- nothing in the extension refers to what was planted
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS object, pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS refers_to
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend member ON member.classid OPERATOR(pg_catalog.=) d.classid AND member.objid OPERATOR(pg_catalog.=) d.objid
	AND member.deptype OPERATOR(pg_catalog.=) 'e'
WHERE pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) OPERATOR(pg_catalog.~) 'planted';
SELECT n.nspname, n.nspacl IS NULL AS closed FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.~) '^durable' ORDER BY 1;
SELECT count(*) AS open_tables FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) 'durable_store'::pg_catalog.regnamespace
	AND pg_catalog.has_table_privilege('durable_regress_planter', c.oid, 'SELECT, INSERT, UPDATE, DELETE') AND c.relkind OPERATOR(pg_catalog.=) 'r';
-- it works, and the superuser who uses it with that path runs nothing of the planter's
SELECT durable.create_hub('planted');
SELECT durable.pause_hub('planted');
SELECT count(*) FROM durable.instances;
SELECT count(*) FROM durable.queues;
SELECT durable.grant_usage('durable_regress_planter');
SELECT durable.revoke_usage('durable_regress_planter');
-- dropping it with the path works as well
DROP EXTENSION durable;

\c :home :superuser
DROP DATABASE durable_regress_planted;
DROP ROLE durable_regress_planter;
