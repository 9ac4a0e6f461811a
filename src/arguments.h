/*
 * arguments.h
 *		Checks of what users give, with errors that name the argument.
 */
#ifndef DURABLE_ARGUMENTS_H
#define DURABLE_ARGUMENTS_H

#include "postgres.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#define MAX_INSTANCE_ID_BYTES 255

/* Intervals of this length and more mean "for ever": 10,000 years. */
#define FOREVER_MICROSECONDS (INT64CONST(3652500) * USECS_PER_DAY)

extern void require_argument(FunctionCallInfo fcinfo, int arg, const char *name);
extern void require_not_empty(const text *value, const char *name);
extern void require_instance_id(const text *id);
extern void require_not_negative(const Interval *interval, const char *name);
extern void require_finite(TimestampTz time, const char *name);

/* Sets the statuses (indexed by RuntimeStatus) of a durable.status[] argument. */
extern void statuses_argument(ArrayType *array, const char *name, bool *statuses);

/* Tags are a JSON object of strings. */
extern void require_tags(Jsonb *tags);

/* Raises UD007 if a payload is larger than durable.max_payload_size. */
extern void check_payload_size(Jsonb *payload, const char *what);

/* Raises UD007 if a payload is larger than its hub allows, in kB (0: no limit of its own), or the server. */
extern void check_payload_size_of_hub(Jsonb *payload, const char *what, const char *task_hub, int hub_limit);

/* From now until a timeout argument is over; DT_NOEND: never. */
extern TimestampTz deadline_argument(FunctionCallInfo fcinfo, int arg);

extern int64 interval_microseconds(const Interval *interval);
extern TimestampTz timestamp_plus_interval(TimestampTz time, const Interval *interval);

#endif							/* DURABLE_ARGUMENTS_H */
