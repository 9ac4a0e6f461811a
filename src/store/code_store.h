/*
 * code_store.h
 *		The kept definitions of orchestrators.
 */
#ifndef DURABLE_CODE_STORE_H
#define DURABLE_CODE_STORE_H

#include "nodes/pg_list.h"

#include "core/pinned_code.h"

/* Code that a hub keeps, and who still needs it. */
typedef struct KeptCode
{
	PinnedCode	code;			/* without its definition */
	bool		is_doubled;		/* two transactions kept it at the same time */
	bool		is_needed;		/* by an unfinished instance: its private copy, too */
	bool		may_be_needed;	/* by a failed one, which can be rewound */
} KeptCode;

/*
 * Keeps code that an instance is about to refer to in this transaction; costs
 * no statement if this process knows that it is kept. NULL: nothing to do.
 */
extern void store_keep_code(const char *task_hub, const PinnedCode *code);

/* Code by its fingerprint, with its definition; NULL if it is not kept. */
extern PinnedCode *store_read_code(const char *task_hub, const PinnedCode *code);

/* All code of a hub, of KeptCode *. */
extern List *store_list_code(const char *task_hub);

/*
 * Until the end of the transaction nobody can begin to use code that is kept.
 * False, at once, if somebody is about to.
 */
extern bool store_lock_code(void);

/* After store_lock_code(): finds out who needs the code. */
extern void store_find_users(const char *task_hub, List *kept);

/* After store_lock_code(). */
extern void store_forget_code(const char *task_hub, const PinnedCode *code);

/* The same for all rows of it but one. */
extern void store_forget_doubles(const char *task_hub, const PinnedCode *code);

/* All of a hub that is dropped. */
extern void store_forget_all_code(const char *task_hub);

#endif							/* DURABLE_CODE_STORE_H */
