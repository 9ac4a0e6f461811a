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

#endif							/* DURABLE_DIVERGENCE_H */
