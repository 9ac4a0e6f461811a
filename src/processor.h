/*
 * processor.h
 *		Is there a processor for this process?
 */
#ifndef DURABLE_PROCESSOR_H
#define DURABLE_PROCESSOR_H

#include "postgres.h"

/* How long this process, able to run, has waited for a processor so far, in us; always 0 where that is not known. */
extern int64 processor_waited(void);

#endif							/* DURABLE_PROCESSOR_H */
