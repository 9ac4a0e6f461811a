/*
 * errors.h
 *		SQLSTATEs of durable: class UD, which the SQL standard leaves to
 *		implementations (it reserves classes beginning with A-H, I-Z are ours).
 */
#ifndef DURABLE_ERRORS_H
#define DURABLE_ERRORS_H

#include "utils/elog.h"

/* a task failed without an SQLSTATE of its own, or with one PL/pgSQL's OTHERS would not catch */
#define ERRCODE_DURABLE_TASK_FAILED			MAKE_SQLSTATE('U','D','0','0','1')
#define ERRCODE_DURABLE_NON_DETERMINISTIC	MAKE_SQLSTATE('U','D','0','0','2')
#define ERRCODE_DURABLE_INSTANCE_EXISTS		MAKE_SQLSTATE('U','D','0','0','3')
#define ERRCODE_DURABLE_NO_SUCH_INSTANCE	MAKE_SQLSTATE('U','D','0','0','4')
#define ERRCODE_DURABLE_NOT_IN_ORCHESTRATOR	MAKE_SQLSTATE('U','D','0','0','5')
#define ERRCODE_DURABLE_WAIT_TIMED_OUT		MAKE_SQLSTATE('U','D','0','0','6')
#define ERRCODE_DURABLE_LIMIT_EXCEEDED		MAKE_SQLSTATE('U','D','0','0','7')
#define ERRCODE_DURABLE_NOT_ALLOWED			MAKE_SQLSTATE('U','D','0','0','8')
#define ERRCODE_DURABLE_VERSION_MISMATCH	MAKE_SQLSTATE('U','D','0','0','9')
#define ERRCODE_DURABLE_WRONG_STATE			MAKE_SQLSTATE('U','D','0','1','0')
#define ERRCODE_DURABLE_TERMINATED			MAKE_SQLSTATE('U','D','0','1','1')
#define ERRCODE_DURABLE_POISONED			MAKE_SQLSTATE('U','D','0','1','2')
#define ERRCODE_DURABLE_DAMAGED				MAKE_SQLSTATE('U','D','0','1','3')

#endif							/* DURABLE_ERRORS_H */
