/*
 * history_document.h
 *		A recorded history as one JSON document, to be carried to another
 *		server and replayed there (export_history(), import_history()).
 */
#ifndef DURABLE_HISTORY_DOCUMENT_H
#define DURABLE_HISTORY_DOCUMENT_H

#include "core/runtime_state.h"

/* The layout that is written, field "format"; others are refused. */
#define HISTORY_FORMAT	1

/* The state's identity, start, end and past events. What SQL has as NULL is left out; a JSON null stays one. */
extern Jsonb *history_document_write(const RuntimeState *state);

/*
 * The state that was written; nothing that it lacks can make a replay crash.
 * Raises 22023, naming the event and the field, for a document that is not a
 * history, or of another format.
 */
extern RuntimeState *history_document_read(Jsonb *document);

#endif							/* DURABLE_HISTORY_DOCUMENT_H */
