/*
 * compat.h
 *		The differences between PostgreSQL 15, 16, 17 and 18.
 *
 * No other file tests PG_VERSION_NUM, but for compat.c.
 */
#ifndef DURABLE_COMPAT_H
#define DURABLE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "durable needs PostgreSQL 15 or newer"
#endif

/* SPI_inside_nonatomic_context, MarkGUCPrefixReserved, shmem_request_hook: 15 and newer */

#if PG_VERSION_NUM >= 180000
#define DURABLE_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "durable", .version = "1.0")
#else
#define DURABLE_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#if PG_VERSION_NUM >= 160000
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#define durable_database_ownercheck(dboid, roleid) \
	object_ownercheck(DatabaseRelationId, (dboid), (roleid))
#define durable_proc_aclcheck(procoid, roleid, mode) \
	object_aclcheck(ProcedureRelationId, (procoid), (roleid), (mode))
#define durable_namespace_aclcheck(nspoid, roleid, mode) \
	object_aclcheck(NamespaceRelationId, (nspoid), (roleid), (mode))
#define durable_can_act_for(roleid, target) member_can_set_role((roleid), (target))
#else
#define durable_database_ownercheck(dboid, roleid) pg_database_ownercheck((dboid), (roleid))
#define durable_proc_aclcheck(procoid, roleid, mode) \
	pg_proc_aclcheck((procoid), (roleid), (mode))
#define durable_namespace_aclcheck(nspoid, roleid, mode) \
	pg_namespace_aclcheck((nspoid), (roleid), (mode))
#define durable_can_act_for(roleid, target) is_member_of_role((roleid), (target))
#endif

/* Names are checked softly since 16; we want the error. */
#if PG_VERSION_NUM >= 160000
#define durable_qualified_name_list(name) stringToQualifiedNameList((name), NULL)
#else
#define durable_qualified_name_list(name) stringToQualifiedNameList(name)
#endif

/*
 * The function of a name with argument types, InvalidOid if there is none; an
 * error if this is no such name. to_regprocedure() hides the errors since 16.
 */
extern Oid	durable_to_regprocedure(const char *signature);

/*
 * Does the entry of a range table name a relation? The definition of a view has
 * an entry for the view itself up to 15; since 16 the subquery has its OID.
 */
#if PG_VERSION_NUM >= 160000
#define durable_names_relation(rte) \
	((rte)->rtekind == RTE_RELATION || ((rte)->rtekind == RTE_SUBQUERY && OidIsValid((rte)->relid)))
#else
#define durable_names_relation(rte) ((rte)->rtekind == RTE_RELATION)
#endif

/* What a check hook hands to its assign hook is freed by guc.c. */
#if PG_VERSION_NUM >= 160000
#define durable_guc_malloc(size) guc_malloc(LOG, (size))
#define durable_guc_free(ptr) guc_free(ptr)
#else
#define durable_guc_malloc(size) malloc(size)
#define durable_guc_free(ptr) free(ptr)
#endif

#if PG_VERSION_NUM >= 170000
#define durable_json_lexer(text, length, encoding) \
	makeJsonLexContextCstringLen(NULL, (text), (length), (encoding), true)
#else
#define durable_json_lexer(text, length, encoding) \
	makeJsonLexContextCstringLen((char *) (text), (length), (encoding), true)
#endif

/* Do standbys confirm commits, as the checkpointer has told all? */
extern bool durable_sync_standbys_defined(void);

#if PG_VERSION_NUM >= 170000
#define DURABLE_PROC_NUMBER MyProcNumber
#else
#define DURABLE_PROC_NUMBER (MyProc->pgprocno)
#endif

/* Since 17 a background worker can connect as a role that may not log in. */
#if PG_VERSION_NUM >= 170000
#define DURABLE_OWNER_NEEDS_LOGIN false
#define DURABLE_WORKER_CONNECT_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define DURABLE_OWNER_NEEDS_LOGIN true
#define DURABLE_WORKER_CONNECT_FLAGS 0
#endif

/* Since 18 an SQL function keeps its plans, and what its literals meant, for the session. */
#if PG_VERSION_NUM >= 180000
#define DURABLE_SQL_FUNCTIONS_KEEP_PLANS true
#else
#define DURABLE_SQL_FUNCTIONS_KEEP_PLANS false
#endif

/* The locks a process holds in a partition of the lock table. */
#if PG_VERSION_NUM >= 160000
#define durable_proc_locks_empty(partition) dlist_is_empty(&MyProc->myProcLocks[partition])
#define durable_foreach_proc_lock(lock, partition) \
	for (dlist_node *node_ = MyProc->myProcLocks[partition].head.next; \
		 node_ != &MyProc->myProcLocks[partition].head && \
		 ((lock) = dlist_container(PROCLOCK, procLink, node_)) != NULL; \
		 node_ = node_->next)
#else
#define durable_proc_locks_empty(partition) SHMQueueEmpty(&MyProc->myProcLocks[partition])
#define durable_foreach_proc_lock(lock, partition) \
	for ((lock) = (const PROCLOCK *) SHMQueueNext(&MyProc->myProcLocks[partition], &MyProc->myProcLocks[partition], \
												  offsetof(PROCLOCK, procLink)); \
		 (lock) != NULL; \
		 (lock) = (const PROCLOCK *) SHMQueueNext(&MyProc->myProcLocks[partition], &(lock)->procLink, \
												  offsetof(PROCLOCK, procLink)))
#endif

/* Index entries of a row; "none_double": see noDupErr there. Since 16 some of an update can be left out, 18 may exclude a row. */
#if PG_VERSION_NUM >= 160000
#define durable_insert_index_tuples(target, slot, estate, none_double, conflict) \
	ExecInsertIndexTuples((target), (slot), (estate), false, (none_double), (conflict), NIL, false)
#else
#define durable_insert_index_tuples(target, slot, estate, none_double, conflict) \
	ExecInsertIndexTuples((target), (slot), (estate), false, (none_double), (conflict), NIL)
#endif
#if PG_VERSION_NUM >= 180000
#define durable_check_index_constraints(target, slot, estate, conflict) \
	ExecCheckIndexConstraints((target), (slot), (estate), (conflict), NULL, NIL)
#else
#define durable_check_index_constraints(target, slot, estate, conflict) \
	ExecCheckIndexConstraints((target), (slot), (estate), (conflict), NIL)
#endif

/* What table_tuple_update() says of the indexes, and their entries: none of a HOT update, of others all or, since 16, some. */
#if PG_VERSION_NUM >= 160000
#define DurableStaleIndexes TU_UpdateIndexes
#define durable_update_index_tuples(target, slot, estate, stale) \
	((stale) == TU_None ? NIL : \
	 ExecInsertIndexTuples((target), (slot), (estate), true, false, NULL, NIL, (stale) == TU_Summarizing))
#else
#define DurableStaleIndexes bool
#define durable_update_index_tuples(target, slot, estate, stale) \
	((stale) ? ExecInsertIndexTuples((target), (slot), (estate), true, false, NULL, NIL) : NIL)
#endif

#if PG_VERSION_NUM >= 180000
#define durable_index_beginscan(table, index, snapshot, n_keys) \
	index_beginscan((table), (index), (snapshot), NULL, (n_keys), 0)
#else
#define durable_index_beginscan(table, index, snapshot, n_keys) \
	index_beginscan((table), (index), (snapshot), (n_keys), 0)
#endif

/* Stands before a declaration. */
#if PG_VERSION_NUM >= 180000
#define DURABLE_NORETURN pg_noreturn
#else
#define DURABLE_NORETURN pg_attribute_noreturn()
#endif

/* The settings that end a transaction from outside, which a role may have set for its clients. */
#if PG_VERSION_NUM >= 170000
#define DURABLE_TIMEOUT_SETTINGS \
	"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"
#else
#define DURABLE_TIMEOUT_SETTINGS \
	"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
#endif

#endif							/* DURABLE_COMPAT_H */
