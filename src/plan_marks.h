/*
 * plan_marks.h
 *		What plans of user code were made under.
 *
 * A plan keeps what the settings said when its statement was read: literals
 * such as '2024-01-01 12:00'::timestamptz, and constants folded by functions
 * that are called immutable but follow extra_float_digits or bytea_output. One
 * process runs instances that were started with different settings, so a plan
 * bears a mark of those it was made under, and whether the checks saw it.
 */
#ifndef DURABLE_PLAN_MARKS_H
#define DURABLE_PLAN_MARKS_H

#include "nodes/plannodes.h"

/* A number for the settings in force that a plan may keep. */
extern uint32 plan_settings(void);

/* Marks a plan that was just made. checked_epoch: of function_refusals_epoch() when it was looked at; 0: it was not. */
extern void plan_mark(PlannedStmt *plan, uint32 checked_epoch);

/* Was it made under the settings in force? */
extern bool plan_fits_settings(const PlannedStmt *plan);

/* Was it looked at in this epoch? */
extern bool plan_was_checked(const PlannedStmt *plan, uint32 epoch);

#endif							/* DURABLE_PLAN_MARKS_H */
