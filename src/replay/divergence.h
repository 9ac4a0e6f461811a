/*
 * divergence.h
 *		Recorded and requested actions side by side, for whoever has to find
 *		out where changed code left the history.
 */
#ifndef DURABLE_DIVERGENCE_H
#define DURABLE_DIVERGENCE_H

#include "replay/orchestration_context.h"

/*
 * The actions around the first that differs, a line each: the number, what the
 * history has, what the code asks for. The text depends on nothing but these.
 */
extern char *divergence_text(OrchestrationContext *context, int first_different_id);

/* One recorded action ("TaskScheduled 'charge'"), and what the code asks for under a number, "-" if nothing. */
extern char *divergence_recorded(OrchestrationContext *context, const HistoryEvent *event);
extern char *divergence_requested(OrchestrationContext *context, int id);

#endif							/* DURABLE_DIVERGENCE_H */
