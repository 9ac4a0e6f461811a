/*
 * inbox_store.h
 *		Sending messages to instances.
 */
#ifndef DURABLE_INBOX_STORE_H
#define DURABLE_INBOX_STORE_H

#include "core/history_event.h"
#include "core/runtime_state.h"

typedef struct MessageBuffer MessageBuffer;

extern MessageBuffer *message_buffer_make(void);
extern void message_buffer_add(MessageBuffer *buffer, const char *instance_id, const HistoryEvent *event);

/*
 * The same for an answer and those that follow it, packed (NULL: none). All
 * of a buffer are added this way, for store_insert_messages() alone.
 */
extern void message_buffer_add_packed(MessageBuffer *buffer, const char *instance_id, const HistoryEvent *event, bytea *more);

/*
 * For the only message of a buffer, to an instance that is known to exist:
 * inserted without a statement (direct_rows.h); NULL if that cannot be. The
 * wake-up is the caller's.
 */
struct DirectInsert;
extern struct DirectInsert *message_insert_begin(void);
extern void message_insert_run(struct DirectInsert *insert, const char *task_hub, const MessageBuffer *message);

/* Inserts messages as they are, to instances that are there. The wake-up is the caller's. */
extern void store_insert_messages(const char *task_hub, const MessageBuffer *buffer);

extern const struct DirectTable direct_inbox;

/*
 * Puts messages into the inboxes of instances that exist and have not
 * finished; the others are dropped. Nothing is delivered to an instance before
 * its delayed start. Arranges for the wake-up of the hub.
 */
extern void store_send_messages(const char *task_hub, const MessageBuffer *buffer);

/* The same for one message of a client, whose recipient stays until the end; false: it was dropped. */
extern bool store_deliver(const char *task_hub, const char *instance_id, const HistoryEvent *event);

/* Sends a recursive ExecutionTerminated to the children of an instance. */
extern void store_terminate_children(const char *task_hub, const char *instance_id, const pg_uuid_t *execution_id,
									 Jsonb *reason, TimestampTz now);

/*
 * Finds the instance a client wants to send to and keeps it from being purged
 * until the end of the transaction. False: there is none.
 */
extern bool store_find_recipient(const char *task_hub, const char *instance_id, RuntimeStatus *status);

/*
 * Ends a pending instance that no worker holds, at once: its messages go, its
 * parent is told. False: it has started or is about to.
 */
extern bool store_terminate_pending(const char *task_hub, const char *instance_id, Jsonb *reason, TimestampTz now);

#endif							/* DURABLE_INBOX_STORE_H */
