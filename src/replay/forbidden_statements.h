/*
 * forbidden_statements.h
 *		What an orchestrator may not do besides calling functions: for the
 *		checks at run time and for durable.check_orchestrator().
 */
#ifndef DURABLE_FORBIDDEN_STATEMENTS_H
#define DURABLE_FORBIDDEN_STATEMENTS_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "replay/checked_functions.h"

extern const Refusal refusal_of_reads;
extern const Refusal refusal_of_writes;
extern const Refusal refusal_of_frozen_words;

/* Why a utility command is refused; NULL: CALL, of which the procedure is judged. */
extern const Refusal *command_refusal(const Node *command);

/* The name of a value such as CURRENT_USER, in capitals, if it is refused; else NULL. */
extern const char *refused_value(const SQLValueFunction *value, const Refusal **refusal);

/*
 * The word in the literal of a date or time that makes it mean another time
 * each time it is read; NULL if there is none. The value does not tell, the
 * text does: "source" is what locations in the tree refer to; may be NULL.
 */
extern const char *frozen_word(const Const *constant, const char *source);

/* What sort of thing a relation is, in words. */
extern const char *relation_word(char relkind);

#endif							/* DURABLE_FORBIDDEN_STATEMENTS_H */
