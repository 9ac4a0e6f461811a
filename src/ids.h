/*
 * ids.h
 *		Instance and execution ids.
 */
#ifndef DURABLE_IDS_H
#define DURABLE_IDS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* A new UUID of version 7 (RFC 9562): random, and ordered by time in microseconds. */
extern void make_time_ordered_uuid(TimestampTz now, pg_uuid_t *uuid);

/* The UUID of version 5 (RFC 9562) of a name in the namespace DTFx uses for orchestrations. */
extern void make_name_uuid(const char *name, pg_uuid_t *uuid);

/* 32 hex digits, palloc'd. */
extern char *execution_id_text(const pg_uuid_t *uuid);

#endif							/* DURABLE_IDS_H */
