/*
 * extension.h
 *		Is the extension there, who owns it, and keep it there for the length
 *		of this transaction.
 */
#ifndef DURABLE_EXTENSION_H
#define DURABLE_EXTENSION_H

#include "postgres.h"

/*
 * Looks the extension up, locks it against DROP and ALTER until the end of
 * the transaction, and looks again. False when this database has none, or one
 * of a version that this library does not serve.
 */
extern bool extension_lock(void);

/* Did extension_lock() say false for the version? If so this writes it to the server log. */
extern bool extension_is_unserved(void);
extern void extension_log_obstacle(void);

/* The owner of the extension; extension_lock() or an error must have come before in this transaction. */
extern Oid	extension_owner(void);

/* As extension_lock(), but raises an error that says what to do. */
extern void extension_require(void);

/* May the role use schema durable? See durable.grant_usage(). */
extern bool extension_may_be_used_by(Oid role);

#endif							/* DURABLE_EXTENSION_H */
