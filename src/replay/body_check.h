/*
 * body_check.h
 *		Reads the body of an orchestrator, without running it, for what it must
 *		not do (semantics.md 10.2).
 *
 * PL/pgSQL is compiled, and each of its expressions and statements is analysed
 * by the server's parser; so are those of SQL functions, and of all SQL and
 * PL/pgSQL functions that are called. What cannot be seen is what is known at
 * run time only: dynamic statements, names that are computed, triggers,
 * defaults and domains.
 */
#ifndef DURABLE_BODY_CHECK_H
#define DURABLE_BODY_CHECK_H

#include "postgres.h"
#include "nodes/parsenodes.h"

#include "compat.h"

#define NO_LINE 0

typedef struct Finding
{
	int			number;			/* in the order they were found */
	int			line;			/* of the body that is checked; NO_LINE: of the whole */
	bool		is_warning;
	int			sqlstate;
	char	   *message;
	char	   *hint;			/* NULL: none */
} Finding;

/* What a constant name stands for. */
typedef enum NameKind
{
	NAME_OF_ACTIVITY,
	NAME_OF_ORCHESTRATOR
} NameKind;

/* Raises the error that a call by this name would. version_known: version is what the call will ask for. */
typedef void (*NameCheck) (void *arg, NameKind kind, const char *name, const char *version, bool version_known);

/* Where a check stands: in the body of the function, or of one it calls. */
typedef struct BodyCheck
{
	NameCheck	check_name;
	void	   *name_arg;
	List	   *findings;		/* of Finding * */
	List	   *visited;		/* of VisitedBody * */
	MemoryContext memory;

	/* where */
	const char *helper;			/* NULL: the function itself */
	int			call_line;		/* of the helper, in the function itself */
	Node	   *call;			/* of the helper, where the types of polymorphic arguments are */
	int			line;			/* of the statement */
	const char *source;			/* text that locations refer to, and begins in this line; NULL: unknown */
	int			location;		/* in it, of what has no location of its own */
	bool		catches_waits;	/* a handler around it names assert_failure */
	bool		catches_cancels;	/* a handler around it names query_canceled */
} BodyCheck;

/* Finds what is to be found in a function's body; check->call is its call, NULL for the function itself. */
extern void body_check_function(BodyCheck *check, Oid function);

/* The functions in SQL and PL/pgSQL whose bodies were read, itself first; a list of oids without doubles. */
extern List *body_check_visited(const BodyCheck *check);

/* Adds a finding at a location of the source, or at check->location if it is -1. */
extern void body_report(BodyCheck *check, int location, bool is_warning, int sqlstate, char *message, const char *hint);

/* The line of a location of the source, in the body that is looked at. */
extern int	body_line_at(const BodyCheck *check, int location);

/*
 * Runs a part of the check in a subtransaction; an error it raises becomes a
 * finding. False if it did.
 */
typedef void (*CheckPart) (BodyCheck *check, void *arg);
extern bool body_check_part(BodyCheck *check, CheckPart part, void *arg, int location);

/* Checks an analysed statement. */
extern void body_check_query(BodyCheck *check, Query *query);

/* Checks all statements of a PL/pgSQL function. */
extern void body_check_plpgsql(BodyCheck *check, Oid function);

#endif							/* DURABLE_BODY_CHECK_H */
