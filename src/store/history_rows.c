/*
 * history_rows.c
 *		durable_store.unpack_events(): the events packed in a row of the
 *		history, for the views.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/history_pack.h"

PG_FUNCTION_INFO_V1(durable_unpack_events);

#define N_EVENT_COLUMNS 17

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

static void
set_json(Datum *values, bool *nulls, int column, Jsonb *json)
{
	nulls[column] = json == NULL;
	if (json != NULL)
		values[column] = JsonbPGetDatum(json);
}

/* In the order of the columns of durable_store.history from seq on. */
static void
put_event(ReturnSetInfo *rsinfo, const HistoryEvent *event)
{
	Datum		values[N_EVENT_COLUMNS] = {0};
	bool		nulls[N_EVENT_COLUMNS] = {0};

	values[0] = Int32GetDatum(event->seq);
	values[1] = Int32GetDatum(event->turn);
	values[2] = TimestampTzGetDatum(event->turn_at);
	values[3] = TimestampTzGetDatum(event->timestamp);
	values[4] = TimestampTzGetDatum(event->fire_at);
	nulls[4] = TIMESTAMP_IS_NOBEGIN(event->fire_at);
	values[5] = Int32GetDatum(event->event_id);
	values[6] = Int32GetDatum(event->task_id);
	nulls[6] = event->task_id == NO_TASK_ID;
	values[7] = Int16GetDatum((int16) event->type);
	values[8] = BoolGetDatum(event->opens_turn);
	values[9] = BoolGetDatum(event->closes_turn);
	set_text(values, nulls, 10, event->name);
	set_text(values, nulls, 11, event->version);
	set_text(values, nulls, 12, event->target_instance_id);
	set_json(values, nulls, 13, event->payload);
	set_json(values, nulls, 14, event->failure);
	set_json(values, nulls, 15, event->tags);
	set_json(values, nulls, 16, event->retry);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
durable_unpack_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *events = NIL;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts != N_EVENT_COLUMNS)
		elog(ERROR, "durable_store.unpack_events() returns other columns than it should");
	if (!history_unpack(PG_GETARG_BYTEA_PP(0), &events))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the packed events of a row of the history cannot be read")));
	foreach(lc, events)
		put_event(rsinfo, lfirst(lc));
	return (Datum) 0;
}
